//! What a caller wants transcribed, and how: the end of all dialects.

use super::{
    chunking, formats::TranscriptFormat, known_speakers::KnownSpeakers, language, parameters, parameters::property,
};
use crate::{
    http::{
        body::{Fields, Upload},
        error::{ApiError, clip},
    },
    models::Running,
    schema,
};
use serde_json::Value;
use syrinx_plugin_api::{Granularity, ModelCard, Object, Task, TranscribeSettings};

/// Fields that the route understands itself; all others are family parameters.
const OWN: [&str; 18] = [
    "model",
    "file",
    "language",
    "prompt",
    "response_format",
    "temperature",
    "timestamp_granularities",
    "stream",
    "include",
    "kwargs",
    "chunking_strategy",
    "keywords",
    "languages",
    "known_speaker_names",
    "known_speaker_references",
    "user",
    "timeout",
    "priority",
];

/// Highest temperature; OpenAI's own limit is 1.
const HOTTEST: f64 = 2.0;

/// A request to transcribe or translate.
pub(crate) struct TranscriptionRequest {
    /// The audio file.
    pub(crate) file: Upload,
    /// What the plugin is told.
    pub(crate) settings: TranscribeSettings,
    /// What the answer looks like.
    pub(crate) format: TranscriptFormat,
    /// Whether the answer is sent as it grows.
    pub(crate) stream: bool,
    /// Whether words are shown.
    pub(crate) words: bool,
    /// Whether log probabilities are shown.
    pub(crate) logprobs: bool,
    /// People to find in a diarized transcript.
    pub(crate) known_speakers: KnownSpeakers,
    /// Whether plain text formats are sent as JSON: the caller sent `kwargs`, so it is Xinference's client, which parses
    /// every answer.
    pub(crate) texts_as_json: bool,
}

impl TranscriptionRequest {
    /// Reads a request to the model `running`, which describes itself by `card`.
    ///
    /// # Errors
    /// 400 that names the field at fault.
    pub(crate) fn parse(mut fields: Fields, task: Task, running: &Running, card: &ModelCard) -> Result<Self, ApiError> {
        let texts_as_json = fields.unpack_kwargs()?;
        let format = fields
            .text("response_format")?
            .map_or(Ok(TranscriptFormat::default()), |name| TranscriptFormat::parse(&name))?;
        if format == TranscriptFormat::DiarizedJson && !card.diarizes {
            let others = parameters::elsewhere(card, parameters::SPEAKERS);
            let message = format!("this model does not tell speakers apart, so there is no diarized_json{others}");
            return Err(ApiError::invalid("response_format", message));
        }
        let stream = fields.boolean("stream")?.unwrap_or(false);
        if stream && !format.streams() {
            return Err(ApiError::invalid(
                "response_format",
                "only json, text and diarized_json can be streamed; leave `stream` out for this format",
            ));
        }
        let language = fields
            .text("language")?
            .map_or(Ok(None), |given| language::resolve("language", &given, &card.languages))?;
        let granularities = granularities(&fields, format, card)?;
        let temperature = temperature(&fields, card)?;
        let prompt = fields.text("prompt")?;
        let logprobs = logprobs(&fields, card)?;
        let known_speakers = KnownSpeakers::parse(&fields)?;
        let mut parameters = parameters::collect(&fields, &OWN, running, card)?;
        if logprobs {
            parameters.insert("logprobs".to_owned(), Value::Bool(true));
        }
        hints(&fields, card, &mut parameters)?;
        chunking::collect(&fields, card, &mut parameters)?;
        if !known_speakers.names.is_empty() && property(card, "known_speaker_names").is_some() {
            parameters.insert("known_speaker_names".to_owned(), Value::from(known_speakers.names.clone()));
        }
        let file = fields.file("file")?.ok_or_else(|| {
            ApiError::invalid("file", "`file` is required: the audio, as a file of a form or as base64 text in JSON")
        })?;
        let words = granularities.contains(&Granularity::Word);
        let settings = TranscribeSettings { task, language, prompt, temperature, granularities, parameters };
        Ok(Self { file, settings, format, stream, words, logprobs, known_speakers, texts_as_json })
    }
}

/// The times wanted. Segments are always asked for where the model has them, so that the text doesn't depend on the format.
fn granularities(fields: &Fields, format: TranscriptFormat, card: &ModelCard) -> Result<Vec<Granularity>, ApiError> {
    const FIELD: &str = "timestamp_granularities";
    let mut wanted = Vec::new();
    for name in fields.list(FIELD)? {
        let granularity = match name.trim() {
            "segment" => Granularity::Segment,
            "word" => Granularity::Word,
            other => {
                let message = format!("unknown granularity \"{}\"; there are word and segment", clip(other));
                return Err(ApiError::invalid(FIELD, message));
            }
        };
        if !card.granularities.contains(&granularity) {
            let others = match granularity {
                Granularity::Word => parameters::elsewhere(card, parameters::WORDS),
                _ => String::new(),
            };
            let message = format!("this model does not give {} times{others}", name.trim());
            return Err(ApiError::invalid(FIELD, message));
        }
        wanted.push(granularity);
    }
    let words = wanted.contains(&Granularity::Word) && format == TranscriptFormat::VerboseJson;
    let segments = card.granularities.contains(&Granularity::Segment).then_some(Granularity::Segment);
    Ok(segments.into_iter().chain(words.then_some(Granularity::Word)).collect())
}

/// Hands on the words and languages to expect, where the model has a parameter for them.
fn hints(fields: &Fields, card: &ModelCard, parameters: &mut Object) -> Result<(), ApiError> {
    let keywords = fields.list("keywords")?;
    if !keywords.is_empty() {
        if property(card, "keywords").is_some() {
            parameters.insert("keywords".to_owned(), Value::from(keywords));
        } else if property(card, "hotword").is_some() && !parameters.contains_key("hotword") {
            parameters.insert("hotword".to_owned(), Value::from(keywords.join(" ")));
        }
    }
    let languages = fields.list("languages")?;
    let languages = languages.iter().map(|given| language::resolve("languages", given, &card.languages));
    let languages: Vec<String> = languages.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    if !languages.is_empty() && property(card, "languages").is_some() {
        parameters.insert("languages".to_owned(), Value::from(languages));
    }
    Ok(())
}

/// The temperature. A model whose schema has a parameter of that name says there what it takes: a family without sampling
/// allows 0 only (`{"enum": [0]}`).
fn temperature(fields: &Fields, card: &ModelCard) -> Result<f32, ApiError> {
    let temperature = fields.number("temperature")?.unwrap_or(0.0);
    if !(0.0..=HOTTEST).contains(&temperature) {
        let message = format!("`temperature` is {temperature}, but must be between 0 and {HOTTEST}");
        return Err(ApiError::invalid("temperature", message));
    }
    let given = [("temperature".to_owned(), Value::from(temperature))].into_iter().collect();
    if property(card, "temperature").is_some() {
        schema::check(&card.parameters, &given)
            .map_err(|mismatch| ApiError::invalid("temperature", mismatch.to_string()))?;
    }
    Ok(temperature as f32)
}

/// Whether log probabilities are wanted; a model that has them has a parameter of that name.
fn logprobs(fields: &Fields, card: &ModelCard) -> Result<bool, ApiError> {
    let mut wanted = false;
    for name in fields.list("include")? {
        if name.trim() != "logprobs" {
            return Err(ApiError::invalid(
                "include",
                format!("`include` can't be \"{}\"; there is logprobs", clip(&name)),
            ));
        }
        wanted = true;
    }
    if wanted && property(card, "logprobs").is_none() {
        return Err(ApiError::invalid("include", "this model does not give logprobs"));
    }
    Ok(wanted)
}
