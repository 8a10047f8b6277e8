//! Amounts of money.

use super::super::Language;
use super::rule::{Found, Read};
use super::words::{by, cardinal, digits, is_one, number};

macro_rules! symbol {
    () => {
        r"(US\$|HK\$|NT\$|A\$|C\$|S\$|\$|￥|¥|€|£|₩|₹|₽|฿|USD|RMB|CNY|EUR|GBP|JPY|HKD|KRW|TWD)"
    };
}
macro_rules! scale {
    () => {
        r"(?:\s?(thousand|million|billion|trillion|mn|bn|[kKMmBbT]\b|千万|百万|万亿|千|万|亿))?"
    };
}

pub(super) const RULES: &[(&str, Read)] = &[
    (concat!(symbol!(), r"\s?", digits!(), r"\s?[-–—~至到]\s?", symbol!(), "?", digits!(), scale!()), prefixed_range),
    (concat!(symbol!(), r"\s?", digits!(), scale!()), prefixed),
    (concat!(digits!(), scale!(), r"\s?", symbol!()), suffixed),
];

/// What a currency is called.
struct Currency {
    /// One, many, and the hundredth part: one and many.
    english: [&'static str; 4],
    chinese: &'static str,
}

fn currency(symbol: &str) -> Option<Currency> {
    let of = |english, chinese| Some(Currency { english, chinese });
    match symbol {
        "$" => of(["dollar", "dollars", "cent", "cents"], "美元"),
        "US$" | "USD" => of(["US dollar", "US dollars", "cent", "cents"], "美元"),
        "HK$" | "HKD" => of(["Hong Kong dollar", "Hong Kong dollars", "cent", "cents"], "港元"),
        "NT$" | "TWD" => of(["Taiwan dollar", "Taiwan dollars", "cent", "cents"], "新台币"),
        "A$" => of(["Australian dollar", "Australian dollars", "cent", "cents"], "澳元"),
        "C$" => of(["Canadian dollar", "Canadian dollars", "cent", "cents"], "加元"),
        "S$" => of(["Singapore dollar", "Singapore dollars", "cent", "cents"], "新加坡元"),
        "€" | "EUR" => of(["euro", "euros", "cent", "cents"], "欧元"),
        "£" | "GBP" => of(["pound", "pounds", "penny", "pence"], "英镑"),
        "¥" | "￥" | "RMB" | "CNY" => of(["yuan", "yuan", "", ""], "元"),
        "JPY" => of(["yen", "yen", "", ""], "日元"),
        "₩" | "KRW" => of(["won", "won", "", ""], "韩元"),
        "₹" => of(["rupee", "rupees", "paisa", "paise"], "卢比"),
        "₽" => of(["ruble", "rubles", "kopeck", "kopecks"], "卢布"),
        "฿" => of(["baht", "baht", "", ""], "泰铢"),
        _ => None,
    }
}

/// The name of a power of ten.
fn scale(scale: &str, language: Language) -> Option<&'static str> {
    Some(match scale {
        "" => "",
        "k" | "K" | "thousand" | "千" => by(language, "千", " thousand"),
        "m" | "M" | "mn" | "million" | "百万" => by(language, "百万", " million"),
        "b" | "B" | "bn" | "billion" => by(language, "十亿", " billion"),
        "T" | "trillion" | "万亿" => by(language, "万亿", " trillion"),
        "万" => by(language, "万", " ten thousand"),
        "千万" => by(language, "千万", " ten million"),
        "亿" => by(language, "亿", " hundred million"),
        _ => return None,
    })
}

/// Zeros at the end of an amount are not read.
fn without_zeros(amount: &str) -> &str {
    if amount.contains('.') { amount.trim_end_matches('0').trim_end_matches('.') } else { amount }
}

fn amount(amount: &str, scale_name: &str, symbol: &str, language: Language) -> Option<String> {
    let currency = currency(symbol)?;
    let scale = scale(scale_name, language)?;
    let short = without_zeros(amount);
    let [one, many, cent, cents] = currency.english;
    match language {
        Language::Chinese => {
            let number = if scale.is_empty() { super::words::count(short, language) } else { number(short, language) };
            return Some(format!("{number}{scale}{}", currency.chinese));
        }
        Language::English if scale.is_empty() && !cent.is_empty() => {
            if let Some((whole, part)) = amount.split_once('.').filter(|(_, part)| part.len() == 2 && *part != "00") {
                let value = part.trim_start_matches('0');
                let part = format!("{} {}", cardinal(value, language), if is_one(value) { cent } else { cents });
                let unit = if is_one(whole) { one } else { many };
                return Some(match whole {
                    "0" => part,
                    _ => format!("{} {unit} and {part}", cardinal(whole, language)),
                });
            }
        }
        Language::English => {}
    }
    let unit = if is_one(short) && scale.is_empty() { one } else { many };
    Some(format!("{}{scale} {unit}", number(short, language)))
}

fn prefixed(found: &Found<'_>) -> Option<String> {
    let touches = found.previous().is_some_and(|c| c.is_ascii_alphabetic());
    let words = amount(found.group(2), found.group(3), found.group(1), found.language)?;
    // Some write both the sign and the name.
    let name = currency(found.group(1))?.chinese;
    let words = if found.after().starts_with(name) { words.replace(name, "") } else { words };
    (!touches && found.ends_alone()).then_some(words)
}

fn prefixed_range(found: &Found<'_>) -> Option<String> {
    let (first, last) = (found.group(2), amount(found.group(4), found.group(5), found.group(1), found.language)?);
    let to = by(found.language, "到", " to ");
    found.ends_alone().then(|| format!("{}{to}{last}", number(without_zeros(first), found.language)))
}

fn suffixed(found: &Found<'_>) -> Option<String> {
    // A sign before digits belongs to them, not to what precedes it.
    let is_amount = found.begins_alone() && !found.next().is_some_and(|c| c.is_ascii_alphanumeric());
    is_amount.then(|| amount(found.group(1), found.group(2), found.group(3), found.language))?
}
