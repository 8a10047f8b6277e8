//! The official config files, as far as they say something that the weights don't.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why a config file can't be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The file is not the JSON it should be.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        source: serde_json::Error,
    },
}

/// `config.json` of Hugging Face's layout. Sizes come from the weights; only what shapes don't show is read here.
#[derive(Clone, Debug, Deserialize)]
pub struct HfConfig {
    /// Attention heads of the encoder.
    pub encoder_attention_heads: usize,
    /// Attention heads of the decoder.
    pub decoder_attention_heads: usize,
    /// Ids never to be generated; newer checkpoints have them in `generation_config.json`.
    #[serde(default)]
    pub suppress_tokens: Option<Vec<u32>>,
}

/// `generation_config.json` of Hugging Face's layout. Fine-tunes often lack parts of it or the whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GenerationConfig {
    /// (layer, head) pairs whose cross attention follows the audio.
    pub alignment_heads: Option<Vec<(usize, usize)>>,
    /// Ids never to be generated.
    pub suppress_tokens: Option<Vec<u32>>,
    /// Whether the model knows languages and tasks.
    pub is_multilingual: Option<bool>,
}

/// `config.json` of CTranslate2's layout.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Ct2Config {
    /// (layer, head) pairs whose cross attention follows the audio.
    pub alignment_heads: Option<Vec<(usize, usize)>>,
    /// Ids never to be generated.
    pub suppress_ids: Option<Vec<u32>>,
    /// Ids not to be generated first.
    pub suppress_ids_begin: Option<Vec<u32>>,
    /// Ids of the language tokens.
    pub lang_ids: Option<Vec<u32>>,
}

/// Reads a config file; `None` if there is none.
///
/// # Errors
/// The file is there but can't be read, or is not the JSON that `T` describes.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ConfigError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ConfigError::Io { path: path.to_path_buf(), source }),
    };
    serde_json::from_slice(&text).map(Some).map_err(|source| ConfigError::Json { path: path.to_path_buf(), source })
}

/// Alignment heads (layer, head) of the official models, for layouts that don't tell them. Keyed by the sizes that tell the models
/// apart: decoder layers, width, vocabulary.
///
/// Source: `_ALIGNMENT_HEADS` in openai-whisper's `__init__.py`, decoded. large-v1 and large-v2 have the same sizes; v2 is assumed.
pub fn known_alignment_heads(layers: usize, width: usize, vocab: usize) -> Option<&'static [(usize, usize)]> {
    Some(match (layers, width, vocab) {
        (4, 384, 51864) => &[(1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)],
        (4, 384, 51865) => &[(2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)],
        (6, 512, 51864) => &[(3, 3), (4, 7), (5, 1), (5, 5), (5, 7)],
        (6, 512, 51865) => &[(3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6)],
        #[rustfmt::skip]
        (12, 768, 51864) => &[
            (6, 6), (7, 0), (7, 3), (7, 8), (8, 2), (8, 5), (8, 7), (9, 0), (9, 4), (9, 8), (9, 10), (10, 0), (10, 1), (10, 2), (10, 3),
            (10, 6), (10, 11), (11, 2), (11, 4),
        ],
        (12, 768, 51865) => &[(5, 3), (5, 9), (8, 0), (8, 4), (8, 7), (8, 8), (9, 0), (9, 7), (9, 9), (10, 5)],
        #[rustfmt::skip]
        (24, 1024, 51864) => &[
            (11, 4), (14, 1), (14, 12), (14, 14), (15, 4), (16, 0), (16, 4), (16, 9), (17, 12), (17, 14), (18, 7), (18, 10), (18, 15),
            (20, 0), (20, 3), (20, 9), (20, 14), (21, 12),
        ],
        (24, 1024, 51865) => &[(13, 15), (15, 4), (15, 15), (16, 1), (20, 0), (23, 4)],
        #[rustfmt::skip]
        (32, 1280, 51865) => &[
            (10, 12), (13, 17), (16, 11), (16, 12), (16, 13), (17, 15), (17, 16), (18, 4), (18, 11), (18, 19), (19, 11), (21, 2), (21, 3),
            (22, 3), (22, 9), (22, 12), (23, 5), (23, 7), (23, 13), (25, 5), (26, 1), (26, 12), (27, 15),
        ],
        (32, 1280, 51866) => {
            &[(7, 0), (10, 17), (12, 18), (13, 12), (16, 1), (17, 14), (19, 11), (21, 4), (24, 1), (25, 6)]
        }
        (4, 1280, 51866) => &[(2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)],
        _ => return None,
    })
}
