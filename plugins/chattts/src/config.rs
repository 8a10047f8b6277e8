//! Files of a model, and the official configuration of its language model.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::ChatTtsError;

/// Where the parts of a model are, in the layout of the release.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    asset: PathBuf,
}

impl ModelFiles {
    /// The model in `directory`: the release's, or its folder `asset` itself.
    ///
    /// # Errors
    /// It holds no such model.
    pub fn open(directory: &Path) -> Result<Self, ChatTtsError> {
        let within = directory.join("asset");
        let asset = if within.is_dir() { within } else { directory.to_owned() };
        let files = Self { asset };
        let needed =
            [files.gpt(), files.gpt_config(), files.embed(), files.decoder(), files.vocos(), files.tokenizer()];
        match needed.into_iter().find(|path| !path.exists()) {
            None => Ok(files),
            Some(path) => Err(ChatTtsError::file(
                &path,
                "the file is missing; a model of ChatTTS 0.2 has asset/{Decoder,DVAE,Embed,Vocos}.safetensors, asset/gpt and asset/tokenizer",
            )),
        }
    }

    /// Weights of the language model.
    #[must_use]
    pub fn gpt(&self) -> PathBuf {
        self.asset.join("gpt/model.safetensors")
    }

    /// Its configuration.
    #[must_use]
    pub fn gpt_config(&self) -> PathBuf {
        self.asset.join("gpt/config.json")
    }

    /// Embeddings and heads.
    #[must_use]
    pub fn embed(&self) -> PathBuf {
        self.asset.join("Embed.safetensors")
    }

    /// Mel decoder.
    #[must_use]
    pub fn decoder(&self) -> PathBuf {
        self.asset.join("Decoder.safetensors")
    }

    /// Encoder and quantiser of recordings; only needed for audio prompts.
    #[must_use]
    pub fn dvae(&self) -> PathBuf {
        self.asset.join("DVAE.safetensors")
    }

    /// Vocoder.
    #[must_use]
    pub fn vocos(&self) -> PathBuf {
        self.asset.join("Vocos.safetensors")
    }

    /// Folder of the tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> PathBuf {
        self.asset.join("tokenizer")
    }

    /// Statistics of speakers.
    #[must_use]
    pub fn statistics(&self) -> PathBuf {
        self.asset.join("spk_stat.pt")
    }
}

/// `asset/gpt/config.json`, as far as it is used.
#[derive(Clone, Debug, Deserialize)]
pub struct GptConfig {
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Heads of the attention.
    pub num_attention_heads: usize,
    /// Positions there are.
    #[serde(default = "max_positions")]
    pub max_position_embeddings: usize,
    /// Epsilon of the normalisation.
    #[serde(default = "epsilon")]
    pub rms_norm_eps: f64,
    /// Base of the rotary embedding.
    #[serde(default = "theta")]
    pub rope_theta: f64,
}

fn max_positions() -> usize {
    4096
}

/// The default of `transformers.LlamaConfig`.
fn epsilon() -> f64 {
    1e-6
}

/// The default of `transformers.LlamaConfig`.
fn theta() -> f64 {
    10_000.0
}

impl GptConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// It can't be read, or its sizes don't go together.
    pub fn read(path: &Path) -> Result<Self, ChatTtsError> {
        let text = std::fs::read(path).map_err(|error| ChatTtsError::file(path, error))?;
        let config: Self = serde_json::from_slice(&text).map_err(|error| ChatTtsError::file(path, error))?;
        let heads = config.num_attention_heads;
        if heads == 0 || !config.hidden_size.is_multiple_of(2 * heads) || config.hidden_size == 0 {
            let reason = format!("{} channels can't be divided among {heads} heads of even size", config.hidden_size);
            return Err(ChatTtsError::file(path, reason));
        }
        Ok(config)
    }
}
