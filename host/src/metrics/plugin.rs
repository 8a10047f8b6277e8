//! Measurements of plugins, which choose names and labels themselves, within bounds.

use super::labels;
use metrics::{Label, counter, gauge, histogram};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};
use syrinx_plugin_api::MetricKind;

/// Series of all plugins together; what comes later is dropped.
const MOST_SERIES: usize = 2000;
/// Labels of one series.
const MOST_LABELS: usize = 8;
/// Longest value of a label.
const LONGEST_VALUE: usize = 100; // characters

static SERIES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A plugin has measured something for the model `uid`; it is shown as `syrinx_plugin_<name>`.
pub(crate) fn reported(kind: MetricKind, name: &str, given: &BTreeMap<String, String>, uid: &str, value: f64) {
    let name = format!("syrinx_plugin_{name}");
    let mut series = name.clone();
    let mut labels = Vec::with_capacity(given.len() + 1);
    for (key, value) in given.iter().take(MOST_LABELS) {
        let value: String = value.chars().take(LONGEST_VALUE).collect();
        series.push_str(&format!(",{key}={value}"));
        labels.push(Label::new(key.clone(), value));
    }
    let model = labels::model(uid);
    series.push_str(&format!(",model={model}"));
    labels.push(Label::new("model", model));
    if !is_welcome(series) {
        return;
    }
    match kind {
        MetricKind::Counter => counter!(name, labels).increment(value.max(0.0) as u64),
        MetricKind::Gauge => gauge!(name, labels).set(value),
        MetricKind::Histogram => histogram!(name, labels).record(value),
    }
}

fn is_welcome(series: String) -> bool {
    let mut known = SERIES.lock().unwrap_or_else(PoisonError::into_inner);
    if known.contains(&series) {
        return true;
    }
    let is_welcome = known.len() < MOST_SERIES;
    if is_welcome {
        known.insert(series);
        if known.len() == MOST_SERIES {
            tracing::warn!("plugins have {MOST_SERIES} series of measurements now; further ones are dropped");
        }
    }
    is_welcome
}
