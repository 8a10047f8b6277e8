//! The request bodies of the audio routes, for the description of the API only: requests are read field by field, so that
//! every dialect is understood, and whatever else the running model's schema names is a field too.
#![expect(dead_code, reason = "nothing is ever read into these")]

use super::formats::TranscriptFormat;
use serde_json::{Map, Value};
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, schema::Type},
};

/// The bytes of an audio file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(crate) struct AudioFile(Vec<u8>);

/// A request to speak. Parameters of the model's family (`seed`, `prompt_text`, …) are further fields, or members of `kwargs`.
#[derive(ToSchema)]
#[schema(example = json!({
    "model": "Kokoro-82M", "input": "Hello there.", "voice": "alloy", "response_format": "mp3", "speed": 1.0, "stream": false
}))]
pub(crate) struct SpeechRequestBody {
    /// Uid of a running model that speaks.
    model: String,
    /// The text. Long ones are split at sentences.
    #[schema(min_length = 1)]
    input: String,
    /// One of the model's voices, one of OpenAI's names, or the id or name of a saved voice. Empty, null or absent: the
    /// model's default voice.
    #[schema(schema_with = voice)]
    voice: Option<String>,
    /// `ogg` is the same as `opus`. `pcm` is signed 16-bit little-endian mono without a header.
    #[schema(inline, nullable, default = "mp3")]
    response_format: Option<SpeechFormat>,
    /// 1 is the model's natural speed. Models that have one speed only are stretched in time, at the same pitch.
    #[schema(minimum = 0.25, maximum = 4.0, default = 1.0, nullable)]
    speed: Option<f64>,
    /// Whether the file is sent as it is made.
    #[schema(default = false, nullable)]
    stream: Option<bool>,
    /// `audio` is a stream of the file's bytes, `sse` one of events with base64.
    #[schema(inline, nullable)]
    stream_format: Option<StreamFormat>,
    /// How to say it, for models that take a description. Others ignore it.
    #[schema(nullable)]
    instructions: Option<String>,
    /// Rate of the file in Hz; the model's own by default. Formats that don't have it take the next higher one.
    #[schema(minimum = 8000, maximum = 48000, nullable)]
    sample_rate: Option<u32>,
    /// A recording of the voice to imitate: base64 text or a `data:` URL in JSON, a file in a form.
    #[schema(nullable)]
    prompt_speech: Option<String>,
    /// A recording of the emotion to imitate, likewise; also called `emo_prompt_speech`.
    #[schema(nullable)]
    emo_audio_prompt: Option<String>,
    /// Seconds that the request may take, waiting included. As the header `x-request-timeout`.
    #[schema(exclusive_minimum = 0.0, nullable)]
    timeout: Option<f64>,
    /// How urgent it is. As the header `x-priority`.
    #[schema(inline, nullable)]
    priority: Option<PriorityName>,
    /// Parameters of the model's family: an object, or the JSON text of one.
    #[schema(schema_with = kwargs)]
    kwargs: Option<Map<String, Value>>,
}

/// Streamed answers are `high` by themselves, others `normal`.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum PriorityName {
    High,
    Normal,
    Low,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum SpeechFormat {
    Mp3,
    Opus,
    Aac,
    Flac,
    Wav,
    Pcm,
    Ogg,
    M4a,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum StreamFormat {
    Audio,
    Sse,
}

/// A request to transcribe or translate, as a form.
#[derive(ToSchema)]
pub(crate) struct TranscriptionForm {
    /// Uid of a running model that transcribes.
    #[schema(example = "whisper-base")]
    model: String,
    /// The audio: wav, mp3, flac, ogg, opus, m4a, mp4, aac, webm. Its content decides, not its name.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    #[serde(flatten)]
    options: TranscriptionOptions,
}

/// The same as JSON.
#[derive(ToSchema)]
#[schema(example = json!({"model": "whisper-base", "file": "data:audio/wav;base64,UklGRiQAAABXQVZF…", "response_format": "verbose_json"}))]
pub(crate) struct TranscriptionJson {
    /// Uid of a running model that transcribes.
    model: String,
    /// The audio as base64 text or a `data:` URL.
    file: String,
    #[serde(flatten)]
    options: TranscriptionOptions,
}

/// What can be chosen. Parameters of the model's family (`hotword`, `beam_size`, …) are further fields, or members of
/// `kwargs`. Lists are repeated fields in forms, with or without `[]`.
#[derive(ToSchema)]
struct TranscriptionOptions {
    /// Language of the audio: an ISO 639 code, or its English name. Found out by default.
    #[schema(example = "en", nullable)]
    language: Option<String>,
    /// Text that precedes the audio, or words to expect.
    #[schema(nullable)]
    prompt: Option<String>,
    #[schema(inline, nullable, default = "json")]
    response_format: Option<TranscriptFormat>,
    /// 0 is deterministic, with the model's own fallbacks. Models that don't sample take nothing else.
    #[schema(minimum = 0.0, maximum = 2.0, default = 0.0, nullable)]
    temperature: Option<f64>,
    /// Times wanted in verbose_json.
    #[serde(rename = "timestamp_granularities[]")]
    #[schema(inline, nullable)]
    timestamp_granularities: Option<Vec<GranularityName>>,
    /// Whether the text is sent as it grows: with json, text and diarized_json.
    #[schema(default = false, nullable)]
    stream: Option<bool>,
    /// `logprobs`, from models that have them.
    #[serde(rename = "include[]")]
    #[schema(nullable)]
    include: Option<Vec<String>>,
    /// `auto`, or `{"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200}`.
    #[schema(schema_with = chunking)]
    chunking_strategy: Option<Value>,
    /// Words to listen for.
    #[serde(rename = "keywords[]")]
    #[schema(nullable)]
    keywords: Option<Vec<String>>,
    /// Languages that the audio may be in.
    #[serde(rename = "languages[]")]
    #[schema(nullable)]
    languages: Option<Vec<String>>,
    /// With diarized_json: people to find, up to four.
    #[serde(rename = "known_speaker_names[]")]
    #[schema(nullable, max_items = 4)]
    known_speaker_names: Option<Vec<String>>,
    /// Recordings of them, 2 to 10 s each, as `data:` URLs.
    #[serde(rename = "known_speaker_references[]")]
    #[schema(nullable, max_items = 4)]
    known_speaker_references: Option<Vec<String>>,
    /// Seconds that the request may take, waiting included. As the header `x-request-timeout`.
    #[schema(exclusive_minimum = 0.0, nullable)]
    timeout: Option<f64>,
    /// How urgent it is. As the header `x-priority`.
    #[schema(inline, nullable)]
    priority: Option<PriorityName>,
    /// Parameters of the model's family: an object, or the JSON text of one.
    #[schema(schema_with = kwargs)]
    kwargs: Option<Map<String, Value>>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum GranularityName {
    Word,
    Segment,
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A name, `{"id": name}`, or null.
fn voice() -> RefOr<Schema> {
    let by_id = ObjectBuilder::new().property("id", text()).required("id");
    OneOfBuilder::new().item(text()).item(by_id).item(ObjectBuilder::new().schema_type(Type::Null)).into()
}

/// An object, the JSON text of one, or null.
fn kwargs() -> RefOr<Schema> {
    let object = ObjectBuilder::new();
    OneOfBuilder::new().item(object).item(text()).item(ObjectBuilder::new().schema_type(Type::Null)).into()
}

/// `auto`, an object, or null.
fn chunking() -> RefOr<Schema> {
    let number = || ObjectBuilder::new().schema_type(Type::Number);
    let object = ObjectBuilder::new()
        .property("type", text().enum_values(Some(["server_vad"])))
        .property("threshold", number().minimum(Some(0.0)).maximum(Some(1.0)))
        .property("prefix_padding_ms", ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0.0)))
        .property("silence_duration_ms", ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0.0)))
        .required("type");
    OneOfBuilder::new()
        .item(text().enum_values(Some(["auto"])))
        .item(object)
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .into()
}
