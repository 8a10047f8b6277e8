//! What a job pushes besides samples.

use serde::{Deserialize, Serialize};

/// A word and when it was said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Word {
    /// The word, with the white space that precedes it in the text.
    pub word: String,
    /// Seconds from the start of the audio.
    pub start: f64,
    /// Seconds from the start of the audio.
    pub end: f64,
    /// The model's confidence, 0…1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f32>,
}

/// A stretch of transcript. Members that a family has no notion of stay at their default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Segment {
    /// Counts from 0.
    pub id: usize,
    /// Whisper: frame (10 ms) at which the decoding window began.
    pub seek: usize,
    /// Seconds from the start of the audio.
    pub start: f64,
    /// Seconds from the start of the audio.
    pub end: f64,
    /// The text, as it concatenates with its neighbours.
    pub text: String,
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Temperature that the text was decoded with.
    pub temperature: f32,
    /// Mean log probability of the tokens.
    pub avg_logprob: f32,
    /// Length of the text over its deflated length.
    pub compression_ratio: f32,
    /// Probability that nobody speaks.
    pub no_speech_prob: f32,
    /// Words, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<Vec<Word>>,
    /// Label of who speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    /// Code of the language spoken here, where a model tells it per segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// How it is said, in the model's own words: `happy`, `neutral`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emotion: Option<String>,
    /// What is heard besides speech, in the model's own words: `laughter`, `applause`; `speech` where there is nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
}

/// A token and how sure the model was of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenLogprob {
    /// The token's text.
    pub token: String,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// The token's bytes (a token may be a part of a character).
    pub bytes: Vec<u8>,
}

/// One push of a transcription job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum TranscriptEvent {
    /// The language spoken, once it is known.
    Language {
        /// Code, as in the card's `languages`.
        language: String,
        /// 0…1, when it was detected.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        probability: Option<f32>,
    },
    /// A finished segment. Segments come in order and never change. The transcript is their texts, one after the other.
    Segment {
        /// The segment.
        segment: Segment,
    },
    /// Log probabilities of tokens since the last such event, when asked for.
    Logprobs {
        /// In order.
        tokens: Vec<TokenLogprob>,
    },
    /// How far the job is, in seconds of input done.
    Progress {
        /// Seconds.
        seconds: f64,
    },
    /// From a newer plugin; ignored.
    #[serde(other)]
    Unknown,
}

/// What a speech job says about its samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SpeechEvent {
    /// When a piece of the text is spoken (captions).
    Mark {
        /// The piece.
        text: String,
        /// Seconds from the first sample.
        start: f64,
        /// Seconds from the first sample.
        end: f64,
    },
    /// Something the caller should know although the job goes on.
    Warning {
        /// The text.
        message: String,
    },
    /// From a newer plugin; ignored.
    #[serde(other)]
    Unknown,
}
