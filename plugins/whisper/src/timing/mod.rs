//! When each word was said, from the decoder's cross attention.
//!
//! Source: openai/whisper `whisper/timing.py`.

mod align;
mod dtw;
mod hallucination;
mod median;
mod words;

pub use align::{Alignment, Attention, align};
pub use dtw::dtw;
pub(crate) use hallucination::{Hallucinations, Verdict};
pub use median::median_filter;
pub use words::{Punctuation, WordTiming, add_word_times, merge_punctuations};

/// A word in a finished segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// The text, with the space before it.
    pub word: String,
    /// Seconds from the start of the file.
    pub start: f64,
    /// Seconds from the start of the file.
    pub end: f64,
    /// Mean probability of its tokens.
    pub probability: f64,
}

/// Rounds to hundredths of a second, half to even.
pub(crate) fn round_to_hundredths(seconds: f64) -> f64 {
    (seconds * 100.0).round_ties_even() / 100.0
}
