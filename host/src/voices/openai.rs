//! The names that OpenAI's clients send.

/// Whether a voice is heard as a woman's or a man's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timbre {
    /// `gender` "female" of a card.
    Female,
    /// `gender` "male" of a card.
    Male,
}

use Timbre::{Female, Male};

/// OpenAI's voices, and what they sound like.
pub const OPENAI_VOICES: [(&str, Timbre); 13] = [
    ("alloy", Female),
    ("ash", Male),
    ("ballad", Male),
    ("coral", Female),
    ("echo", Male),
    ("fable", Male),
    ("onyx", Male),
    ("nova", Female),
    ("sage", Female),
    ("shimmer", Female),
    ("verse", Male),
    ("marin", Female),
    ("cedar", Male),
];
