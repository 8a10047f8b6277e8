//! Reading a spaCy model package as it is distributed: msgpack files, arrays stored as maps with `nd`, `type`, `shape`, `data`.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use rmpv::ValueRef;

use crate::g2p::{G2pError, error::read};

use super::{
    murmur::string_hash,
    tagger::{HashEmbedding, Linear, MaxoutLayer, TaggerWeights},
};

/// Everything the English front end takes from a spaCy package.
pub(crate) struct SpacyPackage {
    pub(crate) tokenizer: TokenizerFile,
    pub(crate) tagger: TaggerWeights,
    pub(crate) vocabulary: Vocabulary,
}

/// The `tokenizer` file: regular expressions and the table of exceptions.
pub(crate) struct TokenizerFile {
    pub(crate) prefix: String,
    pub(crate) suffix: String,
    pub(crate) infix: String,
    pub(crate) url: String,
    /// Text → its tokens, each with the norm it is given, if any.
    pub(crate) exceptions: Vec<(String, Vec<ExceptionToken>)>,
}

/// One token of an exception.
#[derive(Debug, Clone)]
pub(crate) struct ExceptionToken {
    pub(crate) text: String,
    pub(crate) norm: Option<String>,
}

/// What turns strings into feature values: symbol numbers, norm tables.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    symbols: HashMap<String, u64>,
    base_norms: HashMap<String, String>,
    lexeme_norms: HashMap<u64, String>,
}

/// Symbol numbers (`spacy/symbols.pyx`) and `BASE_NORMS` (`spacy/lang/norm_exceptions.py`) of spaCy 3.8, MIT licence, © ExplosionAI.
const LIBRARY_TABLES: &str = include_str!("data/spacy_symbols.json");

#[derive(serde::Deserialize)]
struct LibraryTables {
    symbols: HashMap<String, u64>,
    base_norms: HashMap<String, String>,
}

impl Vocabulary {
    /// The library's tables, and the model's norms by hash.
    pub(crate) fn new(lexeme_norms: HashMap<u64, String>) -> Result<Self, G2pError> {
        let library: LibraryTables = serde_json::from_str(LIBRARY_TABLES)
            .map_err(|e| G2pError::format(Path::new("data/spacy_symbols.json"), e.to_string()))?;
        Ok(Self { symbols: library.symbols, base_norms: library.base_norms, lexeme_norms })
    }

    /// Feature value of a string: 0 for the empty one, the number of a symbol, else the hash.
    pub(crate) fn id(&self, text: &str) -> u64 {
        match self.symbols.get(text) {
            Some(&symbol) => symbol,
            None => string_hash(text.as_bytes()),
        }
    }

    /// Norm of a word that its exception doesn't give one: the model's table, then the library's, then lower case.
    pub(crate) fn norm(&self, text: &str) -> String {
        self.lexeme_norms
            .get(&self.id(text))
            .or_else(|| self.base_norms.get(text))
            .cloned()
            .unwrap_or_else(|| text.to_lowercase())
    }
}

/// Attribute numbers in the tokenizer file (`spacy/attrs.pyx`).
const ORTH: u64 = 65;
const NORM: u64 = 67;

/// Where the layers lie in the list of parameters of `tok2vec/model` (nodes in breadth-first order, names `hashembed`, `maxout`, `layernorm`).
const EMBEDDING_NODES: [usize; 6] = [28, 30, 32, 34, 36, 38];
const MIX_NODE: usize = 39;
const ENCODER_NODES: [usize; 4] = [57, 59, 61, 63];

impl SpacyPackage {
    /// Reads the files in `dir`, or in the one directory below it that holds them.
    pub(crate) fn load(dir: &Path) -> Result<Self, G2pError> {
        let dir = find_model(dir, 2).ok_or_else(|| G2pError::NoSpacyModel { path: dir.to_owned() })?;
        Ok(Self {
            tokenizer: with_msgpack(&dir.join("tokenizer"), tokenizer_file)?,
            vocabulary: Vocabulary::new(with_msgpack(&dir.join("vocab").join("lookups.bin"), lexeme_norms)?)?,
            tagger: tagger_weights(&dir)?,
        })
    }
}

/// The directory at or below `dir` that has a file `tokenizer`.
fn find_model(dir: &Path, depth: u32) -> Option<PathBuf> {
    if dir.join("tokenizer").is_file() && dir.join("tok2vec").is_dir() {
        return Some(dir.to_owned());
    }
    if depth == 0 {
        return None;
    }
    let mut below: Vec<PathBuf> = std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path()).collect();
    below.sort();
    below.iter().filter(|path| path.is_dir()).find_map(|path| find_model(path, depth - 1))
}

fn with_msgpack<T>(path: &Path, parse: impl FnOnce(&ValueRef<'_>) -> Result<T, String>) -> Result<T, G2pError> {
    let bytes = read(path)?;
    let value = rmpv::decode::read_value_ref(&mut bytes.as_slice())
        .map_err(|e| G2pError::format(path, format!("not msgpack: {e}")))?;
    parse(&value).map_err(|reason| G2pError::format(path, reason))
}

/// Value under `key` in a map whose keys are strings or byte strings.
fn get<'v, 'a>(value: &'v ValueRef<'a>, key: &str) -> Option<&'v ValueRef<'a>> {
    let ValueRef::Map(entries) = value else { return None };
    entries
        .iter()
        .find(|(k, _)| match k {
            ValueRef::String(k) => k.as_bytes() == key.as_bytes(),
            ValueRef::Binary(k) => *k == key.as_bytes(),
            _ => false,
        })
        .map(|(_, v)| v)
}

fn text<'a>(value: &ValueRef<'a>) -> Option<&'a str> {
    match value {
        ValueRef::String(text) => text.into_str(),
        ValueRef::Binary(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn tokenizer_file(value: &ValueRef<'_>) -> Result<TokenizerFile, String> {
    let pattern =
        |name: &str| get(value, name).and_then(text).map(str::to_owned).ok_or_else(|| format!("no pattern `{name}`"));
    let Some(ValueRef::Map(entries)) = get(value, "exceptions") else {
        return Err("no table of exceptions".to_owned());
    };
    let exceptions = entries
        .iter()
        .map(|(key, tokens)| {
            let key = text(key)?.to_owned();
            let ValueRef::Array(tokens) = tokens else { return None };
            let tokens = tokens.iter().map(exception_token).collect::<Option<Vec<_>>>()?;
            // The tokens of an exception spell its text; anything else would lose characters.
            (tokens.iter().map(|t| t.text.as_str()).collect::<String>() == key).then_some((key, tokens))
        })
        .collect::<Option<Vec<_>>>()
        .ok_or("an exception is not a list of tokens that spell it")?;
    Ok(TokenizerFile {
        prefix: pattern("prefix_search")?,
        suffix: pattern("suffix_search")?,
        infix: pattern("infix_finditer")?,
        url: pattern("url_match")?,
        exceptions,
    })
}

fn exception_token(value: &ValueRef<'_>) -> Option<ExceptionToken> {
    let ValueRef::Map(attributes) = value else { return None };
    let attribute = |number: u64| {
        attributes
            .iter()
            .find(|(k, _)| matches!(k, ValueRef::Integer(k) if k.as_u64() == Some(number)))
            .and_then(|(_, v)| text(v))
            .map(str::to_owned)
    };
    Some(ExceptionToken { text: attribute(ORTH)?, norm: attribute(NORM) })
}

fn lexeme_norms(value: &ValueRef<'_>) -> Result<HashMap<u64, String>, String> {
    let Some(ValueRef::Map(entries)) = get(value, "lexeme_norm") else {
        return Err("no table `lexeme_norm`".to_owned());
    };
    entries
        .iter()
        .map(|(key, norm)| match key {
            ValueRef::Integer(key) => Some((key.as_u64()?, text(norm)?.to_owned())),
            _ => None,
        })
        .collect::<Option<_>>()
        .ok_or_else(|| "`lexeme_norm` is not a table from hashes to strings".to_owned())
}

fn tagger_weights(dir: &Path) -> Result<TaggerWeights, G2pError> {
    let (embeddings, mix, encoder) = with_msgpack(&dir.join("tok2vec").join("model"), |value| {
        let nodes = parameters(value)?;
        let embeddings = EMBEDDING_NODES
            .iter()
            .map(|&node| {
                let (shape, table) = array(nodes, node, "E")?;
                match shape[..] {
                    [rows, width] if rows > 0 => HashEmbedding::new(table, rows, width),
                    _ => Err(format!("embedding of node {node} has shape {shape:?}")),
                }
            })
            .collect::<Result<Vec<_>, String>>()?;
        let mix = maxout(nodes, MIX_NODE)?;
        let encoder = ENCODER_NODES.iter().map(|&node| maxout(nodes, node)).collect::<Result<Vec<_>, _>>()?;
        Ok((embeddings, mix, encoder))
    })?;
    let model_path = dir.join("tagger").join("model");
    let output = with_msgpack(&model_path, |value| {
        let nodes = parameters(value)?;
        let node = (0..nodes.len()).find(|&node| array(nodes, node, "W").is_ok()).ok_or("no output layer")?;
        let (shape, weight) = array(nodes, node, "W")?;
        let (_, bias) = array(nodes, node, "b")?;
        match shape[..] {
            [outputs, inputs] => Linear::new(&weight, bias, outputs, inputs),
            _ => Err(format!("the output layer has shape {shape:?}")),
        }
    })?;
    let meta_path = dir.join("meta.json");
    let meta: Meta =
        serde_json::from_slice(&read(&meta_path)?).map_err(|e| G2pError::format(&meta_path, e.to_string()))?;
    TaggerWeights::new(embeddings, mix, encoder, output, meta.labels.tagger)
        .map_err(|reason| G2pError::format(&model_path, reason))
}

#[derive(serde::Deserialize)]
struct Meta {
    labels: Labels,
}

#[derive(serde::Deserialize)]
struct Labels {
    tagger: Vec<String>,
}

fn parameters<'v, 'a>(value: &'v ValueRef<'a>) -> Result<&'v [ValueRef<'a>], String> {
    match get(value, "params") {
        Some(ValueRef::Array(nodes)) => Ok(nodes),
        _ => Err("no list `params`".to_owned()),
    }
}

/// A float32 array of one node: shape and values.
fn array(nodes: &[ValueRef<'_>], node: usize, name: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
    let wrong = |what: &str| format!("array {name} of node {node}: {what}");
    let value = nodes.get(node).and_then(|n| get(n, name)).ok_or_else(|| wrong("missing"))?;
    if get(value, "type").and_then(text) != Some("<f4") {
        return Err(wrong("not little-endian float32"));
    }
    let Some(ValueRef::Array(shape)) = get(value, "shape") else {
        return Err(wrong("no shape"));
    };
    let shape = shape
        .iter()
        .map(|v| match v {
            ValueRef::Integer(v) => v.as_u64().and_then(|v| usize::try_from(v).ok()),
            _ => None,
        })
        .collect::<Option<Vec<usize>>>()
        .ok_or_else(|| wrong("a shape that is not a list of numbers"))?;
    let Some(ValueRef::Binary(data)) = get(value, "data") else {
        return Err(wrong("no data"));
    };
    let count = shape.iter().try_fold(4_usize, |n, &d| n.checked_mul(d));
    if count != Some(data.len()) {
        return Err(wrong("data and shape don't agree"));
    }
    let values = data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok((shape, values))
}

/// A maxout layer with the layer norm that follows it in the next node.
fn maxout(nodes: &[ValueRef<'_>], node: usize) -> Result<MaxoutLayer, String> {
    let (shape, weight) = array(nodes, node, "W")?;
    let (_, bias) = array(nodes, node, "b")?;
    let (_, gain) = array(nodes, node + 1, "G")?;
    let (_, shift) = array(nodes, node + 1, "b")?;
    match shape[..] {
        [outputs, pieces, inputs] => MaxoutLayer::new(&weight, bias, gain, shift, outputs, pieces, inputs),
        _ => Err(format!("maxout node {node} has shape {shape:?}")),
    }
}
