//! The cutting rules of the reference implementations, exactly.

use crate::chunk::{Token, phonemes_of, text_of};
use crate::vocab::MAX_PHONEMES;

/// Characters per chunk in languages other than English (`kokoro.pipeline:KPipeline.__call__`).
const OTHER_CHUNK_CHARACTERS: usize = 400;

/// Marks to cut after, best first (`kokoro.pipeline:KPipeline.waterfall_last`).
const WATERFALL: [&str; 3] = ["!.?…", ":;", ",—"];

/// Marks that stay with the mark before them.
const BUMPS: [&str; 2] = [")", "”"];

/// A chunk of English tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// As written.
    pub graphemes: String,
    /// As spoken, at most the limit.
    pub phonemes: String,
    /// The tokens.
    pub tokens: Vec<Token>,
}

/// Where to cut `tokens` when the next one no longer fits, so that the rest and the next one do: after the last mark of
/// the best kind, else after everything. `next_count` counts the characters of all tokens and the next one.
#[must_use]
pub fn waterfall_last(tokens: &[Token], next_count: usize, limit: usize) -> usize {
    for marks in WATERFALL {
        let is_mark = |token: &Token| {
            let mut characters = token.phonemes.chars();
            matches!((characters.next(), characters.next()), (Some(mark), None) if marks.contains(mark))
        };
        let Some(last) = tokens.iter().rposition(is_mark) else { continue };
        let mut cut = last + 1;
        if tokens.get(cut).is_some_and(|token| BUMPS.contains(&token.phonemes.as_str())) {
            cut += 1;
        }
        if next_count.saturating_sub(phonemes_of(&tokens[..cut]).chars().count()) <= limit {
            return cut;
        }
    }
    tokens.len()
}

/// Cuts English tokens into chunks of at most `limit` phoneme characters (`kokoro.pipeline:KPipeline.en_tokenize`, where
/// the limit is 510). A single token above the limit stays whole.
#[must_use]
pub fn chunk_english(tokens: &[Token], limit: usize) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut start = 0;
    let mut count = 0;
    for (index, token) in tokens.iter().enumerate() {
        let next_count = count + token.phonemes.trim_end().chars().count();
        // White space counts only once something follows it, except after a token without phonemes.
        if next_count > limit {
            let cut = start + waterfall_last(&tokens[start..index], next_count, limit);
            chunks.push(chunk(&tokens[start..cut]));
            start = cut;
            count = phonemes_of(&tokens[start..index]).chars().count();
            if start == index {
                // A chunk doesn't start with the white space of a silent token.
                count += token.spoken_len() - usize::from(token.phonemes.is_empty() && !token.whitespace.is_empty());
                continue;
            }
        }
        count += token.spoken_len();
    }
    if start < tokens.len() {
        chunks.push(chunk(&tokens[start..]));
    }
    chunks
}

fn chunk(tokens: &[Token]) -> Chunk {
    Chunk { graphemes: text_of(tokens), phonemes: phonemes_of(tokens), tokens: tokens.to_vec() }
}

/// Cuts a line of another language at runs of `.`, `!` and `?` and gathers the sentences up to 400 characters
/// (`kokoro.pipeline:KPipeline.__call__`). A longer sentence stays whole: see [`split_text_fully`].
#[must_use]
pub fn chunk_text(line: &str) -> Vec<String> {
    let mut chunks = Vec::new();
    let mut current = String::new();
    let mut current_len = 0;
    for sentence in sentences(line) {
        let len = sentence.chars().count();
        if current_len + len > OTHER_CHUNK_CHARACTERS && current_len > 0 {
            chunks.push(std::mem::take(&mut current));
            current_len = 0;
        }
        current.push_str(sentence);
        current_len += len;
    }
    chunks.push(current);
    chunks.iter().map(|chunk| chunk.trim().to_owned()).filter(|chunk| !chunk.is_empty()).collect()
}

/// Each sentence with the run of marks that ends it.
fn sentences(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let is_end = |character| matches!(character, '.' | '!' | '?');
        let marks = rest.find(is_end).unwrap_or(rest.len());
        let end = rest[marks..].find(|character| !is_end(character)).map_or(rest.len(), |length| marks + length);
        let (sentence, after) = rest.split_at(end);
        rest = after;
        Some(sentence)
    })
}

/// [`chunk_text`] without its defect: a chunk longer than `limit` characters is cut further. No text is lost.
#[must_use]
pub fn split_text_fully(line: &str, limit: usize) -> Vec<String> {
    chunk_text(line).iter().flat_map(|chunk| split_at_sentences(chunk, limit)).collect()
}

/// Cuts a text into pieces of at most `limit` characters: at sentence marks of any script, where that doesn't do at clause
/// marks, at white space, and in the end hard. A shorter text stays whole. No text is lost.
#[must_use]
pub fn split_at_sentences(text: &str, limit: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    cut(text, limit.max(1), 0, &mut pieces);
    pieces
}

/// Marks to cut after, least harmful first: those that need white space behind them (`3.14` is one word), and those of
/// scripts that write none.
const CUTS: [(&str, &str); 2] = [(".!?…", "。！？।"), (",;:—", "，；：、")];

fn cut(text: &str, limit: usize, level: usize, pieces: &mut Vec<String>) {
    let text = text.trim();
    if text.chars().count() <= limit {
        if !text.is_empty() {
            pieces.push(text.to_owned());
        }
        return;
    }
    if level > CUTS.len() {
        let characters: Vec<char> = text.chars().collect();
        pieces.extend(characters.chunks(limit).map(|piece| piece.iter().collect::<String>()));
        return;
    }
    let mut current = String::new();
    let mut current_len = 0;
    for part in parts_at(text, level) {
        if current_len + part.trim_end().chars().count() > limit && current_len > 0 {
            cut(&std::mem::take(&mut current), limit, level + 1, pieces);
            current_len = 0;
        }
        current.push_str(part);
        current_len += part.chars().count();
    }
    cut(&current, limit, level + 1, pieces);
}

/// Parts that end at the cuts of a level, white space included; beyond the table's levels, words.
fn parts_at(text: &str, level: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut previous = None;
        let mut end = rest.len();
        for (at, character) in rest.char_indices() {
            let cut_here = match CUTS.get(level) {
                None => previous.is_some_and(char::is_whitespace) && !character.is_whitespace(),
                Some((spaced, unspaced)) => previous.is_some_and(|mark| {
                    unspaced.contains(mark) || (spaced.contains(mark) && character.is_whitespace())
                }),
            };
            if cut_here && at > 0 {
                end = at;
                break;
            }
            previous = Some(character);
        }
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(part)
    })
}

/// Whether a raw phoneme string can be spoken in one run (`kokoro.pipeline:KPipeline.generate_from_tokens`).
#[must_use]
pub fn raw_phonemes_fit(phonemes: &str) -> bool {
    phonemes.chars().count() <= MAX_PHONEMES
}

/// A batch of [`balanced_split`] and the seconds of silence after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Phonemes, without white space at the ends.
    pub phonemes: String,
    /// Seconds: 0.25 after a sentence, 0.1 after a clause, else 0; 0 after the last batch.
    pub pause_after: f32,
}

/// Cuts a phoneme string into the fewest batches of at most `limit` characters and fills them evenly
/// (`kokoro_onnx.chunker:split_phonemes`): a short rest would be spoken at another pace than its neighbours.
#[must_use]
pub fn balanced_split(phonemes: &str, limit: usize) -> Vec<Batch> {
    let limit = limit.max(1);
    let mut atoms = Vec::new();
    collect_atoms(phonemes.trim(), limit, 0, &mut atoms);
    if atoms.is_empty() {
        return Vec::new();
    }
    let lengths: Vec<usize> = atoms.iter().map(|atom| atom.chars().count()).collect();
    let fewest = pack(&lengths, limit).len();
    let (mut low, mut high) = (lengths.iter().copied().max().unwrap_or(1), limit);
    while low < high {
        let middle = low.midpoint(high);
        if pack(&lengths, middle).len() <= fewest {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let groups = pack(&lengths, low);
    let last = groups.len() - 1;
    let batches = groups.into_iter().enumerate().map(|(index, group)| {
        let phonemes = atoms[group].join(" ");
        let pause_after = if index == last { 0.0 } else { pause_after(&phonemes) };
        Batch { phonemes, pause_after }
    });
    batches.collect()
}

const SENTENCE_MARKS: &[char] = &['.', '!', '?', '…'];
const CLAUSE_MARKS: &[char] = &[',', ';', ':'];

/// Pieces of at most `limit` characters, cut at the least harmful places that are there: white space after a sentence
/// mark, after a clause mark, any white space, anywhere.
fn collect_atoms(text: &str, limit: usize, level: usize, atoms: &mut Vec<String>) {
    if text.chars().count() <= limit {
        if !text.is_empty() {
            atoms.push(text.to_owned());
        }
        return;
    }
    for level in level..3 {
        let pieces = split_at_whitespace(text, level);
        if pieces.len() > 1 {
            for piece in pieces {
                collect_atoms(piece.trim(), limit, level + 1, atoms);
            }
            return;
        }
    }
    let characters: Vec<char> = text.chars().collect();
    atoms.extend(characters.chunks(limit).map(|piece| piece.iter().collect::<String>()));
}

/// Splits at runs of white space that follow a mark of the level (2: any white space).
fn split_at_whitespace(text: &str, level: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut previous = None;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let follows = match level {
            0 => previous.is_some_and(|mark| SENTENCE_MARKS.contains(&mark)),
            1 => previous.is_some_and(|mark| CLAUSE_MARKS.contains(&mark)),
            _ => true,
        };
        previous = Some(character);
        if !character.is_whitespace() || !follows {
            continue;
        }
        let mut end = at + character.len_utf8();
        while let Some((next, _)) = characters.next_if(|(_, character)| character.is_whitespace()) {
            end = next + text[next..].chars().next().map_or(1, char::len_utf8);
        }
        pieces.push(&text[start..at]);
        start = end;
    }
    pieces.push(&text[start..]);
    pieces
}

/// Groups consecutive pieces, joined by single spaces, up to `limit`.
fn pack(lengths: &[usize], limit: usize) -> Vec<std::ops::Range<usize>> {
    let mut groups = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (index, &length) in lengths.iter().enumerate() {
        let candidate = if index == start { length } else { size + 1 + length };
        if candidate > limit && index > start {
            groups.push(start..index);
            (start, size) = (index, length);
        } else {
            size = candidate;
        }
    }
    if !lengths.is_empty() {
        groups.push(start..lengths.len());
    }
    groups
}

/// Seconds of silence after a batch that ends so (`kokoro_onnx.chunker:pause_after`).
fn pause_after(phonemes: &str) -> f32 {
    match phonemes.trim_end().chars().next_back() {
        Some(mark) if SENTENCE_MARKS.contains(&mark) => 0.25,
        Some(mark) if CLAUSE_MARKS.contains(&mark) => 0.1,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_where_the_reference_loses_it() {
        let line = "今天天气很好。".repeat(90);
        assert_eq!(chunk_text(&line).len(), 1);
        let pieces = split_text_fully(&line, 100);
        assert!(pieces.iter().all(|piece| piece.chars().count() <= 100));
        assert_eq!(pieces.concat(), line);
        let unbroken = "a".repeat(950);
        assert_eq!(split_text_fully(&unbroken, 400).iter().map(String::len).collect::<Vec<_>>(), [400, 400, 150]);
        assert!(split_text_fully("  ", 10).is_empty());
    }
}
