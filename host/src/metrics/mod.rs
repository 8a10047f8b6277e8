//! What is measured, under which name, and the text that Prometheus reads.
//!
//! Measurements go through the `metrics` facade, which has one recorder per process; plugins report through it, too. What can
//! be read at any time (queues, memory) is read when somebody asks. Names and buckets are all in this folder:
//! [`request`] for HTTP, [`job`] for models, [`process`] for the server and the models' own processes.

mod job;
mod labels;
mod plugin;
mod process;
mod request;
mod text;

pub(crate) use job::{Job, Outcome, Refusal, Task, audio_in, audio_out, first_byte, refused, waited};
pub(crate) use plugin::reported;
pub(crate) use request::Request;

use crate::server::App;
use ::metrics::{counter, describe_counter};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::{Mutex, OnceLock, PoisonError};
use text::Families;

const WORKER_ENDS: &str = "syrinx_worker_ends_total";
const CATALOGUE_READS: &str = "syrinx_catalogue_reads_total";

/// Buckets of what isn't named below: from a health check to an hour of audio. [s]
const DURATIONS: [f64; 13] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0];

/// Sets the process's recorder up, once; later calls give the same handle.
///
/// # Errors
/// When something else in the process has set up a recorder.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = INSTALLED.get() {
        return Ok(handle.clone());
    }
    let mut builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &DURATIONS)?;
    for (name, buckets) in job::BUCKETS {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)?;
    }
    let handle = builder.install_recorder()?;
    request::describe();
    job::describe();
    describe_counter!(WORKER_ENDS, "Ends of models' own processes that nobody asked for, by model");
    describe_counter!(CATALOGUE_READS, "Changes of catalogue files, by what became of them: applied or refused");
    Ok(INSTALLED.get_or_init(|| handle).clone())
}

/// The process of a model has ended without being told to.
pub(crate) fn worker_ended(uid: &str) {
    counter!(WORKER_ENDS, "model" => labels::model(uid)).increment(1);
}

/// A catalogue file has changed, for better or worse.
pub(crate) fn catalogue_read(is_applied: bool) {
    counter!(CATALOGUE_READS, "outcome" => if is_applied { "applied" } else { "refused" }).increment(1);
}

/// Everything, in Prometheus' text format 0.0.4. What is read now leaves nothing behind when its model is gone.
pub(crate) fn render(app: &App) -> String {
    app.metrics.run_upkeep();
    let mut families = Families::after(app.metrics.render());
    let statuses = app.models.statuses();
    job::render(&mut families, app, &statuses);
    process::render(&mut families, app, &statuses);
    families.text()
}
