//! Audio of a request: uploads become samples, on a thread that may take its time.

use crate::{
    audio::decode::{DecodeError, Decoded, Limits, decode_while},
    http::{
        body::{Fields, Upload},
        error::ApiError,
    },
    memory::{Exhausted, Memory, Reservation},
    models::OwnedClip,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use syrinx_plugin_api::ModelCard;

/// The field with the voice to imitate, and the name that the plugin sees.
pub(crate) const PROMPT_SPEECH: &str = "prompt_speech";

/// Fields with reference clips, and the name that the plugin sees.
const CLIPS: [(&str, &str); 3] = [
    (PROMPT_SPEECH, PROMPT_SPEECH),
    ("emo_audio_prompt", "emo_audio_prompt"),
    ("emo_prompt_speech", "emo_audio_prompt"),
];

/// Rate in Hz of clips for a model that doesn't say what it wants.
const CLIP_RATE: u32 = 24_000;

/// Longest reference clip in seconds; models use the first half minute at most.
const CLIP_SECONDS: f64 = 600.0;

/// The names of the fields that hold clips.
pub(crate) const CLIP_FIELDS: [&str; 3] = [CLIPS[0].0, CLIPS[1].0, CLIPS[2].0];

/// Decoded audio, and the memory that it takes.
pub(crate) struct Samples {
    /// Mono samples and what the file was.
    pub(crate) decoded: Decoded,
    pub(crate) held: Reservation,
}

impl AsRef<[f32]> for Samples {
    fn as_ref(&self) -> &[f32] {
        &self.decoded.samples
    }
}

impl Samples {
    /// Samples that are there already, if there is memory for them.
    pub(crate) fn new(decoded: Decoded, memory: &Memory) -> Result<Self, Exhausted> {
        let held = memory.reserve(size_of_val(decoded.samples.as_slice()) as u64)?;
        Ok(Self { decoded, held })
    }
}

/// Stops a decoding when the request that wants it is gone.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Decodes the file that came in `field`, at its own rate if `rate` is none.
///
/// # Errors
/// 400 when it is no usable audio, 503 when there is no memory for it.
pub(crate) async fn decode(
    field: &'static str,
    upload: Upload,
    rate: Option<u32>,
    longest: f64,
    memory: &Memory,
) -> Result<Samples, ApiError> {
    let limits = Limits { max_seconds: longest, ..Limits::default() };
    let mut held = memory.reserve(0)?;
    let wanted = Wanted(Arc::new(AtomicBool::new(true)));
    let still_wanted = wanted.0.clone();
    let work = move || -> Result<Samples, ApiError> {
        let mut exhausted = Ok(());
        let outcome = decode_while(upload.data.clone(), rate, &limits, |bytes| {
            exhausted = held.resize(bytes);
            exhausted.is_ok() && still_wanted.load(Ordering::Relaxed)
        });
        // The file goes first, so that its memory is free for the next one.
        drop(upload);
        exhausted.map_err(|error: Exhausted| ApiError::from(error))?;
        let decoded = outcome.map_err(|error| unusable(field, &error))?;
        held.resize(size_of_val(decoded.samples.as_slice()) as u64)?;
        Ok(Samples { decoded, held })
    };
    let turn = memory.turn_to_decode().await;
    let samples = tokio::task::spawn_blocking(work)
        .await
        .map_err(|cause| ApiError::internal(format!("decoding {field}: {cause}")))??;
    drop((wanted, turn));
    let source = &samples.decoded.source;
    if source.truncated {
        tracing::info!(field, seconds = source.seconds, "a file is cut short; using what there is");
    }
    Ok(samples)
}

/// The reference clips of a request, and the memory that they take.
#[derive(Default)]
pub(crate) struct Clips {
    pub(crate) clips: Vec<OwnedClip>,
    pub(crate) held: Vec<Reservation>,
}

impl Clips {
    /// Adds a clip under the name that the plugin sees.
    pub(crate) fn add(&mut self, name: &str, samples: Samples) {
        let Samples { decoded, held } = samples;
        self.clips.push(OwnedClip { name: name.to_owned(), samples: decoded.samples, sample_rate: decoded.rate });
        self.held.push(held);
    }
}

/// Rate in Hz that a model wants clips at.
pub(crate) fn clip_rate(card: &ModelCard) -> u32 {
    card.clip_sample_rate.or(card.output_sample_rate).unwrap_or(CLIP_RATE)
}

/// Decodes every reference clip of a request.
///
/// # Errors
/// 400 when one is no usable audio, 503 when there is no memory for it.
pub(crate) async fn references(fields: &Fields, card: &ModelCard, memory: &Memory) -> Result<Clips, ApiError> {
    let mut all = Clips::default();
    for (field, name) in CLIPS {
        let Some(upload) = fields.file(field)? else { continue };
        if all.clips.iter().all(|clip| clip.name != name) {
            all.add(name, decode(field, upload, Some(clip_rate(card)), CLIP_SECONDS, memory).await?);
        }
    }
    Ok(all)
}

/// 400, or 500 when it isn't the file's fault.
fn unusable(field: &'static str, error: &DecodeError) -> ApiError {
    match error {
        DecodeError::Resample(_) => ApiError::internal(error),
        _ => ApiError::invalid(field, format!("`{field}`: {error}")).with_code("invalid_audio"),
    }
}
