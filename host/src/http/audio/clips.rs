//! Audio of a request: uploads become samples, on a thread that may take its time.

use crate::{
    audio::{
        self,
        decode::{DecodeError, Limits},
    },
    http::{
        body::{Fields, Upload},
        error::ApiError,
    },
    models::OwnedClip,
};
use syrinx_plugin_api::ModelCard;

/// Fields with reference clips, and the name that the plugin sees.
const CLIPS: [(&str, &str); 3] = [
    ("prompt_speech", "prompt_speech"),
    ("emo_audio_prompt", "emo_audio_prompt"),
    ("emo_prompt_speech", "emo_audio_prompt"),
];

/// Rate in Hz of clips for a model that doesn't say what it wants.
const CLIP_RATE: u32 = 24_000;

/// The names of the fields that hold clips.
pub(crate) const CLIP_FIELDS: [&str; 3] = [CLIPS[0].0, CLIPS[1].0, CLIPS[2].0];

/// Audio as a model wants it.
pub(crate) struct Samples {
    /// Mono, at the rate asked for.
    pub(crate) samples: Vec<f32>,
    /// Length of the file in seconds.
    pub(crate) seconds: f64,
}

/// Decodes the file that came in `field`.
///
/// # Errors
/// 400 when it is no usable audio.
pub(crate) async fn decode(field: &'static str, upload: Upload, rate: u32, longest: f64) -> Result<Samples, ApiError> {
    let limits = Limits { max_seconds: longest, ..Limits::default() };
    let decoded = tokio::task::spawn_blocking(move || audio::decode(upload.data, rate, &limits))
        .await
        .map_err(|cause| ApiError::internal(format!("decoding {field}: {cause}")))?
        .map_err(|error| unusable(field, &error))?;
    if decoded.source.truncated {
        tracing::info!(field, seconds = decoded.source.seconds, "a file is cut short; using what there is");
    }
    Ok(Samples { samples: decoded.samples, seconds: decoded.source.seconds })
}

/// Decodes every reference clip of a request.
///
/// # Errors
/// 400 when one is no usable audio.
pub(crate) async fn references(fields: &Fields, card: &ModelCard, longest: f64) -> Result<Vec<OwnedClip>, ApiError> {
    let sample_rate = card.clip_sample_rate.or(card.output_sample_rate).unwrap_or(CLIP_RATE);
    let mut clips: Vec<OwnedClip> = Vec::new();
    for (field, name) in CLIPS {
        let Some(upload) = fields.file(field)? else { continue };
        if clips.iter().all(|clip| clip.name != name) {
            let Samples { samples, .. } = decode(field, upload, sample_rate, longest).await?;
            clips.push(OwnedClip { name: name.to_owned(), samples, sample_rate });
        }
    }
    Ok(clips)
}

/// 400, or 500 when it isn't the file's fault.
fn unusable(field: &'static str, error: &DecodeError) -> ApiError {
    match error {
        DecodeError::Resample(_) => ApiError::internal(error),
        _ => ApiError::invalid(field, format!("`{field}`: {error}")).with_code("invalid_audio"),
    }
}
