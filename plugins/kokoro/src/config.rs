//! The configuration files that releases of Kokoro come with. Only the vocabulary matters to the ONNX exports; the
//! hyper-parameters of `config.json` are baked into the graphs, and describe the torch checkpoints.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// A configuration file that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("`{}` can't be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The text is not what it should be.
    #[error("{origin}: {reason}")]
    Parse {
        /// File or metadata key.
        origin: String,
        /// What is wrong.
        reason: String,
    },
}

/// The hyper-parameters of the official `config.json`, as far as inference needs them and they are not told by the shapes of tensors.
#[derive(Clone, Debug, Deserialize)]
pub struct ModelConfig {
    /// Size of the embedding tables.
    pub n_token: usize,
    /// Layers of the duration encoder and of the text encoder.
    pub n_layer: usize,
    /// Width of half a style row.
    pub style_dim: usize,
    /// Kernel size of the text encoder's convolutions.
    pub text_encoder_kernel_size: usize,
    /// PL-BERT.
    pub plbert: PlBertConfig,
    /// The generator.
    pub istftnet: IstftNetConfig,
}

/// `plbert` of the official `config.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct PlBertConfig {
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// How often the shared layer is passed.
    pub num_hidden_layers: usize,
}

/// `istftnet` of the official `config.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct IstftNetConfig {
    /// How much each stage upsamples.
    pub upsample_rates: Vec<usize>,
    /// Kernel sizes of the upsamplings.
    pub upsample_kernel_sizes: Vec<usize>,
    /// Samples between spectra.
    pub gen_istft_hop_size: usize,
    /// Points of a spectrum's transform.
    pub gen_istft_n_fft: usize,
    /// Kernel sizes of a stage's residual blocks.
    pub resblock_kernel_sizes: Vec<usize>,
    /// Dilations of each of them.
    pub resblock_dilation_sizes: Vec<Vec<usize>>,
}

impl ModelConfig {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// The file is missing, is no configuration, or contradicts itself.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let missing = || ConfigError::Read { path: path.to_owned(), source: std::io::ErrorKind::NotFound.into() };
        let config: ModelConfig = read_json(path)?.ok_or_else(missing)?;
        match config.contradiction() {
            Some(reason) => Err(ConfigError::Parse { origin: path.display().to_string(), reason: reason.to_owned() }),
            None => Ok(config),
        }
    }

    fn contradiction(&self) -> Option<&'static str> {
        let net = &self.istftnet;
        let positive = |sizes: &[usize]| !sizes.is_empty() && sizes.iter().all(|size| *size > 0);
        if !positive(&net.upsample_rates) || net.upsample_kernel_sizes.len() != net.upsample_rates.len() {
            Some("istftnet.upsample_rates and upsample_kernel_sizes are not two lists of equal length")
        } else if !positive(&net.resblock_kernel_sizes)
            || net.resblock_dilation_sizes.len() != net.resblock_kernel_sizes.len()
            || !net.resblock_dilation_sizes.iter().all(|dilations| positive(dilations))
        {
            Some("istftnet.resblock_kernel_sizes and resblock_dilation_sizes are not two lists of equal length")
        } else if net.gen_istft_hop_size == 0 || net.gen_istft_n_fft < 2 || !net.gen_istft_n_fft.is_multiple_of(2) {
            Some("istftnet.gen_istft_n_fft is no even number, or gen_istft_hop_size is 0")
        } else if self.style_dim == 0 || self.n_token == 0 {
            Some("style_dim or n_token is 0")
        } else {
            None
        }
    }
}

/// `vocab` of the official `config.json`. `None` when the file is missing or has no such key (onnx-community's
/// `config.json` only names the model type).
pub(crate) fn vocabulary_of_config(model_dir: &Path) -> Result<Option<HashMap<char, i64>>, ConfigError> {
    #[derive(Deserialize)]
    struct Config {
        vocab: Option<BTreeMap<String, i64>>,
    }
    let path = model_dir.join("config.json");
    let Some(config): Option<Config> = read_json(&path)? else { return Ok(None) };
    config.vocab.map(|vocab| characters(&path.display().to_string(), vocab)).transpose()
}

/// `model.vocab` of a Hugging Face `tokenizer.json`; its pad token `$` is no phoneme.
pub(crate) fn vocabulary_of_tokenizer(model_dir: &Path) -> Result<Option<HashMap<char, i64>>, ConfigError> {
    #[derive(Deserialize)]
    struct Tokenizer {
        model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        vocab: BTreeMap<String, i64>,
    }
    let path = model_dir.join("tokenizer.json");
    let Some(tokenizer): Option<Tokenizer> = read_json(&path)? else { return Ok(None) };
    let mut vocab = tokenizer.model.vocab;
    vocab.retain(|_, id| *id != crate::vocab::PAD_ID);
    characters(&path.display().to_string(), vocab).map(Some)
}

/// The official config as kokoro-onnx's v1.1 exports carry it, in the metadata key `kokoro_config`.
pub(crate) fn vocabulary_of_metadata(metadata: Option<&str>) -> Result<Option<HashMap<char, i64>>, ConfigError> {
    let origin = "the graph's metadata `kokoro_config`";
    let Some(text) = metadata else { return Ok(None) };
    let value: Value = serde_json::from_str(text)
        .map_err(|error| ConfigError::Parse { origin: origin.to_owned(), reason: error.to_string() })?;
    let Some(vocab) = value.get("vocab") else { return Ok(None) };
    let vocab = BTreeMap::<String, i64>::deserialize(vocab)
        .map_err(|error| ConfigError::Parse { origin: origin.to_owned(), reason: error.to_string() })?;
    characters(origin, vocab).map(Some)
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| ConfigError::Parse { origin: path.display().to_string(), reason: error.to_string() })
}

/// Keys of a vocabulary are single characters.
fn characters(origin: &str, vocab: BTreeMap<String, i64>) -> Result<HashMap<char, i64>, ConfigError> {
    vocab
        .into_iter()
        .map(|(key, id)| {
            let mut rest = key.chars();
            match (rest.next(), rest.next()) {
                (Some(character), None) if id > 0 => Ok((character, id)),
                _ => Err(ConfigError::Parse {
                    origin: origin.to_owned(),
                    reason: format!("the vocabulary maps {key:?} to {id}, not a single character to a positive id"),
                }),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_with_and_without_a_vocabulary() {
        assert_eq!(vocabulary_of_metadata(None).unwrap(), None);
        assert_eq!(vocabulary_of_metadata(Some("{}")).unwrap(), None);
        let ids = vocabulary_of_metadata(Some(r#"{"vocab": {"a": 43}}"#)).unwrap().unwrap();
        assert_eq!(ids[&'a'], 43);
        assert!(vocabulary_of_metadata(Some("nonsense")).is_err());
        assert!(vocabulary_of_metadata(Some(r#"{"vocab": {"ab": 1}}"#)).is_err());
    }
}
