//! Dictionaries in the binary format of MeCab 0.996, used where they lie: UniDic's 260 MB are mapped, and only the pages that a text needs are
//! read.
//!
//! Reference: MeCab (`dictionary.h`, `darts.h`, `char_property.h`, `connector.h`), BSD, © Taku Kudo.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::g2p::G2pError;

/// The only version of the format.
const VERSION: u32 = 102;
/// Bytes before the double array: ten numbers and the name of the encoding.
const HEADER: usize = 72;
/// Number in the header that says how long each part is.
const ARRAY_BYTES: usize = 6;
const TOKEN_BYTES: usize = 7;
const FEATURE_BYTES: usize = 8;
/// Bytes of a unit of the double array, and of a token.
const UNIT: usize = 8;
const TOKEN: usize = 16;

/// A word of the dictionary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    /// Context to its left and to its right.
    pub(super) left: u16,
    pub(super) right: u16,
    pub(super) cost: i16,
    /// Where its features are.
    feature: u32,
}

impl Token {
    /// The start and the end of a text.
    pub(super) const EDGE: Self = Self { left: 0, right: 0, cost: 0, feature: 0 };
}

/// `sys.dic` or `unk.dic`.
#[derive(Debug)]
pub(super) struct Dictionary {
    data: Mmap,
    array: Range<usize>,
    tokens: Range<usize>,
    features: Range<usize>,
}

impl Dictionary {
    pub(super) fn open(path: &Path) -> Result<Self, G2pError> {
        let data = map(path)?;
        let number = |at: usize| read_u32(&data, at * 4);
        let length = |at: usize| number(at).and_then(|bytes| usize::try_from(bytes).ok());
        let ranges = length(ARRAY_BYTES).zip(length(TOKEN_BYTES)).zip(length(FEATURE_BYTES));
        let Some(((array, tokens), features)) = ranges.filter(|_| number(1) == Some(VERSION)) else {
            return Err(G2pError::format(path, "not a dictionary of MeCab"));
        };
        let encoding = data.get(HEADER - 32..HEADER).unwrap_or_default();
        if !encoding.to_ascii_lowercase().starts_with(b"utf") {
            return Err(G2pError::format(path, "a dictionary in another encoding than UTF-8"));
        }
        let array = HEADER..HEADER.saturating_add(array);
        let tokens = array.end..array.end.saturating_add(tokens);
        let features = tokens.end..tokens.end.saturating_add(features);
        if features.end > data.len() {
            return Err(G2pError::format(path, "the file is cut off"));
        }
        Ok(Self { data, array, tokens, features })
    }

    /// A unit of the double array: base and check.
    fn unit(&self, at: u32) -> Option<(i32, u32)> {
        let array = self.data.get(self.array.clone())?;
        let at = usize::try_from(at).ok()?.checked_mul(UNIT)?;
        Some((read_u32(array, at)?.cast_signed(), read_u32(array, at + 4)?))
    }

    /// What the node `base` stands for, if words end there.
    fn value(&self, base: u32) -> Option<u32> {
        let (value, check) = self.unit(base)?;
        (check == base && value < 0).then(|| (-(value + 1)).cast_unsigned())
    }

    /// The node that `byte` leads to.
    fn step(&self, base: u32, byte: u8) -> Option<u32> {
        let (next, check) = self.unit(base.checked_add(u32::from(byte) + 1)?)?;
        (check == base).then(|| next.cast_unsigned())
    }

    fn root(&self) -> Option<u32> {
        self.unit(0).map(|(base, _)| base.cast_unsigned())
    }

    /// Every beginning of `text` that is a word, shortest first: its length in bytes and its tokens.
    pub(super) fn words_at(&self, text: &[u8]) -> Vec<(usize, Range<u32>)> {
        let mut words = Vec::new();
        let Some(mut base) = self.root() else { return words };
        for (at, &byte) in text.iter().enumerate() {
            words.extend(self.value(base).map(|value| (at, tokens(value))));
            match self.step(base, byte) {
                Some(next) => base = next,
                None => return words,
            }
        }
        words.extend(self.value(base).map(|value| (text.len(), tokens(value))));
        words
    }

    /// The tokens of exactly `word`.
    pub(super) fn word(&self, word: &[u8]) -> Option<Range<u32>> {
        let base = word.iter().try_fold(self.root()?, |base, &byte| self.step(base, byte))?;
        self.value(base).map(tokens)
    }

    /// A token by its number.
    pub(super) fn token(&self, number: u32) -> Option<Token> {
        let tokens = self.data.get(self.tokens.clone())?;
        let at = usize::try_from(number).ok()?.checked_mul(TOKEN)?;
        Some(Token {
            left: read_u16(tokens, at)?,
            right: read_u16(tokens, at + 2)?,
            cost: read_u16(tokens, at + 6)?.cast_signed(),
            feature: read_u32(tokens, at + 8)?,
        })
    }

    /// The features of a token, separated by commas.
    pub(super) fn features(&self, token: Token) -> &str {
        let features = self.data.get(self.features.clone()).unwrap_or_default();
        let start = usize::try_from(token.feature).unwrap_or(usize::MAX);
        let rest = features.get(start..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        std::str::from_utf8(&rest[..end]).unwrap_or_default()
    }
}

/// A value of the double array: number of the first token, and in the low byte how many there are.
fn tokens(value: u32) -> Range<u32> {
    let first = value >> 8;
    first..first + (value & 0xff)
}

/// `matrix.bin`: what it costs that one context follows another.
#[derive(Debug)]
pub(super) struct Connections {
    data: Mmap,
    /// Contexts to the right of the first word.
    width: usize,
}

impl Connections {
    pub(super) fn open(path: &Path) -> Result<Self, G2pError> {
        let data = map(path)?;
        let size = |at| read_u16(&data, at).map(usize::from);
        let Some((width, height)) = size(0).zip(size(2)) else {
            return Err(G2pError::format(path, "the file is cut off"));
        };
        if data.len() < 4 + 2 * width * height {
            return Err(G2pError::format(path, "the file is cut off"));
        }
        Ok(Self { data, width })
    }

    /// The cost when a word with the context `right` is followed by one with the context `left`.
    pub(super) fn cost(&self, right: u16, left: u16) -> i64 {
        let at = 4 + 2 * (usize::from(right) + self.width * usize::from(left));
        read_u16(&self.data, at).map_or(0, |cost| i64::from(cost.cast_signed()))
    }
}

/// What MeCab knows about a character.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Character {
    /// A bit for every class that it belongs to.
    classes: u32,
    /// The class that names it.
    pub(super) class: u8,
    /// Longest unknown word that starts with it. [characters]
    pub(super) length: usize,
    /// Whether a run of its class is one unknown word.
    pub(super) is_grouped: bool,
    /// Whether unknown words are considered beside known ones.
    pub(super) is_always_tried: bool,
}

impl Character {
    fn from_bits(bits: u32) -> Self {
        Self {
            classes: bits & 0x3_ffff,
            class: (bits >> 18 & 0xff) as u8,
            length: (bits >> 26 & 0xf) as usize,
            is_grouped: bits >> 30 & 1 == 1,
            is_always_tried: bits >> 31 == 1,
        }
    }

    /// Whether two characters have a class in common.
    pub(super) fn is_like(self, other: Self) -> bool {
        self.classes & other.classes != 0
    }
}

/// `char.bin`: classes of characters.
#[derive(Debug)]
pub(super) struct Characters {
    names: Vec<String>,
    /// By code unit.
    characters: Vec<u32>,
}

/// Bytes of a class's name.
const NAME: usize = 32;

impl Characters {
    pub(super) fn open(path: &Path) -> Result<Self, G2pError> {
        let data = crate::g2p::error::read(path)?;
        let cut_off = || G2pError::format(path, "the file is cut off");
        let count = read_u32(&data, 0).and_then(|count| usize::try_from(count).ok()).ok_or_else(cut_off)?;
        let table = count.checked_mul(NAME).and_then(|bytes| bytes.checked_add(4)).ok_or_else(cut_off)?;
        let names = data.get(4..table).ok_or_else(cut_off)?;
        let names = names
            .chunks_exact(NAME)
            .map(|name| String::from_utf8_lossy(name).trim_end_matches('\0').to_owned())
            .collect();
        let characters = data[table..]
            .chunks_exact(4)
            .map(|bits| u32::from_le_bytes([bits[0], bits[1], bits[2], bits[3]]))
            .collect();
        Ok(Self { names, characters })
    }

    /// Names of the classes, by number.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// A character's classes; those beyond the basic plane have the same as U+0000.
    pub(super) fn of(&self, character: char) -> Character {
        let code = usize::try_from(u32::from(character)).unwrap_or_default();
        let at = if code > 0xffff { 0 } else { code };
        self.characters.get(at).copied().map(Character::from_bits).unwrap_or_default()
    }
}

fn map(path: &Path) -> Result<Mmap, G2pError> {
    let read = |source| G2pError::Read { path: PathBuf::from(path), source };
    let file = File::open(path).map_err(read)?;
    // SAFETY: the store's files are replaced, never written in place; every access is checked against the length, and any bytes are valid numbers.
    unsafe { Mmap::map(&file) }.map_err(read)
}

fn read_u16(data: &[u8], at: usize) -> Option<u16> {
    let bytes = data.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn read_u32(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
