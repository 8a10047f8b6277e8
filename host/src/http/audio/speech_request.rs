//! What a caller wants spoken, and how: the end of all dialects.

use super::{
    clips::{CLIP_FIELDS, PROMPT_SPEECH},
    parameters,
    voice::{self, Choice},
};
use crate::{
    audio::encode::{EncodeOptions, Format, SAMPLE_RATES},
    config::Limits,
    http::{body::Fields, error::ApiError},
    models::Running,
    voices::{SavedVoice, Voices},
};
use serde_json::Value;
use std::sync::Arc;
use syrinx_plugin_api::{ModelCard, SpeechSettings};

/// Fields that the route understands itself; with [`CLIP_FIELDS`], all others are family parameters.
const OWN: [&str; 14] = [
    "model",
    "input",
    "voice",
    "response_format",
    "speed",
    "stream",
    "stream_format",
    "instructions",
    "kwargs",
    "sample_rate",
    PROMPT_LATENT,
    "user",
    "timeout",
    "priority",
];

/// A file that MegaTTS wants. No model here does, but what is no file is refused all the same.
const PROMPT_LATENT: &str = "prompt_latent";

/// Slowest and fastest speech, as in OpenAI's contract.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.25..=4.0;

/// The parameter for what is said in `prompt_speech`, and Fish Audio's other name for it.
const PROMPT_TEXT: &str = "prompt_text";
const REFERENCE_TEXT: &str = "reference_text";

/// How the answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// In one piece with its length.
    Whole,
    /// As a stream of the file's bytes.
    Chunks,
    /// As server-sent events.
    Events,
}

/// A request to speak.
pub(crate) struct SpeechRequest {
    /// What the plugin is told.
    pub(crate) settings: SpeechSettings,
    /// Fields, for the clips in them.
    pub(crate) fields: Fields,
    /// The voice to imitate, when it is a saved one and the request brings no clip of its own.
    pub(crate) saved_voice: Option<Arc<SavedVoice>>,
    /// Format of the file.
    pub(crate) format: Format,
    /// Rate of the file, and its speed where the model can't change it.
    pub(crate) encoding: EncodeOptions,
    /// How it is sent.
    pub(crate) delivery: Delivery,
}

impl SpeechRequest {
    /// Reads a request to the model `running`, which describes itself by `card`.
    ///
    /// # Errors
    /// 400 that names the field at fault.
    pub(crate) fn parse(
        mut fields: Fields,
        running: &Running,
        card: &ModelCard,
        limits: &Limits,
        saved: &Voices,
    ) -> Result<Self, ApiError> {
        fields.unpack_kwargs()?;
        let text = input(&fields, limits)?;
        let format = fields.text("response_format")?.map_or(Ok(Format::Mp3), |name| {
            name.parse().map_err(|error: crate::audio::encode::UnknownFormat| {
                ApiError::invalid("response_format", error.to_string())
            })
        })?;
        let choice = match fields.last_parameter("voice").map(|value| voice::from_json(&value)).transpose()?.flatten() {
            Some(name) => voice::resolve(&name, card, saved)?,
            None => Choice::Default,
        };
        let speed = speed(&fields)?;
        // What the model can't do is done to its samples.
        let (speed, stretch) = if card.applies_speed || speed == 1.0 { (speed, None) } else { (1.0, Some(speed)) };
        let encoding = EncodeOptions { sample_rate: sample_rate(&fields)?, speed: stretch, ..EncodeOptions::default() };
        let delivery = delivery(&fields)?;
        let instructions = fields.text("instructions")?;
        fields.file(PROMPT_LATENT)?;
        let own: Vec<&str> = OWN.into_iter().chain(CLIP_FIELDS).collect();
        let mut parameters = parameters::collect(&fields, &own, running, card)?;
        let (voice, saved_voice) = match choice {
            Choice::Default => (None, None),
            Choice::Own(voice) => (Some(voice), None),
            // A clip in the request is the more explicit wish.
            Choice::Saved(_) if fields.has(PROMPT_SPEECH) => (None, None),
            Choice::Saved(saved) => (None, Some(saved)),
        };
        if let Some(text) = saved_voice.as_ref().and_then(|saved| saved.prompt_text.as_deref())
            && parameters::property(card, PROMPT_TEXT).is_some()
            && ![PROMPT_TEXT, REFERENCE_TEXT].iter().any(|field| fields.has(field))
        {
            parameters.insert(PROMPT_TEXT.to_owned(), Value::from(text));
        }
        let settings = SpeechSettings { text, voice, speed, instructions, parameters };
        Ok(Self { settings, fields, saved_voice, format, encoding, delivery })
    }
}

fn input(fields: &Fields, limits: &Limits) -> Result<String, ApiError> {
    let text = fields
        .raw_text("input")?
        .ok_or_else(|| ApiError::invalid("input", "`input` is required: the text to speak"))?;
    if text.trim().is_empty() {
        return Err(ApiError::invalid("input", "`input` is empty: there is nothing to speak"));
    }
    let (length, limit) = (text.chars().count(), limits.input_characters);
    if length > limit {
        let message = format!("`input` has {length} characters; this server takes up to {limit}");
        return Err(ApiError::invalid("input", message).with_code("string_above_max_length"));
    }
    Ok(text.into_owned())
}

fn speed(fields: &Fields) -> Result<f32, ApiError> {
    let speed = fields.number("speed")?.unwrap_or(1.0);
    if !SPEEDS.contains(&speed) {
        let message = format!("`speed` is {speed}, but must be between {} and {}", SPEEDS.start(), SPEEDS.end());
        return Err(ApiError::invalid("speed", message));
    }
    Ok(speed as f32)
}

fn sample_rate(fields: &Fields) -> Result<Option<u32>, ApiError> {
    let Some(rate) = fields.number("sample_rate")? else { return Ok(None) };
    let (lowest, highest) = (*SAMPLE_RATES.start(), *SAMPLE_RATES.end());
    if rate.fract() != 0.0 || !(f64::from(lowest)..=f64::from(highest)).contains(&rate) {
        let message =
            format!("`sample_rate` is {rate}, but must be a whole number of Hz between {lowest} and {highest}");
        return Err(ApiError::invalid("sample_rate", message));
    }
    Ok(Some(rate as u32))
}

fn delivery(fields: &Fields) -> Result<Delivery, ApiError> {
    let stream = fields.boolean("stream")?.unwrap_or(false);
    match fields.text("stream_format")?.as_deref().map(str::trim) {
        None if !stream => Ok(Delivery::Whole),
        None | Some("audio") => Ok(Delivery::Chunks),
        Some("sse") => Ok(Delivery::Events),
        Some(other) => {
            let message =
                format!("unknown stream format \"{}\"; there are audio and sse", crate::http::error::clip(other));
            Err(ApiError::invalid("stream_format", message))
        }
    }
}
