//! Generation of tokens: how one is chosen, and when a row ends. Nothing here touches a tensor.

mod chance;
mod row;
mod sampling;

pub use chance::{Chance, Recorded, Seeded};
pub use row::{Choice, Ending, Row, Rules};
pub use sampling::{Candidate, Filters, History, candidates};

/// Codebooks of a step.
pub const CODEBOOKS: usize = 4;

/// What a row consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Codes of sound: a token of each codebook per step.
    Code,
    /// Refined text: one token per step.
    Text,
}

impl Kind {
    /// Tokens of a step.
    #[must_use]
    pub fn tokens(self) -> usize {
        match self {
            Self::Code => CODEBOOKS,
            Self::Text => 1,
        }
    }
}
