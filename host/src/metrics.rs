//! What is measured, under which name, and the text that Prometheus reads.
//!
//! Measurements go through the `metrics` facade, which has one recorder per process; plugins report through it, too.

use crate::models::Models;
use ::metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

const REQUESTS: &str = "syrinx_http_requests_total";
const DURATION: &str = "syrinx_http_request_duration_seconds";
const IN_FLIGHT: &str = "syrinx_http_requests_in_flight";
const FIRST_BYTE: &str = "syrinx_first_byte_seconds";
const AUDIO_IN: &str = "syrinx_audio_input_seconds_total";
const AUDIO_OUT: &str = "syrinx_audio_output_seconds_total";
const RUNNING: &str = "syrinx_jobs_running";
const WAITING: &str = "syrinx_jobs_waiting";

/// From a health check to an hour of audio. [s]
const DURATIONS: [f64; 13] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0];

/// Sets the process's recorder up, once; later calls give the same handle.
///
/// # Errors
/// When something else in the process has set up a recorder.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();
    static INSTALLING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_at_a_time = INSTALLING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(handle) = INSTALLED.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &DURATIONS)?
        .install_recorder()?;
    describe_counter!(REQUESTS, "Requests answered, by method, route and status");
    describe_histogram!(DURATION, "Seconds from the first byte of a request to the last of its response");
    describe_gauge!(IN_FLIGHT, "Requests being answered");
    describe_histogram!(FIRST_BYTE, "Seconds from a streamed request to the first bytes of its result, by model");
    Ok(INSTALLED.get_or_init(|| handle).clone())
}

/// A request in flight. Dropped when its response has been sent, or nobody waits for it any more.
pub(crate) struct Request {
    begun: Instant,
    method: &'static str,
    route: String,
    /// None until there is a response: a client that left before has the status 499 here.
    status: Option<u16>,
}

impl Request {
    /// A request has come.
    pub(crate) fn begin(method: &'static str, route: String) -> Self {
        gauge!(IN_FLIGHT).increment(1.0);
        Self { begun: Instant::now(), method, route, status: None }
    }

    /// How long ago it came.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// It has got its status.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        const CLIENT_LEFT: u16 = 499;
        gauge!(IN_FLIGHT).decrement(1.0);
        let status = self.status.unwrap_or(CLIENT_LEFT).to_string();
        let route = std::mem::take(&mut self.route);
        counter!(REQUESTS, "method" => self.method, "route" => route.clone(), "status" => status).increment(1);
        histogram!(DURATION, "method" => self.method, "route" => route).record(self.begun.elapsed().as_secs_f64());
    }
}

/// The first bytes of a stream are ready.
pub(crate) fn first_byte(model: &str, after: Duration) {
    histogram!(FIRST_BYTE, "model" => model.to_owned()).record(after.as_secs_f64());
}

/// Audio to transcribe.
pub(crate) fn audio_in(model: &str, seconds: f64) {
    add_seconds(AUDIO_IN, model, seconds);
}

/// Audio spoken.
pub(crate) fn audio_out(model: &str, seconds: f64) {
    add_seconds(AUDIO_OUT, model, seconds);
}

/// Seconds of audio by counter and model. The facade's counters are whole numbers, which would lose the fractions.
static AUDIO: Mutex<BTreeMap<(&'static str, String), f64>> = Mutex::new(BTreeMap::new());

fn add_seconds(name: &'static str, model: &str, seconds: f64) {
    let mut audio = AUDIO.lock().unwrap_or_else(PoisonError::into_inner);
    *audio.entry((name, model.to_owned())).or_default() += seconds.max(0.0);
}

/// Everything, in Prometheus' text format 0.0.4. Queues are read now: a model that is gone leaves nothing behind.
pub(crate) fn render(handle: &PrometheusHandle, models: &Models) -> String {
    handle.run_upkeep();
    let mut text = handle.render();
    let loads: Vec<_> = models
        .live()
        .into_iter()
        .filter_map(|status| Some((models.running(&status.uid).ok()?.load(), label(&status.uid))))
        .collect();
    let audio = AUDIO.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (name, help) in
        [(AUDIO_IN, "Seconds of audio to transcribe, by model"), (AUDIO_OUT, "Seconds of audio spoken, by model")]
    {
        // Writing into a string can't fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} counter\n");
        for ((_, model), seconds) in audio.iter().filter(|((counter, _), _)| *counter == name) {
            let _ = writeln!(text, "{name}{{model=\"{}\"}} {seconds}", label(model));
        }
    }
    for (name, help, value) in [
        (RUNNING, "Jobs that run, by model", (|load| load.running) as fn(crate::models::Load) -> usize),
        (WAITING, "Jobs that wait for a place, by model", |load| load.waiting),
    ] {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (load, model) in &loads {
            let _ = writeln!(text, "{name}{{model=\"{model}\"}} {}", value(*load));
        }
    }
    text
}

/// A label's value, escaped.
fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
