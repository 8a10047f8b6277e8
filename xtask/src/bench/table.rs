//! What cases are compared by, and the table of it.

use serde_json::{Value, json};

use super::{Best, Case};

/// A measurement that cases are compared by. Lower is better for all.
struct Metric {
    name: &'static str,
    /// What the table calls it.
    heading: &'static str,
}

const fn metric(name: &'static str, heading: &'static str) -> Metric {
    Metric { name, heading }
}

/// Metrics in the order to show them. Recordings are as long for both sides and compared by seconds of whole runs, speech per second of sound.
const METRICS: [Metric; 8] = [
    metric("wall_s", "wall, s"),
    metric("cpu_s", "processor, s"),
    metric("rtf", "wall per s"),
    metric("cpu_s_per_audio_s", "processor per s"),
    metric("first_audio_s", "first sound, s"),
    metric("load_s", "load, s"),
    metric("cold_start_s", "cold start, s"),
    metric("peak_rss_mb", "peak memory, MiB"),
];

/// The measurements of a case, ours next to theirs.
pub(super) fn compare(case: &Case, (ours, peer): &(Best, Best)) -> Vec<Value> {
    let row = |metric: &Metric| {
        let (ours, peer) = (ours.get(metric.name)?, peer.get(metric.name)?);
        Some(json!({
            "family": case.family, "case": case.name, "metric": metric.name, "ours": ours, "peer": peer,
            "peer_name": case.peer_name, "ratio": ours / peer,
        }))
    };
    METRICS.iter().filter_map(row).collect()
}

/// Prints a table of Markdown per peer: a row per case, ours / theirs = ratio.
pub(super) fn table(list: &[Value]) {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    for rows in list.chunk_by(|a, b| a["peer_name"] == b["peer_name"]) {
        let is_measured = |metric: &&Metric| rows.iter().any(|row| row["metric"] == metric.name);
        let metrics: Vec<&Metric> = METRICS.iter().filter(is_measured).collect();
        let headings: Vec<&str> = metrics.iter().map(|metric| metric.heading).collect();
        println!("\n{}, ours / {}\n", text(&rows[0], "family"), text(&rows[0], "peer_name"));
        println!("| case | {} |\n|---|{}", headings.join(" | "), "---|".repeat(metrics.len()));
        for case in rows.chunk_by(|a, b| a["case"] == b["case"]) {
            let cell = |metric: &&Metric| match case.iter().find(|row| row["metric"] == metric.name) {
                Some(row) => {
                    let number = |name: &str| row[name].as_f64().unwrap_or(f64::NAN);
                    let digits = match number("peer") {
                        ..1.0 => 3,
                        ..100.0 => 2,
                        _ => 0,
                    };
                    format!("{:.digits$} / {:.digits$} = {:.2}", number("ours"), number("peer"), number("ratio"))
                }
                None => "–".to_owned(),
            };
            let cells: Vec<String> = metrics.iter().map(cell).collect();
            println!("| {} | {} |", text(&case[0], "case"), cells.join(" | "));
        }
    }
}
