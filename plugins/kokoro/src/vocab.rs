//! Phoneme characters and the ids that the model knows them by.

use std::collections::HashMap;
use std::path::Path;

use crate::config::{self, ConfigError};

/// The id that stands at both ends of every input.
pub const PAD_ID: i64 = 0;

/// Longest input, in phonemes: the text encoder has 512 positions (`plbert.max_position_embeddings`), two of them for
/// the pads.
pub const MAX_PHONEMES: usize = 510;

/// Maps characters to ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Vocabulary {
    ids: HashMap<char, i64>,
}

impl Vocabulary {
    /// The vocabulary of Kokoro-82M v1.0.
    #[must_use]
    pub fn v1_0() -> Self {
        Vocabulary { ids: V1_0.iter().copied().collect() }
    }

    /// The vocabulary that comes with a model: `config.json` (official), else `tokenizer.json` (onnx-community), else the
    /// graph's own metadata `kokoro_config`, else the one of v1.0.
    ///
    /// # Errors
    ///
    /// A file that is there but is not what its name says.
    pub fn load(model_dir: &Path, graph_metadata: Option<&str>) -> Result<Self, ConfigError> {
        let found = match config::vocabulary_of_config(model_dir)? {
            Some(ids) => Some(ids),
            None => match config::vocabulary_of_tokenizer(model_dir)? {
                Some(ids) => Some(ids),
                None => config::vocabulary_of_metadata(graph_metadata)?,
            },
        };
        Ok(found.map_or_else(Self::v1_0, |ids| Vocabulary { ids }))
    }

    /// The model's input for a phoneme string: pad, one id per character, pad. Characters that the model doesn't know
    /// are dropped (`kokoro.model:KModel.forward`).
    #[must_use]
    pub fn encode(&self, phonemes: &str) -> Vec<i64> {
        let mut ids = Vec::with_capacity(phonemes.len() + 2);
        ids.push(PAD_ID);
        ids.extend(phonemes.chars().filter_map(|character| self.ids.get(&character)));
        ids.push(PAD_ID);
        ids
    }

    /// Whether the model knows a character.
    #[must_use]
    pub fn knows(&self, character: char) -> bool {
        self.ids.contains_key(&character)
    }

    /// How many characters it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// `config.json` of hexgrad/Kokoro-82M, key `vocab`: 114 characters.
#[rustfmt::skip]
const V1_0: [(char, i64); 114] = [
    (';', 1), (':', 2), (',', 3), ('.', 4), ('!', 5), ('?', 6), ('—', 9), ('…', 10), ('"', 11), ('(', 12),
    (')', 13), ('“', 14), ('”', 15), (' ', 16), ('\u{303}', 17), ('ʣ', 18), ('ʥ', 19), ('ʦ', 20), ('ʨ', 21),
    ('ᵝ', 22), ('ꭧ', 23), ('A', 24), ('I', 25), ('O', 31), ('Q', 33), ('S', 35), ('T', 36), ('W', 39),
    ('Y', 41), ('ᵊ', 42), ('a', 43), ('b', 44), ('c', 45), ('d', 46), ('e', 47), ('f', 48), ('h', 50),
    ('i', 51), ('j', 52), ('k', 53), ('l', 54), ('m', 55), ('n', 56), ('o', 57), ('p', 58), ('q', 59),
    ('r', 60), ('s', 61), ('t', 62), ('u', 63), ('v', 64), ('w', 65), ('x', 66), ('y', 67), ('z', 68),
    ('ɑ', 69), ('ɐ', 70), ('ɒ', 71), ('æ', 72), ('β', 75), ('ɔ', 76), ('ɕ', 77), ('ç', 78), ('ɖ', 80),
    ('ð', 81), ('ʤ', 82), ('ə', 83), ('ɚ', 85), ('ɛ', 86), ('ɜ', 87), ('ɟ', 90), ('ɡ', 92), ('ɥ', 99),
    ('ɨ', 101), ('ɪ', 102), ('ʝ', 103), ('ɯ', 110), ('ɰ', 111), ('ŋ', 112), ('ɳ', 113), ('ɲ', 114), ('ɴ', 115),
    ('ø', 116), ('ɸ', 118), ('θ', 119), ('œ', 120), ('ɹ', 123), ('ɾ', 125), ('ɻ', 126), ('ʁ', 128), ('ɽ', 129),
    ('ʂ', 130), ('ʃ', 131), ('ʈ', 132), ('ʧ', 133), ('ʊ', 135), ('ʋ', 136), ('ʌ', 138), ('ɣ', 139), ('ɤ', 140),
    ('χ', 142), ('ʎ', 143), ('ʒ', 147), ('ʔ', 148), ('ˈ', 156), ('ˌ', 157), ('ː', 158), ('ʰ', 162), ('ʲ', 164),
    ('↓', 169), ('→', 171), ('↗', 172), ('↘', 173), ('ᵻ', 177),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_characters_are_dropped_and_pads_added() {
        let vocabulary = Vocabulary::v1_0();
        assert_eq!(vocabulary.len(), 114);
        assert_eq!(vocabulary.encode("A\u{4e2d}!"), [0, 24, 5, 0]);
        assert_eq!(vocabulary.encode(""), [0, 0]);
    }
}
