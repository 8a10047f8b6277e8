//! The order in which a text is spoken: pieces of whole sentences, the first one short.

use std::ops::Range;

use crate::chunk::{Token, chunk_english, phonemes_of};

/// Most phonemes of a piece. The network's memory grows with its input (measured: 0.35 GB at 120 phonemes, 0.5 GB at
/// 200, 1.1 GB at 510), and so does the time until a request notices that it is no longer wanted.
pub const PIECE_LIMIT: usize = 200;

/// Phonemes up to which sentences are gathered into one piece: a sentence of its own is often so short that it is spoken
/// hastily, and prosody runs on within a piece.
pub const PIECE_TARGET: usize = 150;

/// Phonemes of the first piece where a sentence or clause ends in time: what is heard first is made first.
pub const FIRST_TARGET: usize = 60;

/// A first clause shorter than this is not spoken on its own.
const FIRST_MINIMUM: usize = 12;

/// A first sentence up to this length is not cut at a clause.
const FIRST_SENTENCE_LIMIT: usize = 90;

/// Cuts tokens into pieces. Pieces grow from one to the next (each may be up to two and a half times as long as the one before), so
/// that each is made while the one before is heard, even on a machine that is hardly faster than speech.
#[derive(Debug)]
pub struct Plan {
    /// Phonemes that the next piece should have at most, if it can.
    target: usize,
    /// What `target` grows to.
    full_target: usize,
    /// Phonemes that no piece exceeds.
    limit: usize,
    first: bool,
}

impl Plan {
    /// A plan for speech at `speed`: below 1, audio per phoneme grows, and so pieces get shorter.
    #[must_use]
    pub fn new(speed: f32) -> Self {
        let scaled = |phonemes: usize| (phonemes as f32 * speed.clamp(0.25, 1.0)) as usize;
        Plan { target: FIRST_TARGET, full_target: scaled(PIECE_TARGET), limit: scaled(PIECE_LIMIT), first: true }
    }

    /// Cuts `tokens` into ranges that follow each other without gaps. Every piece has at most [`PIECE_LIMIT`] phonemes
    /// (fewer for slow speech), except that a single token is never cut.
    pub fn cut(&mut self, tokens: &[Token]) -> Vec<Range<usize>> {
        let mut pieces = Vec::new();
        let mut gathered = 0..0;
        for sentence in sentences(tokens) {
            for part in self.parts(tokens, sentence) {
                let joined = gathered.start..part.end;
                if gathered.is_empty() {
                    gathered = part;
                } else if length(tokens, &joined) <= self.target {
                    gathered = joined;
                } else {
                    self.finish(tokens, std::mem::replace(&mut gathered, part), &mut pieces);
                }
            }
        }
        if !gathered.is_empty() {
            self.finish(tokens, gathered, &mut pieces);
        }
        pieces
    }

    fn finish(&mut self, tokens: &[Token], piece: Range<usize>, pieces: &mut Vec<Range<usize>>) {
        if length(tokens, &piece) > 0 {
            self.target = (5 * length(tokens, &piece) / 2).clamp(self.target.min(self.full_target), self.full_target);
        }
        pieces.push(piece);
    }

    /// The parts of a sentence: itself, unless it is the first and long, or longer than a piece may be.
    fn parts(&mut self, tokens: &[Token], sentence: Range<usize>) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let mut rest = sentence;
        if self.first && length(tokens, &rest) > 0 {
            self.first = false;
            if length(tokens, &rest) > FIRST_SENTENCE_LIMIT
                && let Some(cut) = first_clause(tokens, &rest)
            {
                parts.push(rest.start..cut);
                rest.start = cut;
            }
        }
        let total = length(tokens, &rest);
        if total <= self.limit {
            parts.push(rest);
            return parts;
        }
        // Even parts, with some room to end at a mark.
        let count = total.div_ceil(self.limit);
        let limit = (total.div_ceil(count) + self.limit / 6).min(self.limit);
        let mut start = rest.start;
        for chunk in chunk_english(&tokens[rest], limit) {
            if !chunk.tokens.is_empty() {
                parts.push(start..start + chunk.tokens.len());
                start += chunk.tokens.len();
            }
        }
        parts
    }
}

/// Phoneme characters of a range.
fn length(tokens: &[Token], range: &Range<usize>) -> usize {
    phonemes_of(&tokens[range.clone()]).chars().count()
}

fn single(token: &Token) -> Option<char> {
    let mut characters = token.phonemes.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) => Some(character),
        _ => None,
    }
}

/// Ranges that end with a sentence mark, the marks and closing quotes right behind it included. A mark without white
/// space behind it is inside of something (`example.com`) and ends nothing.
fn sentences(tokens: &[Token]) -> Vec<Range<usize>> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut ended = false;
    let mut spaced = false;
    for (index, token) in tokens.iter().enumerate() {
        let mark = single(token);
        let ends = mark.is_some_and(|mark| "!.?…".contains(mark));
        let belongs = ends || mark.is_some_and(|mark| ")”\"".contains(mark)) || token.phonemes.is_empty();
        if ended && !belongs {
            if spaced {
                sentences.push(start..index);
                start = index;
            }
            ended = false;
        }
        ended |= ends;
        spaced = !token.whitespace.is_empty();
    }
    if start < tokens.len() {
        sentences.push(start..tokens.len());
    }
    sentences
}

/// Where the first clause of `range` ends that is neither too short nor too long to be heard on its own.
fn first_clause(tokens: &[Token], range: &Range<usize>) -> Option<usize> {
    let mut best = None;
    for index in range.clone() {
        let so_far = length(tokens, &(range.start..index + 1));
        if so_far > FIRST_SENTENCE_LIMIT {
            break;
        }
        let mark = single(&tokens[index]).is_some_and(|mark| ",;:—".contains(mark));
        if mark && so_far >= FIRST_MINIMUM && index + 1 < range.end {
            best = Some(index + 1);
            if so_far >= FIRST_TARGET / 2 {
                break;
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::tokens_of_phonemes;

    fn pieces(text: &str) -> Vec<String> {
        let tokens = tokens_of_phonemes(text);
        let ranges = Plan::new(1.0).cut(&tokens);
        let mut next = 0;
        for range in &ranges {
            assert_eq!(range.start, next);
            next = range.end;
        }
        assert_eq!(next, tokens.len());
        ranges.into_iter().map(|range| phonemes_of(&tokens[range])).collect()
    }

    #[test]
    fn short_texts_stay_whole() {
        assert_eq!(pieces("hˈI!"), ["hˈI!"]);
        assert_eq!(pieces("hˈI! hˌW ɑɹ ju?"), ["hˈI! hˌW ɑɹ ju?"]);
        assert!(pieces("").is_empty());
        assert_eq!(pieces("wˈʌn… “tˈu.” θɹˈi"), ["wˈʌn… “tˈu.” θɹˈi"]);
    }

    #[test]
    fn the_first_piece_is_short_and_no_piece_is_long() {
        let sentence = "wˈʌn tˈu θɹˈi fˈɔɹ fˈIv sˈɪks, sˈɛvᵊn ˈAt nˈIn tˈɛn ɪlˈɛvᵊn twˈɛlv.";
        let text = [sentence; 12].join(" ");
        let pieces = pieces(&text);
        assert_eq!(pieces[0], sentence);
        assert!(pieces.iter().all(|piece| piece.chars().count() <= PIECE_LIMIT));
        assert!(pieces.len() < 12, "{pieces:?}");
        assert_eq!(pieces.join(" "), text);
    }

    #[test]
    fn a_long_first_sentence_is_cut_at_a_clause() {
        let pieces = pieces(&format!("{}, {}.", "wˈʌn tˈu θɹˈi fˈɔɹ fˈIv sˈɪks", "sˈɛvᵊn ˈAt nˈIn ".repeat(6).trim()));
        assert_eq!(pieces[0], "wˈʌn tˈu θɹˈi fˈɔɹ fˈIv sˈɪks,");
    }

    #[test]
    fn endless_sentences_are_cut_evenly() {
        let pieces = pieces("wˈʌndəɹfᵊl ".repeat(100).trim());
        let lengths: Vec<usize> = pieces.iter().map(|piece| piece.chars().count()).collect();
        assert!(lengths.iter().all(|length| (100..=PIECE_LIMIT).contains(length)), "{lengths:?}");
        // A single word is never cut.
        assert_eq!(super::super::phonemes_of(&tokens_of_phonemes(&"a".repeat(600))).len(), 600);
    }
}
