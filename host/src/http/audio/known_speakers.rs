//! `known_speaker_names` and `known_speaker_references`: people whom the caller wants to find in a diarized transcript.

use super::clips;
use crate::{
    http::{
        body::{Fields, Upload},
        error::{ApiError, clip},
    },
    memory::{Memory, Reservation},
    models::OwnedClip,
};
use std::ops::RangeInclusive;

const NAMES: &str = "known_speaker_names";
const REFERENCES: &str = "known_speaker_references";

/// As many as OpenAI takes.
const MOST: usize = 4;

/// Length of a reference in seconds, as OpenAI takes them; codecs add a few milliseconds.
const SECONDS: RangeInclusive<f64> = 2.0..=10.0;
const SLACK: f64 = 0.05;

/// Longest name in characters.
const NAME_LENGTH: usize = 100;

/// Speakers and their recordings, not yet decoded.
#[derive(Default)]
pub(crate) struct KnownSpeakers {
    pub(crate) names: Vec<String>,
    references: Vec<Upload>,
}

impl KnownSpeakers {
    /// Reads both fields.
    ///
    /// # Errors
    /// 400 when there are too many, or not as many of one as of the other.
    pub(crate) fn parse(fields: &Fields) -> Result<Self, ApiError> {
        let names: Vec<String> = fields.list(NAMES)?.iter().map(|name| name.trim().to_owned()).collect();
        let references = fields.files(REFERENCES)?;
        if names.len() > MOST {
            return Err(ApiError::invalid(
                NAMES,
                format!("`{NAMES}` has {} names; up to {MOST} are possible", names.len()),
            ));
        }
        if names.len() != references.len() {
            let (names, references) = (names.len(), references.len());
            let message =
                format!("there are {names} `{NAMES}` and {references} `{REFERENCES}`; each name needs its recording");
            return Err(ApiError::invalid(REFERENCES, message));
        }
        for (at, name) in names.iter().enumerate() {
            if names[..at].contains(name) {
                return Err(ApiError::invalid(NAMES, format!("`{NAMES}` has \"{}\" twice", clip(name))));
            }
            if name.chars().count() > NAME_LENGTH || name.chars().any(char::is_control) {
                let message =
                    format!("\"{}\" can't be a speaker's name: up to {NAME_LENGTH} printable characters", clip(name));
                return Err(ApiError::invalid(NAMES, message));
            }
        }
        Ok(Self { names, references })
    }

    /// Decodes the recordings at `rate` Hz.
    ///
    /// # Errors
    /// 400 when one is no audio of 2 to 10 s, 503 when there is no memory for it.
    pub(crate) async fn decode(
        self,
        rate: u32,
        memory: &Memory,
    ) -> Result<(Vec<OwnedClip>, Vec<Reservation>), ApiError> {
        let mut all = clips::Clips::default();
        for (name, upload) in self.names.iter().zip(self.references) {
            let samples = clips::decode(REFERENCES, upload, Some(rate), SECONDS.end() + 1.0, memory).await?;
            let seconds = samples.decoded.source.seconds;
            if seconds < SECONDS.start() - SLACK || seconds > SECONDS.end() + SLACK {
                let message = format!(
                    "the recording of \"{}\" is {seconds:.1} s long, but must have {} to {} s",
                    clip(name),
                    SECONDS.start(),
                    SECONDS.end()
                );
                return Err(ApiError::invalid(REFERENCES, message));
            }
            all.add(name, samples);
        }
        Ok((all.clips, all.held))
    }
}
