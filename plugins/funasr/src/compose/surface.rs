//! Texts of stretches joined, and marks put into text that keeps its surface.
//!
//! Source: FunASR `auto/auto_model.py` (`_join_vad_texts`, `_punctuate_surface_text`, `_merge_timestamp_units`,
//! `_timestamp_sentences_from_surface`).

use super::sentences::Sentence;
use crate::punctuation::restore::Marks;
use crate::punctuation::words::Words;
use crate::text::sentence::Span;

/// Joins texts, tags removed, with a space except between two Chinese characters.
#[must_use]
pub fn join<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let mut joined = String::new();
    for text in texts {
        append(&mut joined, &crate::text::rich::without_tags(text));
    }
    joined
}

/// Appends a text with the space that [`join`] puts between; says what was appended.
pub fn append(joined: &mut String, text: &str) -> String {
    let text = text.trim();
    let is_chinese = |character: char| ('\u{3400}'..='\u{9fff}').contains(&character);
    let added = match (joined.chars().next_back(), text.chars().next()) {
        (_, None) => String::new(),
        (Some(last), Some(first)) if !(is_chinese(last) && is_chinese(first)) => format!(" {text}"),
        _ => text.to_owned(),
    };
    joined.push_str(&added);
    added
}

/// Units of a text as the classes of marks belong to them; none if their numbers differ.
#[must_use]
pub fn units(text: &str, classes: usize, words: &Words) -> Option<Vec<String>> {
    let mut units = Vec::new();
    for word in words.split(text) {
        let is_chinese = word.chars().next().is_some_and(|first| ('\u{0e00}'..='\u{9fa5}').contains(&first));
        if is_chinese && word.chars().count() > 1 {
            units.extend(word.chars().map(String::from));
        } else {
            units.push(word);
        }
    }
    (units.len() == classes).then_some(units)
}

/// Where units lie in a text, in characters; none if the text is of something else.
fn places(text: &[char], units: &[String]) -> Option<Vec<[usize; 2]>> {
    let mut places = Vec::with_capacity(units.len());
    let mut cursor = 0;
    for unit in units {
        while text.get(cursor).is_some_and(|character| character.is_whitespace()) {
            cursor += 1;
        }
        let end = cursor + unit.chars().count();
        let found: String = text.get(cursor..end)?.iter().collect();
        if found.to_lowercase() != unit.to_lowercase() {
            return None;
        }
        places.push([cursor, end]);
        cursor = end;
    }
    text[cursor..].iter().all(|character| character.is_whitespace()).then_some(places)
}

/// The mark of a class after a unit.
fn mark<'m>(class: usize, unit: &str, marks: &'m Marks) -> &'m str {
    let mark = marks.text(class);
    if !unit.starts_with(|first: char| first.is_ascii()) {
        return mark;
    }
    match mark {
        "，" | "、" => ",",
        "。" => ".",
        "？" => "?",
        other => other,
    }
}

/// Puts marks into a text and changes nothing else.
#[must_use]
pub fn punctuate(text: &str, classes: &[usize], words: &Words, marks: &Marks) -> Option<String> {
    let units = units(text, classes.len(), words)?;
    let text: Vec<char> = text.chars().collect();
    let places = places(&text, &units)?;
    let mut out = String::new();
    let mut cursor = 0;
    for ((unit, &class), [_, end]) in units.iter().zip(classes).zip(places) {
        out.extend(&text[cursor..end]);
        out.push_str(mark(class, unit, marks));
        cursor = end;
    }
    out.extend(&text[cursor..]);
    Some(out)
}

/// Units of the punctuation model with times, made of the recogniser's units.
#[must_use]
pub fn merge_units(
    text: &str,
    recognised: &[String],
    spans: &[Span],
    classes: usize,
    words: &Words,
) -> Option<(String, Vec<Span>)> {
    let plain = |unit: &str| unit.split_whitespace().collect::<String>().replace('\u{2581}', "").to_lowercase();
    let units = units(text, classes, words)?;
    if recognised.len() != spans.len() {
        return None;
    }
    let mut characters: Vec<(char, Span)> = Vec::new();
    for (unit, &[start, end]) in recognised.iter().zip(spans) {
        let unit: Vec<char> = plain(unit).chars().collect();
        if unit.is_empty() || end < start {
            return None;
        }
        let at = |i: usize| start + (end - start) * i as i64 / unit.len() as i64;
        characters.extend(unit.iter().enumerate().map(|(i, &character)| (character, [at(i), at(i + 1)])));
    }
    let mut merged = Vec::with_capacity(units.len());
    let mut rest = &characters[..];
    for unit in &units {
        let unit: Vec<char> = plain(unit).chars().collect();
        let (own, after) = rest.split_at_checked(unit.len())?;
        if unit.is_empty() || own.iter().map(|(character, _)| character).ne(&unit) {
            return None;
        }
        merged.push([own[0].1[0], own[own.len() - 1].1[1]]);
        rest = after;
    }
    rest.is_empty().then(|| (units.join(" "), merged))
}

/// Sentences of a text that keeps its surface.
#[must_use]
pub fn sentences(text: &str, spans: &[Span], classes: &[usize], words: &Words, marks: &Marks) -> Option<Vec<Sentence>> {
    let units = units(text, classes.len(), words)?;
    if units.len() != spans.len() {
        return None;
    }
    let text: Vec<char> = text.chars().collect();
    let places = places(&text, &units)?;
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut sentence = |start: usize, end: usize, mark: &str| {
        let raw: String = text[places[start][0]..places[end][1]].iter().collect();
        let raw = raw.trim();
        sentences.push(Sentence {
            text: format!("{raw}{mark}"),
            start: Some(spans[start][0]),
            end: spans[end][1],
            spans: spans[start..=end].iter().copied().map(Some).collect(),
            raw: raw.to_owned(),
        });
    };
    for (i, (unit, &class)) in units.iter().zip(classes).enumerate() {
        let mark = mark(class, unit, marks);
        if !mark.is_empty() {
            sentence(start, i, mark);
            start = i + 1;
        }
    }
    if start < units.len() {
        sentence(start, units.len() - 1, "");
    }
    Some(sentences)
}
