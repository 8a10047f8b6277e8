//! Printing for a person, or for the next program of a pipe.

use std::{
    fmt::Display,
    io::{self, Write as _},
    process,
};

/// Prints a line. Ends the program quietly when nobody reads any more, as in `syrinx list | head -1`.
pub(super) fn line(text: impl Display) {
    let mut out = io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        process::exit(1);
    }
}
