//! `POST /v1/audio/transcriptions`, and what translations share with it.

use super::{
    clips::{self, Samples},
    find_model,
    formats::{self, Usage},
    transcript::{Growing, Transcript},
    transcription_request::TranscriptionRequest,
};
use crate::{
    http::{body::Fields, error::ApiError, sse},
    metrics,
    models::Events,
    server::App,
};
use axum::{extract::State, response::Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use std::{convert::Infallible, sync::Arc, time::Instant};
use syrinx_plugin_api::{Ability, Task, TokenLogprob, TranscriptEvent};

/// Rate in Hz of models that don't say what they want.
const INPUT_RATE: u32 = 16_000;

pub(crate) async fn transcriptions(State(app): State<Arc<App>>, fields: Fields) -> Result<Response, ApiError> {
    transcribe(&app, fields, Task::Transcribe).await
}

/// Request → samples → job → response.
pub(super) async fn transcribe(app: &App, fields: Fields, task: Task) -> Result<Response, ApiError> {
    let begun = Instant::now();
    let ability = if task == Task::Translate { Ability::Translate } else { Ability::Transcribe };
    let (running, card) = find_model(app, &fields, ability)?;
    let request = TranscriptionRequest::parse(fields, task, &running, &card)?;
    let rate = card.input_sample_rate.unwrap_or(INPUT_RATE);
    let Samples { samples, seconds } =
        clips::decode("file", request.file, rate, app.config.limits.audio_seconds).await?;
    metrics::audio_in(running.uid(), seconds);
    let events = running.transcribe(request.settings, samples).await?;
    let growing = Growing::new(task, seconds, request.words, request.logprobs);
    if request.stream {
        let uid = running.uid().to_owned();
        return Ok(sse::response(stream(events, growing, move || metrics::first_byte(&uid, begun.elapsed())).await?));
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

/// `transcript.text.delta`
#[derive(Serialize)]
struct Delta<'a> {
    r#type: &'static str,
    delta: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<&'a [TokenLogprob]>,
}

/// `transcript.text.done`
#[derive(Serialize)]
struct Done<'a> {
    r#type: &'static str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<&'a [TokenLogprob]>,
    usage: Usage,
}

/// A job on its way out as events.
struct Streaming {
    events: Events<TranscriptEvent>,
    growing: Growing,
    /// Log probabilities that have been sent.
    sent: usize,
}

impl Streaming {
    /// The next delta; none at the end of the job.
    async fn delta(&mut self) -> Result<Option<Bytes>, ApiError> {
        while let Some(event) = self.events.next().await {
            let Some(delta) = self.growing.push(event?) else { continue };
            let logprobs = self.growing.so_far().logprobs.as_deref();
            let fresh = logprobs.map(|all| &all[self.sent..]);
            let event = sse::event(
                "transcript.text.delta",
                &Delta { r#type: "transcript.text.delta", delta: &delta, logprobs: fresh },
            );
            self.sent = logprobs.map_or(0, <[_]>::len);
            return Ok(Some(event));
        }
        Ok(None)
    }

    /// The last event.
    fn done(self) -> Bytes {
        let transcript = self.growing.finish();
        let logprobs = transcript.logprobs.as_deref();
        let usage = Usage::tokens(&transcript);
        sse::event(
            "transcript.text.done",
            &Done { r#type: "transcript.text.done", text: &transcript.text, logprobs, usage },
        )
    }
}

/// The events of a job. Waits for the first, so that what fails before it has a status of its own.
async fn stream(
    events: Events<TranscriptEvent>,
    growing: Growing,
    on_first: impl FnOnce(),
) -> Result<impl futures_util::Stream<Item = Result<Bytes, Infallible>> + Send + 'static, ApiError> {
    /// What comes next.
    enum Next {
        Ready(Bytes, Streaming),
        Working(Streaming),
        Last(Streaming),
        Over,
    }
    let mut streaming = Streaming { events, growing, sent: 0 };
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
