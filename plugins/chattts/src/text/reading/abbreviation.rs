//! English abbreviations, contractions and initials.

use super::rule::{Found, Read};

pub(super) const RULES: &[(&str, Read)] = &[
    (r"\b(?:[A-Za-z]\.){2,}", initials),
    (r"\b([A-Za-z]{1,6})\.", abbreviation),
    (r"(?i)\b(w/o|w/|vs|and/or)(?:\b|\s)", short),
    (r"(?i)\b([a-z]+)('ll|'re|'ve|'m|n't|'d)\b", contraction),
    (r"\b([CF])#", |found| Some(format!("{} sharp", found.group(1)))),
    (r"(?i)\bo'clock\b", |_| Some("o clock".to_owned())),
];

/// Titles and others that a name follows: the dot never ends a sentence.
const TITLES: &[(&str, &str)] = &[
    ("Mr", "Mister"),
    ("Mrs", "Missus"),
    ("Ms", "Miss"),
    ("Dr", "Doctor"),
    ("Prof", "Professor"),
    ("St", "Saint"),
    ("Mt", "Mount"),
    ("Gen", "General"),
    ("Sen", "Senator"),
    ("Gov", "Governor"),
    ("Capt", "Captain"),
    ("Lt", "Lieutenant"),
    ("Sgt", "Sergeant"),
    ("Rev", "Reverend"),
    ("Hon", "Honorable"),
    ("vs", "versus"),
];

/// Others; their dot also ends the sentence if nothing follows.
const WORDS: &[(&str, &str)] = &[
    ("Jr", "Junior"),
    ("Sr", "Senior"),
    ("Inc", "Incorporated"),
    ("Ltd", "Limited"),
    ("Corp", "Corporation"),
    ("Co", "Company"),
    ("Ave", "Avenue"),
    ("Blvd", "Boulevard"),
    ("Rd", "Road"),
    ("etc", "et cetera"),
    ("approx", "approximately"),
    ("dept", "department"),
    ("Dept", "Department"),
    ("est", "established"),
    ("fig", "figure"),
    ("Fig", "Figure"),
    ("Bldg", "Building"),
    ("tel", "telephone"),
    ("Tel", "Telephone"),
    ("pp", "pages"),
    ("vol", "volume"),
    ("Vol", "Volume"),
];

/// With dots inside.
const DOTTED: &[(&str, &str)] =
    &[("e.g.", "for example"), ("i.e.", "that is"), ("a.k.a.", "also known as"), ("p.s.", "P S")];

fn lookup(table: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    table.iter().find(|(name, _)| *name == key).map(|(_, words)| *words)
}

/// "U.S." is "U S"; at the end of a text it also ends the sentence.
fn initials(found: &Found<'_>) -> Option<String> {
    let text = found.group(0);
    if let Some(words) = lookup(DOTTED, &text.to_ascii_lowercase()) {
        return Some(words.to_owned());
    }
    let letters = text.trim_end_matches('.').replace('.', " ");
    let rest = found.after().split('\n').next().unwrap_or_default();
    Some(if rest.trim().is_empty() { letters + "." } else { letters })
}

fn abbreviation(found: &Found<'_>) -> Option<String> {
    if let Some(title) = lookup(TITLES, found.group(1)) {
        // A saint begins with it, a street ends with it.
        return match found.next() {
            Some(' ') if found.group(1) == "St" && follows_name(found) => {
                Some(if found.ends_sentence() { "Street." } else { "Street" }.to_owned())
            }
            Some(' ') => Some(title.to_owned()),
            Some(',') if found.group(1) == "St" => Some("Street".to_owned()),
            _ if found.group(1) == "St" => Some("Street.".to_owned()),
            _ => None,
        };
    }
    let words = lookup(WORDS, found.group(1))?;
    Some(if found.ends_sentence() { format!("{words}.") } else { words.to_owned() })
}

/// Whether the word before is a name, not one that may begin a sentence.
fn follows_name(found: &Found<'_>) -> bool {
    let word = found.before().trim_end().rsplit(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    let first_words = ["The", "From", "Near", "With", "And", "But", "For", "Visit", "Our"];
    word.len() > 2 && word.starts_with(|c: char| c.is_ascii_uppercase()) && !first_words.contains(&word)
}

fn short(found: &Found<'_>) -> Option<String> {
    let text = found.group(0);
    let words = match found.group(1).to_ascii_lowercase().as_str() {
        "w/o" => "without",
        "w/" => "with",
        "vs" => "versus",
        _ => "and or",
    };
    let end = if text.ends_with(char::is_whitespace) { " " } else { "" };
    Some(format!("{words}{end}"))
}

/// Without its apostrophe "we'll" would be "well".
fn contraction(found: &Found<'_>) -> Option<String> {
    let (word, end) = (found.group(1), found.group(2).to_ascii_lowercase());
    Some(match (word.to_ascii_lowercase().as_str(), end.as_str()) {
        ("ca", "n't") => format!("{}annot", &word[..1]),
        ("wo", "n't") => format!("{}ill not", &word[..1]),
        ("sha", "n't") => format!("{}hall not", &word[..1]),
        (_, "n't") => format!("{word} not"),
        (_, "'ll") => format!("{word} will"),
        (_, "'re") => format!("{word} are"),
        (_, "'ve") => format!("{word} have"),
        (_, "'m") => format!("{word} am"),
        _ => format!("{word} would"),
    })
}
