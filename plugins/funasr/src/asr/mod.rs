//! Recognition of one stretch of speech: features to text, units and times.

pub mod batch;
pub mod cif;
pub mod ctc;
pub mod hotwords;
pub mod paraformer;
pub mod sensevoice;
pub mod timestamps;

use crate::text::sentence::Span;

/// What was said in one stretch of speech.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Utterance {
    /// The text, tags included; with times of Paraformer its units are separated by spaces.
    pub text: String,
    /// Units of the text that times belong to.
    pub units: Vec<String>,
    /// When they are said, ms from the start of the stretch.
    pub spans: Option<Vec<Span>>,
}

/// Runs that can fail because nothing was heard have a message of their own; failures to get memory are always errors.
fn is_out_of_memory(message: &str) -> bool {
    message.contains("allocate") || message.contains("bad_alloc")
}
