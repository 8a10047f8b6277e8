//! A short campaign of faults; `cargo xtask soak` is the long one.
#![cfg(target_os = "linux")] // looks into /proc
#![allow(clippy::print_stdout)] // figures, shown with --nocapture

use std::time::Duration;
use syrinx_tests::{
    soak::{self, Plan, Verdict},
    workspace,
};

#[test]
fn nothing_is_lost_when_everything_goes_wrong() {
    let report = soak::run(&Plan { length: Duration::from_secs(40), seed: 7, clients: 6 });
    println!("{report}");
    for reason in report.json()["skipped"].as_array().into_iter().flatten() {
        workspace::skipped("a fault of the campaign", reason.as_str().unwrap_or_default());
    }
    assert_eq!(report.offences(), [""; 0], "{report}");
    assert!(report.count(Verdict::Right) > 20, "{report}");
    assert!(report.count(Verdict::Client) > 0, "{report}");
    let json = report.json();
    let is_skipped =
        json["skipped"].as_array().into_iter().flatten().any(|reason| reason.to_string().contains("clock"));
    let turns = json["faults"].as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("clock turned"));
    assert!(is_skipped || turns.count() > 0, "{report}");
}
