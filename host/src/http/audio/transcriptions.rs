//! `POST /v1/audio/transcriptions`, and what translations share with it.

use super::{
    clips,
    description::{TranscriptionForm, TranscriptionJson},
    find_model,
    formats::{
        self, TranscriptFormat, Usage,
        diarized_json::{self, DiarizedSegment, DiarizedTranscript},
        json::{Language, Logprob, PlainTranscript, languages, logprobs},
        verbose_json::VerboseTranscript,
    },
    transcript::{Growing, Transcript},
    transcription_request::TranscriptionRequest,
};
use crate::{
    http::{
        body::Fields,
        error::ApiError,
        sse,
        terms::{Terms, TermsHeaders},
    },
    memory::Reservation,
    metrics,
    models::Events,
    server::App,
};
use axum::{extract::State, response::Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use serde::Serialize;
use std::{convert::Infallible, sync::Arc, time::Instant};
use syrinx_plugin_api::{Ability, Task, TranscriptEvent};
use utoipa::ToSchema;

/// Rate in Hz of models that don't say what they want.
const INPUT_RATE: u32 = 16_000;

/// What `application/json` can be.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = TranscriptBody)]
#[expect(dead_code, reason = "for the description of the API")]
pub(crate) enum AnyTranscript<'a> {
    /// json
    Plain(PlainTranscript<'a>),
    /// verbose_json
    Verbose(VerboseTranscript<'a>),
    /// diarized_json
    Diarized(DiarizedTranscript<'a>),
    /// text, srt and vtt for Xinference's client
    Text(String),
}

/// What an event of `text/event-stream` can be.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = TranscriptEvent)]
#[expect(dead_code, reason = "for the description of the API")]
pub(crate) enum AnyEvent<'a> {
    /// Text that is new.
    Delta(TranscriptDelta<'a>),
    /// With diarized_json, a segment that is complete.
    Segment(DiarizedSegment<'a>),
    /// The end.
    Done(TranscriptDone<'a>),
}

/// Writes down what is said
///
/// With cURL: `curl localhost:9997/v1/audio/transcriptions -F model=whisper-base -F file=@speech.mp3 -F response_format=srt`
#[utoipa::path(
    post,
    path = "/v1/audio/transcriptions",
    tag = "audio",
    params(TermsHeaders),
    request_body(
        description = "A form with the audio as a file, or JSON with it as base64 text.",
        content((TranscriptionForm = "multipart/form-data"), (TranscriptionJson = "application/json")),
    ),
    responses((
        status = 200,
        description = "The transcript in the format asked for. With `stream`: server-sent events \
            (`transcript.text.delta`, with diarized_json also `transcript.text.segment`, at the end `transcript.text.done`). \
            When the request has a field `kwargs`, as Xinference's client sends it, text, srt and vtt are one JSON string.",
        content(
            (AnyTranscript<'static> = "application/json"),
            (String = "text/plain"),
            (String = "text/vtt"),
            (AnyEvent<'static> = "text/event-stream"),
        ),
    )),
)]
pub(crate) async fn transcriptions(
    State(app): State<Arc<App>>,
    terms: Terms,
    fields: Fields,
) -> Result<Response, ApiError> {
    transcribe(&app, terms, fields, Task::Transcribe).await
}

/// Request → samples → job → response.
pub(super) async fn transcribe(app: &App, terms: Terms, fields: Fields, task: Task) -> Result<Response, ApiError> {
    let begun = Instant::now();
    let agreed = terms.agree(&fields)?;
    let ability = if task == Task::Translate { Ability::Translate } else { Ability::Transcribe };
    let (running, card) = find_model(app, &fields, ability, agreed.start_by()).await?;
    let request = TranscriptionRequest::parse(fields, task, &running, &card)?;
    let rate = card.input_sample_rate.unwrap_or(INPUT_RATE);
    let longest = app.config.limits.audio_seconds;
    let known_names = request.known_speakers.names.clone();
    let (known_speakers, held) = request.known_speakers.decode(rate, &app.memory).await?;
    let samples = clips::decode("file", request.file, Some(rate), longest, &app.memory).await?;
    let seconds = samples.decoded.source.seconds;
    metrics::audio_in(running.uid(), running.generation(), seconds);
    let events = running.transcribe(request.settings, samples, known_speakers, agreed.ticket(request.stream)).await?;
    let mut growing = Growing::new(task, seconds, request.words, request.logprobs);
    if card.diarizes {
        growing = growing.diarized(known_names, request.format == TranscriptFormat::DiarizedJson);
    }
    if request.stream {
        let diarized = request.format == TranscriptFormat::DiarizedJson;
        let streaming = Streaming { events, growing, sent: 0, diarized, _held: held };
        let first_byte = move || metrics::first_byte(running.uid(), running.generation(), begun.elapsed());
        return Ok(sse::response(stream(streaming, first_byte).await?));
    }
    let transcript = whole(events, growing).await?;
    Ok(formats::render(&transcript, request.format, request.texts_as_json))
}

/// Waits for the end of the job.
async fn whole(mut events: Events<TranscriptEvent>, mut growing: Growing) -> Result<Transcript, ApiError> {
    while let Some(event) = events.next().await {
        growing.push(event?);
    }
    Ok(growing.finish())
}

/// `transcript.text.delta`: text that is new.
#[derive(Serialize, ToSchema)]
pub(crate) struct TranscriptDelta<'a> {
    /// `transcript.text.delta`
    #[schema(example = "transcript.text.delta")]
    r#type: &'static str,
    delta: &'a str,
    /// With diarized_json: the segment that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_id: Option<String>,
    /// When asked for by `include[]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<Logprob<'a>>>,
}

/// `transcript.text.done`: all of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct TranscriptDone<'a> {
    /// `transcript.text.done`
    #[schema(example = "transcript.text.done")]
    r#type: &'static str,
    /// The deltas, one after the other.
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    languages: Option<Vec<Language<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<Logprob<'a>>>,
    usage: Usage,
}

/// A job on its way out as events.
struct Streaming {
    events: Events<TranscriptEvent>,
    growing: Growing,
    /// Log probabilities that have been sent.
    sent: usize,
    /// Whether segments are sent beside the text.
    diarized: bool,
    /// Memory of the recordings that the job has.
    _held: Vec<Reservation>,
}

impl Streaming {
    /// The next delta, and the segment that it completes; none at the end of the job.
    async fn delta(&mut self) -> Result<Option<Bytes>, ApiError> {
        while let Some(event) = self.events.next().await {
            let Some(delta) = self.growing.push(event?) else { continue };
            let so_far = self.growing.so_far();
            let segment = so_far.segments.last().filter(|_| self.diarized);
            let event = TranscriptDelta {
                r#type: "transcript.text.delta",
                delta: &delta,
                segment_id: segment.map(|segment| diarized_json::id(segment.id)),
                logprobs: so_far.logprobs.as_deref().map(|all| logprobs(&all[self.sent..])),
            };
            let mut bytes = BytesMut::from(sse::event(event.r#type, &event));
            if let Some(segment) = segment.and_then(DiarizedSegment::of) {
                bytes.extend_from_slice(&sse::event(segment.kind, &segment));
            }
            self.sent = so_far.logprobs.as_ref().map_or(0, Vec::len);
            return Ok(Some(bytes.freeze()));
        }
        Ok(None)
    }

    /// The last event.
    fn done(self) -> Bytes {
        let transcript = self.growing.finish();
        let done = TranscriptDone {
            r#type: "transcript.text.done",
            text: &transcript.text,
            languages: languages(&transcript),
            logprobs: transcript.logprobs.as_deref().map(logprobs),
            usage: Usage::tokens(&transcript),
        };
        sse::event(done.r#type, &done)
    }
}

/// The events of a job. Waits for the first, so that what fails before it has a status of its own.
async fn stream(
    mut streaming: Streaming,
    on_first: impl FnOnce(),
) -> Result<impl futures_util::Stream<Item = Result<Bytes, Infallible>> + Send + 'static, ApiError> {
    /// What comes next.
    enum Next {
        Ready(Bytes, Streaming),
        Working(Streaming),
        Last(Streaming),
        Over,
    }
    let first = match streaming.delta().await? {
        Some(delta) => Next::Ready(delta, streaming),
        None => Next::Last(streaming),
    };
    on_first();
    Ok(stream::unfold(first, |next| async move {
        let (event, next) = match next {
            Next::Over => return None,
            Next::Ready(event, streaming) => (event, Next::Working(streaming)),
            Next::Last(streaming) => (streaming.done(), Next::Over),
            Next::Working(mut streaming) => match streaming.delta().await {
                Ok(Some(event)) => (event, Next::Working(streaming)),
                Ok(None) => (streaming.done(), Next::Over),
                Err(error) => (sse::error(&error), Next::Over),
            },
        };
        Some((Ok(event), next))
    }))
}
