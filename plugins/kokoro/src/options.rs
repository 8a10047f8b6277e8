//! Launch options and request parameters. Their JSON Schemas are what the host validates with and shows.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// Launch options of a Kokoro model.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LaunchOptions {
    /// Language of texts whose voice doesn't tell one, and of the default voice: a (en-us), b (en-gb), e (es), f (fr-fr),
    /// h (hi), i (it), j (ja), p (pt-br), z (zh). Default a.
    pub lang_code: Option<String>,
    /// The voice of requests that name none. Default af_alloy, or the first voice of `lang_code`.
    pub default_voice: Option<String>,
    /// Where to compute: cpu, cuda, cuda:N; torch checkpoints also on metal. Default cpu.
    pub device: Option<String>,
    /// Threads of one job. Default: what the server says, else the number of cores up to 4.
    #[schemars(range(min = 1, max = 256))]
    pub threads: Option<usize>,
    /// Jobs that run at a time. They share the weights; each needs up to 0.3 GB of its own while it runs. Default: the
    /// number of cores, at least 2, at most 4.
    #[schemars(range(min = 1, max = 64))]
    pub max_concurrency: Option<usize>,
    /// Which network to take when the model has several: a part of its file name, such as int8, fp16, q8f16, or pth for the torch
    /// checkpoint. Default on a processor the int8 graph, on an accelerator the checkpoint.
    pub graph: Option<String>,
    /// What a torch checkpoint computes in: float32, on accelerators also float16 and bfloat16. Default float32.
    pub dtype: Option<String>,
    /// The shared library of espeak-ng, which Spanish, French, Hindi, Italian and Portuguese texts need and English ones use
    /// for unknown words. Default: what the environment names (ESPEAK_LIBRARY, PHONEMIZER_ESPEAK_LIBRARY), else what is
    /// installed.
    pub espeak_library: Option<PathBuf>,
    /// ONNX Runtime's shared library, or the directory it is in. Default: the environment variable ORT_DYLIB_PATH, else
    /// the one that the server provides.
    pub onnxruntime: Option<PathBuf>,
}

/// Parameters of a speech request that are Kokoro's own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RequestParameters {
    /// Language of the text, for voices whose name doesn't tell it; without a voice it also chooses the voice. A voice's
    /// first letter wins over it.
    pub lang_code: Option<String>,
    /// true: the text is phonemes already, in any of Kokoro's languages, at most 510 characters a line. A text: speak these
    /// phonemes instead of the input.
    pub phonemes: Option<Phonemes>,
    /// Regular expression at which the text is cut into paragraphs; null for none.
    #[schemars(length(max = 200))]
    pub split_pattern: Option<String>,
    /// Draws the noise in the voice of a torch checkpoint: the same request with the same seed gives the same sound. The ONNX exports of
    /// v1.0 have no noise and give the same sound always. Default 0.
    pub seed: u64,
}

/// Whether phonemes are given, and where.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Phonemes {
    /// Whether the input is phonemes.
    Input(bool),
    /// The phonemes.
    Text(String),
}

/// Upstream's default (`kokoro.pipeline:KPipeline.__call__`).
const DEFAULT_SPLIT_PATTERN: &str = r"\n+";

impl Default for RequestParameters {
    fn default() -> Self {
        RequestParameters {
            lang_code: None,
            phonemes: None,
            split_pattern: Some(DEFAULT_SPLIT_PATTERN.to_owned()),
            seed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use syrinx_plugin_common::options::schema_of;

    use super::*;

    #[test]
    fn parameters_are_read() {
        let read = |text: &str| serde_json::from_str::<RequestParameters>(text);
        assert_eq!(read("{}").unwrap().split_pattern.as_deref(), Some(r"\n+"));
        assert_eq!(read(r#"{"split_pattern": null}"#).unwrap().split_pattern, None);
        assert!(matches!(read(r#"{"phonemes": true}"#).unwrap().phonemes, Some(Phonemes::Input(true))));
        assert!(matches!(read(r#"{"phonemes": "hˈI"}"#).unwrap().phonemes, Some(Phonemes::Text(_))));
        assert!(read(r#"{"phonemes": 3}"#).is_err());
    }

    #[test]
    fn schemas_describe_every_option() {
        let schema = schema_of::<LaunchOptions>();
        let properties = schema["properties"].as_object().unwrap();
        assert!(properties.values().all(|property| property["description"].is_string()));
        assert!(properties.contains_key("lang_code") && properties.contains_key("onnxruntime"));
        assert!(schema_of::<RequestParameters>()["properties"]["phonemes"].is_object());
    }
}
