//! Launch options and request parameters. Their JSON Schemas are what the host validates with and shows.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use syrinx_plugin_api::Error;

use crate::generate::{CODEBOOKS, Filters, Kind, Rules};

/// Launch options of a ChatTTS model.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LaunchOptions {
    /// Where to compute: cpu, cuda, cuda:N, or auto (the first card if there is one). Default cpu.
    pub device: Option<String>,
    /// What the weights of large products are kept in: float32, bfloat16, float16 (cards only), int8 (processor only). Default on cards float16,
    /// on the processor int8; decoder and vocoder then compute in float32.
    pub dtype: Option<String>,
    /// Threads of the computation. Default: what the server says, else all cores.
    #[schemars(range(min = 1, max = 256))]
    pub threads: Option<usize>,
    /// Rows (sentences) that are generated at a time, over all requests; each needs up to 0.25 GB in float32. Default 8 on processors, 32 on cards.
    #[schemars(range(min = 1, max = 256))]
    pub max_rows: Option<usize>,
    /// Requests that are served at a time. Default: as many as rows.
    #[schemars(range(min = 1, max = 256))]
    pub max_concurrency: Option<usize>,
    /// A JSON file of characters and the common homophone that each is replaced by, such as `res/homophones_map.json` of the ChatTTS package. Default: the
    /// file homophones_map.json in the model's directory, if there is one; else nothing is replaced.
    pub homophones: Option<PathBuf>,
    /// The voice of requests that name none: a name, a speaker string, or an emb_data text. Default: the empty name, as Xinference has it.
    pub default_voice: Option<String>,
}

/// How tokens are generated, under the package's names.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GenerationParameters {
    /// Control tokens before the text, such as `[speed_5]`; of the refining pass behind it, such as `[oral_2][laugh_0][break_6]`.
    #[schemars(length(max = 200))]
    pub prompt: Option<String>,
    /// Randomness: more than 0. Of codes also a list with a value for each of the 4 codebooks. Default 0.3 for codes, 0.7 for text.
    pub temperature: Option<Temperature>,
    /// Only the most likely tokens are drawn that together have this probability. Default 0.7.
    #[serde(rename = "top_P", alias = "top_p")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: Option<f32>,
    /// Only so many of the most likely tokens are drawn (at least 3). Default 20.
    #[serde(rename = "top_K", alias = "top_k")]
    #[schemars(range(min = 1))]
    pub top_k: Option<usize>,
    /// How much less likely a token becomes each time that it is among the last 16. Default 1.05 for codes, 1 for text.
    #[schemars(range(min = 0.1, max = 10.0))]
    pub repetition_penalty: Option<f32>,
    /// Steps after which a piece of text ends. Default 2048 for codes (43.7 s), 384 for text.
    #[schemars(range(min = 1, max = 4096))]
    pub max_new_token: Option<usize>,
    /// Steps before which it doesn't end. Default 0.
    #[schemars(range(min = 0, max = 4096))]
    pub min_new_token: Option<usize>,
}

/// One temperature, or one for each codebook.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Temperature {
    /// The same for all.
    One(f32),
    /// For each.
    Each([f32; CODEBOOKS]),
}

/// Parameters of a speech request that are ChatTTS's own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RequestParameters {
    /// How the speech is generated.
    #[serde(flatten)]
    pub code: GenerationParameters,
    /// How the refined text is generated.
    pub params_refine_text: GenerationParameters,
    /// Short for the prompt of `params_refine_text`: how colloquial, how much laughter, how many breaks, such as `[oral_2][laugh_0][break_6]`.
    #[schemars(length(max = 200))]
    pub refine_prompt: Option<String>,
    /// Speak the text as it is, instead of letting the model write breaks and laughter into it first. Default false, as in the package.
    pub skip_refine_text: bool,
    /// Makes a request repeatable: the same request with the same seed gives the same sound. −1 or null: another each time.
    #[schemars(range(min = -1))]
    pub seed: Option<i64>,
    /// As in the package: chance starts anew with this seed at every step.
    #[schemars(range(min = 0))]
    pub manual_seed: Option<u64>,
    /// Make sound of the language model's states. False: of its codes, which is the package's older way and sounds coarser.
    pub use_decoder: bool,
    /// Write numbers, dates and signs as words, and marks as the model knows them.
    pub do_text_normalization: bool,
    /// Replace rare Chinese characters by common ones that sound the same.
    pub do_homophone_replacement: bool,
    /// The text's language: zh or en. Default: found out.
    pub lang: Option<String>,
    /// Cut the text into sentences that are generated on their own.
    pub split_text: bool,
    /// Sentences of this request that are generated at a time.
    #[schemars(range(min = 1, max = 64))]
    pub max_split_batch: usize,
    /// Let the first sentence's sound guide the others', as the package does with a text that it splits. They then have to wait for it.
    pub keep_voice: bool,
    /// Steps (21.3 ms each) that are made to sound at a time; after the first four times twice as many.
    #[schemars(range(min = 1, max = 2048))]
    pub stream_batch: usize,
    /// What is said in `prompt_speech`, or in the codes of `spk_smp`. They are of use only with it.
    #[serde(alias = "txt_smp")]
    #[schemars(length(max = 2000))]
    pub prompt_text: Option<String>,
    /// Codes of a recording to imitate, as the package's `sample_audio_speaker` writes them.
    pub spk_smp: Option<String>,
}

impl Default for RequestParameters {
    fn default() -> Self {
        Self {
            code: GenerationParameters::default(),
            params_refine_text: GenerationParameters::default(),
            refine_prompt: None,
            skip_refine_text: false,
            seed: None,
            manual_seed: None,
            use_decoder: true,
            do_text_normalization: true,
            do_homophone_replacement: true,
            lang: None,
            split_text: true,
            max_split_batch: MAX_SPLIT_BATCH,
            keep_voice: false,
            stream_batch: STREAM_BATCH,
            prompt_text: None,
            spk_smp: None,
        }
    }
}

/// Source: `Chat.infer`.
const MAX_SPLIT_BATCH: usize = 4;
/// Source: `InferCodeParams.stream_batch`.
const STREAM_BATCH: usize = 24;

impl GenerationParameters {
    /// The rules of a row. `end` ends it.
    ///
    /// # Errors
    /// A value can't be used; its name is prefixed by `parent`.
    pub fn rules(&self, kind: Kind, end: u32, parent: &str) -> Result<Rules, Error> {
        // Source: `Chat.InferCodeParams` and `Chat.RefineTextParams`.
        let (temperature, penalty, most) = match kind {
            Kind::Code => (0.3, 1.05, 2048),
            Kind::Text => (0.7, 1.0, 384),
        };
        let wrong = |name: &str, message: String| Err(Error::invalid_input(format!("{parent}{name}"), message));
        let temperature = match &self.temperature {
            None => vec![temperature],
            Some(Temperature::One(value)) => vec![*value],
            Some(Temperature::Each(values)) if kind == Kind::Code => values.to_vec(),
            Some(Temperature::Each(_)) => {
                return wrong("temperature", "text is drawn with one temperature, not a list".to_owned());
            }
        };
        if let Some(value) = temperature.iter().find(|value| !(**value > 0.0 && value.is_finite())) {
            return wrong("temperature", format!("`temperature` is {value}, but must be more than 0"));
        }
        let top_p = self.top_p.unwrap_or(0.7);
        if !(0.0..=1.0).contains(&top_p) {
            return wrong("top_P", format!("`top_P` is {top_p}, but must be between 0 and 1"));
        }
        let repetition_penalty = self.repetition_penalty.unwrap_or(penalty);
        if !(repetition_penalty > 0.0 && repetition_penalty.is_finite()) {
            return wrong(
                "repetition_penalty",
                format!("`repetition_penalty` is {repetition_penalty}, but must be more than 0"),
            );
        }
        let (min_new_token, max_new_token) = (self.min_new_token.unwrap_or(0), self.max_new_token.unwrap_or(most));
        if min_new_token > max_new_token {
            let message =
                format!("`min_new_token` is {min_new_token}, more than `max_new_token`, which is {max_new_token}");
            return wrong("min_new_token", message);
        }
        let filters = Filters {
            temperature,
            top_p: Some(top_p),
            top_k: Some(self.top_k.unwrap_or(20).max(1)),
            repetition_penalty,
        };
        Ok(Rules { kind, filters, min_new_token, max_new_token, end, ensure_non_empty: true })
    }
}

#[cfg(test)]
mod tests {
    use syrinx_plugin_common::options::schema_of;

    use super::*;

    fn read(text: &str) -> RequestParameters {
        serde_json::from_str(text).expect("parameters")
    }

    fn rules(text: &str) -> Result<Rules, Error> {
        read(text).code.rules(Kind::Code, 625, "")
    }

    #[test]
    fn parameters_have_the_packages_names_and_defaults() {
        let rules = rules("{}").expect("rules");
        assert_eq!(rules.filters.temperature, [0.3]);
        assert_eq!((rules.filters.top_p, rules.filters.top_k), (Some(0.7), Some(20)));
        assert_eq!((rules.filters.repetition_penalty, rules.max_new_token), (1.05, 2048));
        let text = read(
            r#"{"params_refine_text": {"temperature": 1, "max_new_token": 9}, "top_P": 0.5, "temperature": [0.1, 0.2, 0.3, 0.4]}"#,
        );
        let refine = text.params_refine_text.rules(Kind::Text, 1, "params_refine_text.").expect("rules");
        assert_eq!((refine.filters.temperature, refine.max_new_token), (vec![1.0], 9));
        let code = text.code.rules(Kind::Code, 625, "").expect("rules");
        assert_eq!((code.filters.top_p, code.filters.temperature.len()), (Some(0.5), 4));
    }

    #[test]
    fn what_cant_be_used_is_named() {
        for (text, field) in [
            (r#"{"temperature": 0}"#, "temperature"),
            (r#"{"temperature": [0.1, 0.2, -1, 0.3]}"#, "temperature"),
            (r#"{"top_P": 1.5}"#, "top_P"),
            (r#"{"repetition_penalty": -1}"#, "repetition_penalty"),
            (r#"{"min_new_token": 9, "max_new_token": 8}"#, "min_new_token"),
        ] {
            let error = rules(text).expect_err(text);
            assert_eq!(error.field.as_deref(), Some(field), "{error}");
        }
        let list = read(r#"{"params_refine_text": {"temperature": [1, 1, 1, 1]}}"#);
        let error = list.params_refine_text.rules(Kind::Text, 1, "params_refine_text.").expect_err("a list");
        assert_eq!(error.field.as_deref(), Some("params_refine_text.temperature"));
    }

    #[test]
    fn schemas_describe_every_option() {
        for schema in [schema_of::<LaunchOptions>(), schema_of::<RequestParameters>()] {
            let properties = schema["properties"].as_object().expect("properties");
            assert!(properties.values().all(|property| property["description"].is_string()));
        }
        let parameters = schema_of::<RequestParameters>();
        for name in ["temperature", "top_P", "top_K", "seed", "params_refine_text", "prompt_text"] {
            assert!(parameters["properties"].get(name).is_some(), "{name}");
        }
    }
}
