//! `cargo xtask soak`: a campaign of faults, and its report. The last line tells how to do it again.
#![allow(clippy::print_stdout)] // its report

use std::{env, process::ExitCode, time::Duration};

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use syrinx_tests::soak::{self, Plan};
    let number = |name: &str, default: u64| match env::args().skip_while(|word| word != name).nth(1) {
        Some(text) => text.parse().unwrap_or_else(|_| panic!("{name} {text}: a whole number is wanted")),
        None => default,
    };
    let seconds = number("--seconds", 600);
    let plan = Plan {
        length: Duration::from_secs(seconds),
        seed: number("--seed", 1),
        clients: number("--clients", 8) as usize,
    };
    let report = soak::run(&plan);
    if env::args().any(|word| word == "--json") {
        println!("{:#}", report.json());
    } else {
        println!("{report}again: cargo xtask soak --seconds {seconds} --seed {}", plan.seed);
    }
    if report.offences().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("the campaign looks into /proc and mounts a disk; it needs Linux");
    ExitCode::FAILURE
}
