//! `POST /v1/audio/speech`.

use super::{
    clips::{self, PROMPT_SPEECH, clip_rate},
    description::{AudioFile, SpeechRequestBody},
    find_model, saved_voices,
    speaking::Speaking,
    speech_request::{Delivery, SpeechRequest},
};
use crate::{
    audio::encode::encoder,
    http::{
        body::Fields,
        error::ApiError,
        sse,
        terms::{Terms, TermsHeaders},
    },
    metrics,
    server::App,
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::Serialize;
use std::{convert::Infallible, io, sync::Arc, time::Instant};
use syrinx_plugin_api::Ability;
use utoipa::ToSchema;

/// Tells the rate; for pcm nothing else does.
const X_SAMPLE_RATE: HeaderName = HeaderName::from_static("x-sample-rate");

/// Rate in Hz of models that don't say theirs.
const OUTPUT_RATE: u32 = 24_000;

/// What an event of `text/event-stream` can be.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = SpeechEvent)]
#[expect(dead_code, reason = "for the description of the API")]
pub(crate) enum AnyEvent {
    /// The next bytes of the file.
    Delta(SpeechDelta),
    /// The end.
    Done(SpeechDone),
}

/// Speaks a text
///
/// With cURL: `curl localhost:9997/v1/audio/speech --json '{"model": "Kokoro-82M", "input": "Hello there.", "voice":
/// "alloy"}' -o hello.mp3`
#[utoipa::path(
    post,
    path = "/v1/audio/speech",
    tag = "audio",
    params(TermsHeaders),
    request_body(
        description = "JSON with recordings as base64 text, or a form with recordings as files.",
        content((SpeechRequestBody = "application/json"), (SpeechRequestBody = "multipart/form-data")),
    ),
    responses((
        status = 200,
        description = "One audio file in the format asked for: whole, or with `stream` as it is made, or with \
            `stream_format` sse as server-sent events.",
        headers(("x-sample-rate" = u32, description = "Rate of the file in Hz.")),
        content(
            (AudioFile = "audio/mpeg"),
            (AudioFile = "audio/wav"),
            (AudioFile = "audio/ogg"),
            (AudioFile = "audio/aac"),
            (AudioFile = "audio/flac"),
            (AudioFile = "audio/mp4"),
            (AudioFile = "audio/pcm"),
            (AnyEvent = "text/event-stream"),
        ),
    )),
)]
pub(crate) async fn speech(State(app): State<Arc<App>>, terms: Terms, fields: Fields) -> Result<Response, ApiError> {
    let begun = Instant::now();
    let agreed = terms.agree(&fields)?;
    let (running, card) = find_model(&app, &fields, Ability::Speak, agreed.start_by()).await?;
    let request = SpeechRequest::parse(fields, &running, &card, &app.config.limits, &app.voices)?;
    let mut clips = clips::references(&request.fields, &card, &app.memory).await?;
    // What the clips came in isn't needed any more.
    drop(request.fields);
    if let Some(voice) = request.saved_voice {
        clips.add(PROMPT_SPEECH, saved_voices::sample(&app, voice, clip_rate(&card)).await?);
    }
    let rate = card.output_sample_rate.unwrap_or(OUTPUT_RATE);
    let encoder = encoder(request.format, rate, &request.encoding).map_err(ApiError::internal)?;
    let headers =
        [(header::CONTENT_TYPE, encoder.content_type().to_owned()), (X_SAMPLE_RATE, encoder.sample_rate().to_string())];
    let characters = request.settings.text.chars().count();
    let samples_per_second = f64::from(rate) * f64::from(request.encoding.speed.unwrap_or(1.0));
    let ticket = agreed.ticket(request.delivery != Delivery::Whole);
    let events = running.synthesize(request.settings, clips.clips, ticket).await?;
    let mut speaking = Speaking::new(&running, events, encoder, samples_per_second, clips.held);
    if request.delivery == Delivery::Whole {
        return Ok((headers, speaking.whole().await?).into_response());
    }
    // What fails before the first byte has a status of its own.
    let first = speaking.bytes().await?;
    metrics::first_byte(running.uid(), running.generation(), begun.elapsed());
    if request.delivery == Delivery::Chunks {
        return Ok((headers, Body::from_stream(chunks(first, speaking))).into_response());
    }
    let [_, rate] = headers;
    Ok(([rate], sse::response(events_of(first, speaking, characters))).into_response())
}

/// The file's bytes. An error ends the connection without the final chunk, which clients notice.
fn chunks(first: Option<Bytes>, speaking: Speaking) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((first, speaking), |(first, mut speaking)| async move {
        let bytes = match first {
            Some(bytes) => Some(bytes),
            None => speaking.bytes().await.map_err(|error| {
                tracing::warn!(%error, "speech failed after its first byte; closing the connection");
                io::Error::other(error.to_string())
            })?,
        };
        Ok(bytes.map(|bytes| (bytes, (None, speaking))))
    })
}

/// `speech.audio.delta`: the next bytes of the file.
#[derive(Serialize, ToSchema)]
pub(crate) struct SpeechDelta {
    /// `speech.audio.delta`
    #[schema(example = "speech.audio.delta")]
    r#type: &'static str,
    /// Base64.
    audio: String,
}

/// `speech.audio.done`: the end.
#[derive(Serialize, ToSchema)]
pub(crate) struct SpeechDone {
    /// `speech.audio.done`
    #[schema(example = "speech.audio.done")]
    r#type: &'static str,
    usage: SpeechUsage,
}

/// Models here have no tokens in common; these are estimates for clients that want numbers.
#[derive(Serialize, ToSchema)]
pub(crate) struct SpeechUsage {
    input_tokens: u64,
    output_tokens: u64,
    total_tokens: u64,
}

impl SpeechUsage {
    fn estimate(characters: usize, seconds: f64) -> Self {
        const CHARACTERS_PER_TOKEN: usize = 4; // of English text in OpenAI's tokenizers, roughly
        const TOKENS_PER_SECOND: f64 = 20.0; // ours
        let input_tokens = characters.div_ceil(CHARACTERS_PER_TOKEN) as u64;
        let output_tokens = (seconds * TOKENS_PER_SECOND).ceil() as u64;
        Self { input_tokens, output_tokens, total_tokens: input_tokens + output_tokens }
    }
}

/// The file's bytes as server-sent events.
fn events_of(
    first: Option<Bytes>,
    speaking: Speaking,
    characters: usize,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    stream::unfold(Some((first, speaking)), move |state| async move {
        let (first, mut speaking) = state?;
        let next = match first {
            Some(bytes) => Ok(Some(bytes)),
            None => speaking.bytes().await,
        };
        let (event, state) = match next {
            Ok(Some(bytes)) => {
                let delta = SpeechDelta { r#type: "speech.audio.delta", audio: STANDARD.encode(&bytes) };
                (sse::event(delta.r#type, &delta), Some((None, speaking)))
            }
            Ok(None) => {
                let done = SpeechDone {
                    r#type: "speech.audio.done",
                    usage: SpeechUsage::estimate(characters, speaking.seconds()),
                };
                (sse::event(done.r#type, &done), None)
            }
            Err(error) => (sse::error(&error), None),
        };
        Some((Ok(event), state))
    })
}
