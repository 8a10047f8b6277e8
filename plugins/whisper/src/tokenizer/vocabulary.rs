//! The token table: bytes of every ordinary token by id, and byte-pair encoding over it.
//!
//! In every vocabulary of Whisper the id of a token is the rank of the merge that makes it, so the table alone is the encoder
//! (as in tiktoken); the list of merges in the Hugging Face files is redundant. Not reading it has a second good: old
//! conversions lack the very first merge (space + t) and encode every word that starts with a t wrongly.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::TokenizerError;

/// Bytes of the ordinary tokens, ids `0..len`.
pub(super) struct Vocabulary {
    tokens: Vec<Box<[u8]>>,
    ids: HashMap<Box<[u8]>, u32>,
}

impl Vocabulary {
    /// Builds the table from tokens in order of their ids.
    ///
    /// # Errors
    /// [`TokenizerError::MissingByte`] if some byte is no token: texts with it could not be encoded.
    pub(super) fn new(tokens: Vec<Box<[u8]>>) -> Result<Self, TokenizerError> {
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, bytes) in (0_u32..).zip(&tokens) {
            ids.entry(bytes.clone()).or_insert(id);
        }
        for byte in 0..=u8::MAX {
            if !ids.contains_key([byte].as_slice()) {
                return Err(TokenizerError::MissingByte { byte });
            }
        }
        Ok(Self { tokens, ids })
    }

    /// Bytes of a token.
    pub(super) fn bytes(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(id as usize).map(AsRef::as_ref)
    }

    /// Appends the tokens of one piece: the pair whose union has the lowest id (leftmost of equals) is merged until no union
    /// is a token. Takes n log n steps, so that no prompt can stall the server.
    pub(super) fn encode_piece(&self, piece: &[u8], out: &mut Vec<u32>) {
        if let Some(id) = self.ids.get(piece) {
            out.push(*id);
            return;
        }
        // The part that starts at byte `i` ends at `end[i]` (0: no part starts there) and follows the one at `before[i]`.
        let mut end: Vec<usize> = (1..=piece.len()).collect();
        let mut before: Vec<usize> = (0..piece.len()).map(|i| i.saturating_sub(1)).collect();
        let union = |start: usize, stop: usize| {
            let id = self.ids.get(&piece[start..stop])?;
            Some(Reverse((*id, start, stop)))
        };
        let mut candidates: BinaryHeap<_> = (2..=piece.len()).filter_map(|stop| union(stop - 2, stop)).collect();
        while let Some(Reverse((_, start, stop))) = candidates.pop() {
            let middle = end[start];
            // One of the two parts may have been merged with another neighbour since.
            if middle == 0 || middle >= stop || end[middle] != stop {
                continue;
            }
            end[start] = stop;
            end[middle] = 0;
            if stop < piece.len() {
                before[stop] = start;
                candidates.extend(union(start, end[stop]));
            }
            if start > 0 {
                candidates.extend(union(before[start], stop));
            }
        }
        let mut start = 0;
        while start < piece.len() {
            // `new` made sure that single bytes are tokens, and merged parts were looked up above.
            out.extend(self.ids.get(&piece[start..end[start]]));
            start = end[start];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(merged: &[&str]) -> Vocabulary {
        let bytes = (0..=u8::MAX).map(|byte| vec![byte].into_boxed_slice());
        let merged = merged.iter().map(|text| text.as_bytes().to_vec().into_boxed_slice());
        Vocabulary::new(bytes.chain(merged).collect()).expect("all bytes are there")
    }

    fn encode(vocabulary: &Vocabulary, piece: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        vocabulary.encode_piece(piece.as_bytes(), &mut ids);
        ids
    }

    #[test]
    fn the_lowest_rank_is_merged_first() {
        // "bc" comes before "ab", so "abcd" is a + bc + d, and never ab + cd.
        let vocabulary = vocabulary(&["bc", "ab", "cd", "abc"]);
        assert_eq!(encode(&vocabulary, "abcd"), [259, u32::from(b'd')]);
        assert_eq!(encode(&vocabulary, "abd"), [257, u32::from(b'd')]);
    }

    #[test]
    fn equal_pairs_are_merged_from_the_left() {
        let vocabulary = vocabulary(&["aa"]);
        assert_eq!(encode(&vocabulary, "aaaaa"), [256, 256, u32::from(b'a')]);
    }

    #[test]
    fn a_very_long_word_takes_no_time() {
        let vocabulary = vocabulary(&["aa", "aaaa"]);
        let started = std::time::Instant::now();
        assert_eq!(encode(&vocabulary, &"a".repeat(400_000)).len(), 100_000);
        assert!(started.elapsed().as_secs() < 10);
    }

    #[test]
    fn a_table_without_some_byte_is_refused() {
        assert!(matches!(Vocabulary::new(vec![]), Err(TokenizerError::MissingByte { byte: 0 })));
    }
}
