//! SentencePiece models of the kind BPE, whose tags are user-defined symbols.
//!
//! Source: google/sentencepiece `src/sentencepiece_model.proto`, `src/normalizer.cc`, `src/bpe_model.cc`, `src/sentencepiece_processor.cc`.

use std::collections::{BinaryHeap, HashMap};
use std::path::Path;

use spm_precompiled::Precompiled;

use crate::error::FunasrError;

/// What stands for a space in pieces.
pub const SPACE: &str = "\u{2581}";
/// What unknown pieces decode to.
const UNKNOWN_SURFACE: &str = " \u{2047} ";

/// Numbers of the fields that are read.
mod field {
    pub(super) const MODEL_PIECE: u64 = 1;
    pub(super) const MODEL_NORMALIZER: u64 = 3;
    pub(super) const PIECE_TEXT: u64 = 1;
    pub(super) const PIECE_SCORE: u64 = 2;
    pub(super) const PIECE_KIND: u64 = 3;
    pub(super) const NORMALIZER_CHARSMAP: u64 = 2;
    pub(super) const NORMALIZER_DUMMY_PREFIX: u64 = 3;
    pub(super) const NORMALIZER_REMOVE_SPACES: u64 = 4;
}

/// Kinds of pieces. Source: `ModelProto.SentencePiece.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
}

#[derive(Clone, Debug)]
struct Piece {
    text: String,
    score: f32,
    kind: Kind,
}

/// A model: pieces, and how text is normalised before it is cut.
#[derive(Debug)]
pub struct SentencePiece {
    pieces: Vec<Piece>,
    ids: HashMap<String, u32>,
    unknown: u32,
    /// User-defined symbols, the longest first.
    symbols: Vec<String>,
    charsmap: Option<Precompiled>,
    adds_prefix: bool,
    removes_spaces: bool,
}

impl SentencePiece {
    /// Reads a model file.
    ///
    /// # Errors
    /// It can't be read, or is no SentencePiece model.
    pub fn read(path: &Path) -> Result<Self, FunasrError> {
        let bytes = std::fs::read(path).map_err(|error| FunasrError::file(path, error))?;
        Self::parse(&bytes).ok_or_else(|| FunasrError::file(path, "is no SentencePiece model"))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut pieces = Vec::new();
        let (mut charsmap, mut adds_prefix, mut removes_spaces) = (None, true, true);
        for field in Fields(bytes) {
            match field? {
                (field::MODEL_PIECE, Wire::Bytes(piece)) => pieces.push(parse_piece(piece)?),
                (field::MODEL_NORMALIZER, Wire::Bytes(spec)) => {
                    for field in Fields(spec) {
                        match field? {
                            (field::NORMALIZER_CHARSMAP, Wire::Bytes(map)) if !map.is_empty() => {
                                charsmap = Some(Precompiled::from(map).ok()?);
                            }
                            (field::NORMALIZER_DUMMY_PREFIX, Wire::Number(value)) => adds_prefix = value != 0,
                            (field::NORMALIZER_REMOVE_SPACES, Wire::Number(value)) => removes_spaces = value != 0,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        let unknown = pieces.iter().position(|piece: &Piece| piece.kind == Kind::Unknown)? as u32;
        let ids = pieces.iter().enumerate().map(|(id, piece)| (piece.text.clone(), id as u32)).collect();
        let mut symbols: Vec<String> =
            pieces.iter().filter(|piece| piece.kind == Kind::UserDefined).map(|piece| piece.text.clone()).collect();
        symbols.sort_by_key(|symbol| std::cmp::Reverse(symbol.len()));
        Some(Self { pieces, ids, unknown, symbols, charsmap, adds_prefix, removes_spaces })
    }

    /// Number of pieces.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// A piece's id; of unknown ones that of `<unk>`.
    #[must_use]
    pub fn id(&self, piece: &str) -> u32 {
        self.known(piece).unwrap_or(self.unknown)
    }

    /// A piece's id, if it is known.
    #[must_use]
    pub fn known(&self, piece: &str) -> Option<u32> {
        self.ids
            .get(piece)
            .copied()
            .filter(|&id| !matches!(self.pieces[id as usize].kind, Kind::Control | Kind::Unknown))
    }

    /// Cuts a text into pieces.
    #[must_use]
    pub fn pieces(&self, text: &str) -> Vec<String> {
        let normal = self.normalize(text);
        let mut cut: Vec<String> = Vec::new();
        let mut after_unknown = false;
        for piece in self.merge(&normal) {
            let is_unknown = self.known(piece).is_none();
            match cut.last_mut().filter(|_| is_unknown && after_unknown) {
                Some(last) => last.push_str(piece),
                None => cut.push(piece.to_owned()),
            }
            after_unknown = is_unknown;
        }
        cut
    }

    /// Ids of a text's pieces.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.pieces(text).iter().map(|piece| self.id(piece)).collect()
    }

    /// The text of ids.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut text = String::new();
        for &id in ids {
            let Some(piece) = self.pieces.get(id as usize) else { continue };
            match piece.kind {
                Kind::Control => {}
                Kind::Unknown => text.push_str(UNKNOWN_SURFACE),
                _ => {
                    let strips = text.is_empty() && (self.adds_prefix || self.removes_spaces);
                    let piece = if strips { piece.text.strip_prefix(SPACE) } else { None }.unwrap_or(&piece.text);
                    text.push_str(&piece.replace(SPACE, " "));
                }
            }
        }
        text
    }

    fn normalize(&self, text: &str) -> String {
        let mut normal = String::with_capacity(text.len());
        let mut rest = text;
        // Tags are left as they are.
        while !rest.is_empty() {
            if let Some(symbol) = self.symbols.iter().find(|symbol| rest.starts_with(symbol.as_str())) {
                normal.push_str(symbol);
                rest = &rest[symbol.len()..];
                continue;
            }
            let end = self.symbols.iter().filter_map(|symbol| rest.find(symbol.as_str())).min().unwrap_or(rest.len());
            let (plain, after) = rest.split_at(end);
            match &self.charsmap {
                Some(map) => normal.push_str(&map.normalize_string(plain)),
                None => normal.push_str(plain),
            }
            rest = after;
        }
        let mut out = if self.removes_spaces {
            let words = normal.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(SPACE);
            words.trim_end_matches(SPACE).to_owned()
        } else {
            normal.replace(' ', SPACE)
        };
        if self.adds_prefix && !out.is_empty() {
            out.insert_str(0, SPACE);
        }
        out
    }

    /// Merges neighbours while there is a piece for them, the best first and of equals the leftmost.
    fn merge<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut parts: Vec<Part> = Vec::new();
        let mut start = 0;
        while start < text.len() {
            let symbol = self.symbols.iter().find(|symbol| text[start..].starts_with(symbol.as_str()));
            let length = match symbol {
                Some(symbol) => symbol.len(),
                None => text[start..].chars().next().map_or(1, char::len_utf8),
            };
            let index = parts.len();
            parts.push(Part {
                start,
                end: start + length,
                is_fixed: symbol.is_some(),
                before: index.checked_sub(1),
                after: None,
            });
            if let Some(before) = index.checked_sub(1) {
                parts[before].after = Some(index);
            }
            start += length;
        }
        let mut queue = BinaryHeap::new();
        for left in 0..parts.len() {
            self.propose(text, &parts, left, &mut queue);
        }
        while let Some(Merge { left, right, length, .. }) = queue.pop() {
            let is_current = parts[left].after == Some(right)
                && parts[left].start < parts[left].end
                && parts[right].end - parts[left].start == length;
            if !is_current {
                continue;
            }
            let after = parts[right].after;
            parts[left].end = parts[right].end;
            parts[left].after = after;
            parts[right].end = parts[right].start;
            if let Some(after) = after {
                parts[after].before = Some(left);
            }
            if let Some(before) = parts[left].before {
                self.propose(text, &parts, before, &mut queue);
            }
            self.propose(text, &parts, left, &mut queue);
        }
        parts.iter().filter(|part| part.start < part.end).map(|part| &text[part.start..part.end]).collect()
    }

    fn propose(&self, text: &str, parts: &[Part], left: usize, queue: &mut BinaryHeap<Merge>) {
        let Some(right) = parts[left].after else { return };
        let (a, b) = (parts[left], parts[right]);
        if a.is_fixed || b.is_fixed {
            return;
        }
        if let Some(id) = self.known(&text[a.start..b.end]) {
            let piece = &self.pieces[id as usize];
            if piece.kind != Kind::Unused {
                queue.push(Merge { score: piece.score, left, right, length: b.end - a.start });
            }
        }
    }
}

/// A stretch of the text that is one piece so far, and its neighbours.
#[derive(Clone, Copy, Debug)]
struct Part {
    start: usize,
    end: usize,
    is_fixed: bool,
    before: Option<usize>,
    after: Option<usize>,
}

/// Two neighbours that would make a piece.
#[derive(Clone, Copy, Debug)]
struct Merge {
    score: f32,
    left: usize,
    right: usize,
    length: usize,
}

impl Ord for Merge {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Merge {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Merge {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Merge {}

fn parse_piece(bytes: &[u8]) -> Option<Piece> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: Kind::Normal };
    for field in Fields(bytes) {
        match field? {
            (field::PIECE_TEXT, Wire::Bytes(text)) => piece.text = String::from_utf8(text.to_vec()).ok()?,
            (field::PIECE_SCORE, Wire::Fixed32(score)) => piece.score = f32::from_le_bytes(score),
            (field::PIECE_KIND, Wire::Number(kind)) => {
                piece.kind = match kind {
                    2 => Kind::Unknown,
                    3 => Kind::Control,
                    4 => Kind::UserDefined,
                    5 => Kind::Unused,
                    _ => Kind::Normal,
                };
            }
            _ => {}
        }
    }
    Some(piece)
}

/// Content of a protocol buffer's field.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
    Fixed64,
}

/// The fields of a message; an item is `None` where the message is damaged, and nothing follows it.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Wire<'a>)> {
        let key = self.number()?;
        let content = match key & 7 {
            0 => Wire::Number(self.number()?),
            1 => self.take(8).map(|_| Wire::Fixed64)?,
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(self.take(4)?.try_into().ok()?),
            _ => return None,
        };
        Some((key >> 3, content))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Wire<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}
