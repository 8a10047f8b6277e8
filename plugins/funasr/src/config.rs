//! The official config files, deserialised, and where a model's files lie.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::FunasrError;
use crate::vad::VadOptions;

/// `config.yaml`, as far as it matters when a model is run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ModelConfig<C: Default> {
    /// Class of the model.
    pub model: Option<String>,
    /// Settings of the class.
    pub model_conf: C,
    /// Settings of the encoder.
    pub encoder_conf: EncoderConfig,
    /// Settings of the decoder.
    pub decoder_conf: DecoderConfig,
    /// Settings of the decoder that knows hot words.
    pub seaco_decoder_conf: DecoderConfig,
    /// Settings of the predictor.
    pub predictor_conf: PredictorConfig,
    /// Settings of the front end.
    pub frontend_conf: FrontendConfig,
    /// `en-bpe` for the English Paraformer.
    pub lang: Option<String>,
}

/// `model_conf` of recognisers.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct RecognizerConfig {
    /// Class that stands for "no hot word here" in SeACo's vocabulary.
    #[serde(rename = "NO_BIAS")]
    pub no_bias: usize,
}

impl Default for RecognizerConfig {
    fn default() -> Self {
        Self { no_bias: 8377 }
    }
}

/// `model_conf` of punctuation models.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct PunctuationConfig {
    /// The marks, by class.
    pub punc_list: Vec<String>,
    /// The class that ends a sentence.
    pub sentence_end_id: usize,
}

impl Default for PunctuationConfig {
    fn default() -> Self {
        let marks = ["<unk>", "_", "，", "。", "？", "、"];
        Self { punc_list: marks.map(str::to_owned).to_vec(), sentence_end_id: 3 }
    }
}

/// `model_conf` of the voice activity detector.
pub type VadConfig = VadOptions;

/// `encoder_conf`: sizes that shapes of weights don't tell.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct EncoderConfig {
    /// Heads of the attention.
    pub attention_heads: usize,
    /// Frames that the memory looks further to the left.
    #[serde(alias = "sanm_shift")]
    pub sanm_shfit: usize,
    /// FSMN: layers.
    pub fsmn_layers: usize,
    /// FSMN: width of the memory.
    pub proj_dim: usize,
    /// FSMN: frames of the memory, the current one included.
    pub lorder: usize,
    /// FSMN: distance of those frames.
    pub lstride: usize,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self { attention_heads: 4, sanm_shfit: 0, fsmn_layers: 4, proj_dim: 128, lorder: 20, lstride: 1 }
    }
}

/// `decoder_conf`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct DecoderConfig {
    /// Heads of the attention.
    pub attention_heads: usize,
    /// Frames that the memory looks further to the left.
    #[serde(alias = "sanm_shift")]
    pub sanm_shfit: usize,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self { attention_heads: 4, sanm_shfit: 0 }
    }
}

/// `predictor_conf`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct PredictorConfig {
    /// Weight that fires a token.
    pub threshold: f64,
    /// Frames to the left that the convolution sees.
    pub l_order: usize,
    /// Frames to the right.
    pub r_order: usize,
    /// Weight of the frame that is added at the end.
    pub tail_threshold: f64,
    /// Factor on weights.
    pub smooth_factor: f64,
    /// Taken off weights.
    pub noise_threshold: f64,
    /// The same for the time stamps' weights.
    pub smooth_factor2: f64,
    /// The same for the time stamps' weights.
    pub noise_threshold2: f64,
    /// Time stamps' frames per encoder frame.
    pub upsample_times: usize,
}

impl Default for PredictorConfig {
    fn default() -> Self {
        Self {
            threshold: 1.0,
            l_order: 1,
            r_order: 1,
            tail_threshold: 0.45,
            smooth_factor: 1.0,
            noise_threshold: 0.0,
            smooth_factor2: 0.25,
            noise_threshold2: 0.01,
            upsample_times: 3,
        }
    }
}

/// `frontend_conf`. Dither is not in it: noise in the features is for training.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct FrontendConfig {
    /// Samples per second.
    pub fs: u32,
    /// Filters.
    pub n_mels: usize,
    /// Length of a frame, ms.
    pub frame_length: f64,
    /// Distance of frames, ms.
    pub frame_shift: f64,
    /// Frames that are stacked.
    pub lfr_m: usize,
    /// Frames from one stack to the next.
    pub lfr_n: usize,
}

impl Default for FrontendConfig {
    fn default() -> Self {
        Self { fs: 16_000, n_mels: 80, frame_length: 25.0, frame_shift: 10.0, lfr_m: 7, lfr_n: 6 }
    }
}

/// A model's directory, with the names that its `configuration.json` gives to files.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    directory: PathBuf,
    metas: serde_json::Value,
}

impl ModelFiles {
    /// Looks into a directory.
    ///
    /// # Errors
    /// It is none, or its `configuration.json` is not JSON.
    pub fn open(directory: &Path) -> Result<Self, FunasrError> {
        if !directory.is_dir() {
            return Err(FunasrError::file(directory, "is no directory"));
        }
        let path = directory.join("configuration.json");
        let metas = match std::fs::read_to_string(&path) {
            Ok(text) => {
                let whole: serde_json::Value =
                    serde_json::from_str(&text).map_err(|error| FunasrError::file(&path, error))?;
                whole.get("file_path_metas").cloned().unwrap_or_default()
            }
            Err(_) => serde_json::Value::Null,
        };
        Ok(Self { directory: directory.to_owned(), metas })
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The first of `names` that is there, after what `configuration.json` has under `meta` (`frontend_conf/cmvn_file`).
    #[must_use]
    pub fn find(&self, meta: &str, names: &[&str]) -> Option<PathBuf> {
        let named = self.metas.pointer(&format!("/{meta}")).and_then(serde_json::Value::as_str);
        named.into_iter().chain(names.iter().copied()).map(|name| self.directory.join(name)).find(|path| path.is_file())
    }

    /// As [`find`](Self::find), for files that must be there.
    ///
    /// # Errors
    /// None is.
    pub fn need(&self, what: &'static str, meta: &str, names: &[&str]) -> Result<PathBuf, FunasrError> {
        self.find(meta, names).ok_or_else(|| FunasrError::Missing {
            directory: self.directory.clone(),
            what,
            needed: names.join(" or "),
        })
    }

    /// `config.yaml`; all defaults if there is none.
    ///
    /// # Errors
    /// It is not YAML of the known form.
    pub fn config<C: Default + DeserializeOwned>(&self) -> Result<ModelConfig<C>, FunasrError> {
        match self.find("config", &["config.yaml", "vad.yaml", "punc.yaml"]) {
            Some(path) => {
                let text = std::fs::read_to_string(&path).map_err(|error| FunasrError::file(&path, error))?;
                serde_norway::from_str(&text).map_err(|error| FunasrError::file(&path, error))
            }
            None => Ok(ModelConfig::default()),
        }
    }

    /// The list of tokens (`tokens.json`, or a line each in `tokens.txt`).
    ///
    /// # Errors
    /// There is none, or it is something else.
    pub fn tokens(&self) -> Result<Vec<String>, FunasrError> {
        let path = self.need("tokens", "tokenizer_conf/token_list", &["tokens.json", "tokens.txt"])?;
        let text = std::fs::read_to_string(&path).map_err(|error| FunasrError::file(&path, error))?;
        if path.extension().is_some_and(|extension| extension == "json") {
            return serde_json::from_str(&text).map_err(|error| FunasrError::file(&path, error));
        }
        Ok(text.lines().map(|line| line.trim().to_owned()).collect())
    }

    /// The graph to run: the one called `base_quant.onnx` when `quantized`, else `base.onnx`; the other one where that isn't there.
    #[must_use]
    pub fn graph(&self, base: &str, quantized: bool) -> Option<PathBuf> {
        let (plain, small) = (format!("{base}.onnx"), format!("{base}_quant.onnx"));
        let order = if quantized { [small, plain] } else { [plain, small] };
        order.iter().map(|name| self.directory.join(name)).find(|path| path.is_file())
    }

    /// The torch checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> Option<PathBuf> {
        self.find("init_param", &["model.pt", "campplus_cn_common.bin", "pytorch_model.bin"])
            .filter(|path| path.extension().is_some_and(|extension| extension != "onnx"))
    }
}
