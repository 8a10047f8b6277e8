//! Percentages and measured quantities.

use super::super::Language;
use super::rule::{Found, Read};
use super::words::{by, count, is_one, number};

macro_rules! number {
    () => {
        r"([-+]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?)"
    };
}

pub(super) const RULES: &[(&str, Read)] = &[
    (r"([0-9]+)\s?h\s?([0-9]{1,2})\s?m(?:in)?\b", duration),
    (r#"([0-9]{1,2})'\s?([0-9]{1,2})""#, feet),
    (concat!(number!(), r"([kwMB])"), scaled),
    (concat!(number!(), r"\s?[%％]?\s?[-–—~至到]\s?", number!(), r"\s?([%‰])"), percent_range),
    (concat!(number!(), r"\s?([%‰])"), percent),
    (
        concat!(
            number!(),
            r"\s?(°?[A-Za-zµμΩ]*[²³]?(?:/[A-Za-z]+[²³]?)?)\s?[-–—~至到]\s?",
            number!(),
            r"\s?(°?[A-Za-zµμΩ]*[²³23]?(?:/[A-Za-z]+[²³23]?)?)"
        ),
        measured_range,
    ),
    (concat!(number!(), r"\s?(°?[A-Za-zµμΩ]*[²³23]?(?:/[A-Za-z]+[²³23]?)?)"), measured),
    (r"\b(?:km|cm|m)[²³]", area),
];

/// A unit: its signs, its English names for one and for many, its Chinese name.
type Unit = (&'static [&'static str], &'static str, &'static str, &'static str);

#[rustfmt::skip]
const UNITS: &[Unit] = &[
    (&["km"], "kilometer", "kilometers", "公里"),
    (&["m"], "meter", "meters", "米"),
    (&["dm"], "decimeter", "decimeters", "分米"),
    (&["cm"], "centimeter", "centimeters", "厘米"),
    (&["mm"], "millimeter", "millimeters", "毫米"),
    (&["µm", "μm", "um"], "micrometer", "micrometers", "微米"),
    (&["nm"], "nanometer", "nanometers", "纳米"),
    (&["mi"], "mile", "miles", "英里"),
    (&["ft"], "foot", "feet", "英尺"),
    (&["yd"], "yard", "yards", "码"),
    (&["km²", "km2"], "square kilometer", "square kilometers", "平方公里"),
    (&["m²", "m2", "sqm"], "square meter", "square meters", "平方米"),
    (&["cm²", "cm2"], "square centimeter", "square centimeters", "平方厘米"),
    (&["m³", "m3"], "cubic meter", "cubic meters", "立方米"),
    (&["cm³", "cm3"], "cubic centimeter", "cubic centimeters", "立方厘米"),
    (&["ha"], "hectare", "hectares", "公顷"),
    (&["t"], "ton", "tons", "吨"),
    (&["kg", "Kg", "KG"], "kilogram", "kilograms", "公斤"),
    (&["g"], "gram", "grams", "克"),
    (&["mg"], "milligram", "milligrams", "毫克"),
    (&["µg", "μg", "ug"], "microgram", "micrograms", "微克"),
    (&["lb", "lbs"], "pound", "pounds", "磅"),
    (&["oz"], "ounce", "ounces", "盎司"),
    (&["l", "L"], "liter", "liters", "升"),
    (&["ml", "mL", "ML"], "milliliter", "milliliters", "毫升"),
    (&["km/h", "kmh", "kph"], "kilometer per hour", "kilometers per hour", "公里每小时"),
    (&["m/s"], "meter per second", "meters per second", "米每秒"),
    (&["m/s²", "m/s2"], "meter per second squared", "meters per second squared", "米每二次方秒"),
    (&["mph"], "mile per hour", "miles per hour", "英里每小时"),
    (&["h", "hr", "hrs"], "hour", "hours", "小时"),
    (&["min", "mins"], "minute", "minutes", "分钟"),
    (&["s", "sec", "secs"], "second", "seconds", "秒"),
    (&["ms"], "millisecond", "milliseconds", "毫秒"),
    (&["µs", "μs", "us"], "microsecond", "microseconds", "微秒"),
    (&["ns"], "nanosecond", "nanoseconds", "纳秒"),
    (&["°C"], "degree Celsius", "degrees Celsius", "摄氏度"),
    (&["°F"], "degree Fahrenheit", "degrees Fahrenheit", "华氏度"),
    (&["°"], "degree", "degrees", "度"),
    (&["Hz"], "hertz", "hertz", "赫兹"),
    (&["kHz", "KHz"], "kilohertz", "kilohertz", "千赫兹"),
    (&["MHz"], "megahertz", "megahertz", "兆赫兹"),
    (&["GHz"], "gigahertz", "gigahertz", "吉赫兹"),
    (&["KB", "kB"], "kilobyte", "kilobytes", "千字节"),
    (&["MB"], "megabyte", "megabytes", "兆字节"),
    (&["GB"], "gigabyte", "gigabytes", "吉字节"),
    (&["TB"], "terabyte", "terabytes", "太字节"),
    (&["kbps", "Kbps"], "kilobit per second", "kilobits per second", "千比特每秒"),
    (&["Mbps"], "megabit per second", "megabits per second", "兆比特每秒"),
    (&["Gbps"], "gigabit per second", "gigabits per second", "吉比特每秒"),
    (&["MB/s"], "megabyte per second", "megabytes per second", "兆字节每秒"),
    (&["GB/s"], "gigabyte per second", "gigabytes per second", "吉字节每秒"),
    (&["fps"], "frame per second", "frames per second", "帧每秒"),
    (&["px"], "pixel", "pixels", "像素"),
    (&["dB"], "decibel", "decibels", "分贝"),
    (&["mV"], "millivolt", "millivolts", "毫伏"),
    (&["V"], "volt", "volts", "伏"),
    (&["kV"], "kilovolt", "kilovolts", "千伏"),
    (&["mA"], "milliampere", "milliamperes", "毫安"),
    (&["mAh"], "milliampere hour", "milliampere hours", "毫安时"),
    (&["W"], "watt", "watts", "瓦"),
    (&["kW", "KW"], "kilowatt", "kilowatts", "千瓦"),
    (&["MW"], "megawatt", "megawatts", "兆瓦"),
    (&["kWh"], "kilowatt hour", "kilowatt hours", "千瓦时"),
    (&["Ω"], "ohm", "ohms", "欧姆"),
    (&["cal"], "calorie", "calories", "卡"),
    (&["kcal"], "kilocalorie", "kilocalories", "千卡"),
    (&["kPa"], "kilopascal", "kilopascals", "千帕"),
    (&["Pa"], "pascal", "pascals", "帕"),
];

/// A sign after a word or a number joins them; the number without it, and what is said for it.
fn signed<'t>(found: &Found<'_>, text: &'t str) -> (&'t str, &'static str) {
    match text.strip_prefix('-') {
        Some(rest) if found.previous().is_some_and(|c| c.is_ascii_alphanumeric()) => (rest, " "),
        None if text.starts_with('+') && found.previous().is_some_and(|c| c.is_ascii_alphanumeric()) => {
            (&text[1..], by(found.language, "加", " plus "))
        }
        _ => (text, ""),
    }
}

fn percent_word(sign: &str, language: Language) -> &'static str {
    match sign {
        "%" => by(language, "百分之", " percent"),
        _ => by(language, "千分之", " per mille"),
    }
}

fn percentage(text: &str, sign: &str, language: Language) -> String {
    let word = percent_word(sign, language);
    match language {
        Language::English => format!("{}{word}", number(text, language)),
        Language::Chinese => {
            let unsigned = text.trim_start_matches(['-', '+']);
            let sign = if text.starts_with('-') {
                "负"
            } else if text.starts_with('+') {
                "正"
            } else {
                ""
            };
            format!("{sign}{word}{}", number(unsigned, language))
        }
    }
}

fn percent(found: &Found<'_>) -> Option<String> {
    let (text, dash) = signed(found, found.group(1));
    (found.begins_alone() || !dash.is_empty())
        .then(|| format!("{dash}{}", percentage(text, found.group(2), found.language)))
}

fn percent_range(found: &Found<'_>) -> Option<String> {
    let (first, last, sign) = (found.group(1), found.group(2), found.group(3));
    let last = percentage(last, sign, found.language);
    let first = match found.language {
        Language::Chinese => percentage(first, sign, found.language),
        Language::English => number(first, found.language),
    };
    found.begins_alone().then(|| format!("{first}{}{last}", by(found.language, "到", " to ")))
}

/// The name of a unit, if the letters after the number are one.
fn unit_name(sign: &str, one: bool, language: Language) -> Option<&'static str> {
    let (_, singular, plural, chinese) = UNITS.iter().find(|(signs, ..)| signs.contains(&sign))?;
    Some(match language {
        Language::Chinese => chinese,
        Language::English if one => singular,
        Language::English => plural,
    })
}

fn quantity(text: &str, name: &str, language: Language) -> String {
    format!("{}{}{name}", count(text, language), by(language, "", " "))
}

fn ends_unit(found: &Found<'_>) -> bool {
    !found.next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '/')
}

fn measured(found: &Found<'_>) -> Option<String> {
    let (text, dash) = signed(found, found.group(1));
    let name = unit_name(found.group(2), is_one(text), found.language)?;
    let begins = found.begins_alone() || !dash.is_empty();
    (begins && ends_unit(found)).then(|| format!("{dash}{}", quantity(text, name, found.language)))
}

fn measured_range(found: &Found<'_>) -> Option<String> {
    let (first, first_unit, last, sign) = (found.group(1), found.group(2), found.group(3), found.group(4));
    let name = unit_name(sign, false, found.language)?;
    let agrees = first_unit.is_empty() || first_unit == sign;
    let is_range = agrees && found.begins_alone() && ends_unit(found);
    let to = by(found.language, "到", " to ");
    is_range.then(|| format!("{}{to}{}", count(first, found.language), quantity(last, name, found.language)))
}

/// 2h30min
fn duration(found: &Found<'_>) -> Option<String> {
    let part = |digits: &str, sign| {
        let digits = digits.trim_start_matches('0');
        Some(quantity(digits, unit_name(sign, is_one(digits), found.language)?, found.language))
    };
    let (hours, minutes) = (part(found.group(1), "h")?, part(found.group(2), "min")?);
    let is_duration = found.begins_alone() && [1, 2].iter().all(|group| found.group(*group).bytes().any(|b| b != b'0'));
    is_duration.then(|| format!("{hours}{}{minutes}", by(found.language, "", " ")))
}

/// Feet and inches: 5'6".
fn feet(found: &Found<'_>) -> Option<String> {
    let part = |digits, one, many, chinese| {
        let name = if is_one(digits) { one } else { many };
        format!("{}{}", number(digits, found.language), by(found.language, chinese, name))
    };
    let (feet, inches) = (found.group(1), found.group(2));
    let words =
        part(feet, " foot", " feet", "英尺") + by(found.language, "", " ") + &part(inches, " inch", " inches", "英寸");
    found.begins_alone().then_some(words)
}

/// A unit of area or volume without a number: per m².
fn area(found: &Found<'_>) -> Option<String> {
    let name = unit_name(found.group(0), found.previous() == Some('/'), found.language)?;
    Some(name.to_owned())
}

/// 5k, and in Chinese 10w, in English 1.2M.
fn scaled(found: &Found<'_>) -> Option<String> {
    let scale = match (found.group(2), found.language) {
        ("k", language) => by(language, "千", " thousand"),
        ("w", Language::Chinese) => "万",
        ("M", Language::English) => " million",
        ("B", Language::English) => " billion",
        _ => return None,
    };
    found.is_alone().then(|| format!("{}{scale}", count(found.group(1), found.language)))
}
