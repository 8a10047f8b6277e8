//! Jobs of models: how long they wait and run, how much sound goes in and comes out, and how that compares with its length.

use super::{labels, text::Families};
use crate::{
    models::{ModelStatus, State},
    server::App,
};
use metrics::{counter, describe_counter, describe_histogram, histogram};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const JOBS: &str = "syrinx_jobs_total";
const REFUSED: &str = "syrinx_jobs_refused_total";
const WAIT: &str = "syrinx_job_wait_seconds";
const DURATION: &str = "syrinx_job_duration_seconds";
const FACTOR: &str = "syrinx_job_real_time_factor";
const FIRST_BYTE: &str = "syrinx_first_byte_seconds";
const AUDIO_IN: &str = "syrinx_audio_input_seconds_total";
const AUDIO_OUT: &str = "syrinx_audio_output_seconds_total";

/// Buckets that differ from the usual ones.
pub(super) const BUCKETS: &[(&str, &[f64])] = &[
    // A free place is taken within microseconds.
    (WAIT, &[0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0]), // s
    // What people wait for.
    (FIRST_BYTE, &[0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0]), // s
    // 1 is as long as the sound itself.
    (FACTOR, &[0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0]), // s per s
];

pub(super) fn describe() {
    describe_counter!(JOBS, "Jobs that have run, by model, generation of its plugin, task and outcome");
    describe_counter!(REFUSED, "Jobs that were sent away, by model and reason");
    describe_histogram!(WAIT, "Seconds that a job waits for a place, by model");
    describe_histogram!(DURATION, "Seconds that a job runs, by model, generation and task");
    describe_histogram!(FACTOR, "Seconds that a finished job took per second of sound, by model, generation and task");
    describe_histogram!(
        FIRST_BYTE,
        "Seconds from a streamed request to the first bytes of its result, by model and generation"
    );
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Speech to text.
    Transcribe,
    /// Text to speech.
    Speak,
}

impl Task {
    /// Its name in labels and spans.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Transcribe => "transcribe",
            Self::Speak => "speak",
        }
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It came to its end.
    Done,
    /// Nobody wanted the rest, or its time was over.
    Stopped,
    /// The plugin failed.
    Failed,
}

/// A job that runs.
pub(crate) struct Job {
    model: String,
    generation: String,
    task: Task,
    begun: Instant,
}

impl Job {
    /// A job has got its place.
    pub(crate) fn begin(uid: &str, generation: u64, task: Task) -> Self {
        let (model, generation) = labels::model_and_generation(uid, generation);
        Self { model, generation, task, begun: Instant::now() }
    }

    /// It is over; `audio` are the seconds of sound that it read or made.
    pub(crate) fn end(self, outcome: Outcome, audio: f64) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let Self { model, generation, task, .. } = self;
        let task = task.name();
        let named = match outcome {
            Outcome::Done => "done",
            Outcome::Stopped => "stopped",
            Outcome::Failed => "failed",
        };
        counter!(JOBS, "model" => model.clone(), "generation" => generation.clone(), "task" => task, "outcome" => named)
            .increment(1);
        histogram!(DURATION, "model" => model.clone(), "generation" => generation.clone(), "task" => task)
            .record(seconds);
        if outcome == Outcome::Done && audio > 0.0 {
            histogram!(FACTOR, "model" => model, "generation" => generation, "task" => task).record(seconds / audio);
        }
    }
}

/// A job has waited for its place.
pub(crate) fn waited(uid: &str, time: Duration) {
    histogram!(WAIT, "model" => labels::model(uid)).record(time.as_secs_f64());
}

/// Why a job was sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many wait.
    QueueFull,
    /// More than the launch allows.
    RequestLimit,
    /// It would wait longer than it has.
    Overloaded,
    /// It has waited for as long as it had.
    Expired,
    /// The model is being terminated.
    Closed,
}

/// A job was sent away.
pub(crate) fn refused(uid: &str, why: Refusal) {
    let reason = match why {
        Refusal::QueueFull => "queue_full",
        Refusal::RequestLimit => "request_limit",
        Refusal::Overloaded => "overloaded",
        Refusal::Expired => "expired",
        Refusal::Closed => "closed",
    };
    counter!(REFUSED, "model" => labels::model(uid), "reason" => reason).increment(1);
}

/// The first bytes of a stream are ready.
pub(crate) fn first_byte(uid: &str, generation: u64, after: Duration) {
    let (model, generation) = labels::model_and_generation(uid, generation);
    histogram!(FIRST_BYTE, "model" => model, "generation" => generation).record(after.as_secs_f64());
}

/// Audio to transcribe.
pub(crate) fn audio_in(uid: &str, generation: u64, seconds: f64) {
    add_seconds(AUDIO_IN, uid, generation, seconds);
}

/// Audio spoken, as it is sent.
pub(crate) fn audio_out(uid: &str, generation: u64, seconds: f64) {
    add_seconds(AUDIO_OUT, uid, generation, seconds);
}

/// Seconds of audio by counter, model and generation. The facade's counters are whole numbers, which would lose the
/// fractions.
static AUDIO: Mutex<BTreeMap<(&'static str, String, String), f64>> = Mutex::new(BTreeMap::new());

fn add_seconds(name: &'static str, uid: &str, generation: u64, seconds: f64) {
    let (model, generation) = labels::model_and_generation(uid, generation);
    let mut audio = AUDIO.lock().unwrap_or_else(PoisonError::into_inner);
    *audio.entry((name, model, generation)).or_default() += seconds.max(0.0);
}

/// Adds what is read now.
pub(super) fn render(families: &mut Families, app: &App, statuses: &[ModelStatus]) {
    let audio = AUDIO.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (name, help) in [
        (AUDIO_IN, "Seconds of audio to transcribe, by model and generation"),
        (AUDIO_OUT, "Seconds of audio spoken, by model and generation"),
    ] {
        let of_name = audio.iter().filter(|((counter, ..), _)| *counter == name);
        let samples = of_name.map(|((_, model, generation), seconds)| {
            (vec![("model", model.clone()), ("generation", generation.clone())], *seconds)
        });
        families.add(name, help, "counter", samples);
    }
    let loads: Vec<_> = statuses
        .iter()
        .filter_map(|status| Some((status.uid.clone(), app.models.running(&status.uid).ok()?.load())))
        .collect();
    for (name, help, value) in [
        ("syrinx_jobs_running", "Jobs that run, by model", (|load| load.running) as fn(crate::models::Load) -> usize),
        ("syrinx_jobs_waiting", "Jobs that wait for a place, by model", |load| load.waiting),
    ] {
        let samples = loads.iter().map(|(uid, load)| (vec![("model", uid.clone())], value(*load) as f64));
        families.add(name, help, "gauge", samples);
    }
    let states = statuses.iter().fold(BTreeMap::new(), |mut counts, status| {
        *counts.entry(status.state.name()).or_insert(0.0) += 1.0;
        counts
    });
    let states = states.into_iter().map(|(state, count)| (vec![("state", state.to_owned())], count));
    families.add("syrinx_models", "Launches, by state", "gauge", states);
    let ready = statuses.iter().filter(|status| matches!(status.state, State::Ready(_)));
    let info = ready.map(|status| {
        let of_card = |field: fn(&syrinx_plugin_api::ModelCard) -> &String| {
            status.card.as_deref().map(field).cloned().unwrap_or_default()
        };
        let labels = vec![
            ("model", status.uid.clone()),
            ("name", status.entry.name.clone()),
            ("plugin", status.entry.plugin.clone()),
            ("generation", status.generation.map(|number| number.to_string()).unwrap_or_default()),
            ("device", of_card(|card| &card.device)),
            ("dtype", of_card(|card| &card.dtype)),
        ];
        (labels, 1.0)
    });
    families.add("syrinx_model_info", "What a model is; always 1", "gauge", info);
}
