//! Writes what isn't words as words: numbers, dates, times, amounts, units, signs, abbreviations, addresses; in English or Chinese, by the
//! language of the words around.
//!
//! The reference drops all of these without a word. This layer comes before it, and after it little but letters, `,` and `.` is left.
//!
//! [`fold`] brings characters to common forms, then [`rule`]s run one after another, each seeing what the ones before it left ([`address`],
//! [`date`], [`time`], [`telephone`], [`money`], [`quantity`], [`arithmetic`], [`numeral`], [`abbreviation`]), and [`marks`] clears up what remains.

mod abbreviation;
mod address;
mod arithmetic;
mod date;
mod fold;
mod marks;
mod money;
mod numeral;
mod quantity;
mod rule;
mod telephone;
#[cfg(test)]
mod tests;
mod time;
mod words;

use std::sync::LazyLock;

use regex::Regex;

use self::rule::Rule;
use super::Language;

/// The rules in their order, and how a control tag looks. The patterns are constants, checked by the tests.
struct Reading {
    rules: Vec<Rule>,
    tag: Regex,
}

static READING: LazyLock<Result<Reading, regex::Error>> = LazyLock::new(|| {
    let groups = [
        address::RULES,
        date::RULES,
        time::RULES,
        telephone::RULES,
        money::RULES,
        quantity::RULES,
        arithmetic::RULES,
        numeral::RULES,
        abbreviation::RULES,
    ];
    let rules = groups.concat().iter().map(|(pattern, read)| Rule::new(pattern, *read)).collect::<Result<_, _>>()?;
    Ok(Reading { rules, tag: Regex::new(r"\[[A-Za-z][A-Za-z_]*[0-9]?\]")? })
});

/// `text` in words. Control tags (`[uv_break]`, `[speed_5]`) stay as they are; lines stay lines and end like sentences. `language` is that of
/// the whole, for what has no words around.
pub fn read(text: &str, language: Language) -> String {
    let Ok(Reading { rules, tag }) = READING.as_ref() else { return text.to_owned() };
    let stretch = |text: &str, continues: bool| {
        let folded = fold::fold(text);
        let read = rules.iter().fold(folded, |text, rule| rule.apply(text, language));
        marks::clear(&read, language, continues)
    };
    let mut out = String::with_capacity(text.len() * 2);
    let mut done = 0;
    for found in tag.find_iter(text) {
        out.push_str(&stretch(&text[done..found.start()], done > 0));
        out.push_str(found.as_str());
        done = found.end();
    }
    out + &stretch(&text[done..], done > 0)
}
