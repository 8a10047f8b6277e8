//! Printing for a person, or for the next program of a pipe.

use super::Failure;
use std::{
    fmt::Display,
    io::{self, BufRead as _, Write as _},
    process,
};

/// Prints a line. Ends the program quietly when nobody reads any more, as in `syrinx list | head -1`.
pub(super) fn line(text: impl Display) {
    let mut out = io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        process::exit(1);
    }
}

/// What a person answers to a question.
pub(super) fn agreed(question: &str) -> Result<bool, Failure> {
    let failed = |error: io::Error| Failure::new(error.to_string());
    eprint!("{question}");
    io::stderr().flush().map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}
