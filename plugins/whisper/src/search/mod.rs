//! Choosing tokens: beam search, greedy choice and sampling, and the ranking of what they found.
//!
//! The strategies know nothing of the model: they are given filtered logits and say which hypotheses go on.

mod beam;
mod rank;
mod sample;
mod uniform;

pub use beam::BeamSearch;
pub(crate) use beam::max_candidates;
pub use rank::best;
pub use sample::Sampler;
pub use uniform::{Recorded, SplitMix, Uniform};

use crate::kernels;

/// A token sequence on its way, without the prompt.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hypothesis {
    /// What was sampled so far; never holds the end of text.
    pub tokens: Vec<u32>,
    /// Log probability of each of them among all that the filters allowed, at temperature 1.
    pub logprobs: Vec<f32>,
    /// Sum of log probabilities, the end of text included.
    pub score: f32,
}

impl Hypothesis {
    /// The same with one more token.
    fn then(mut self, token: u32, logprob: f32) -> Self {
        self.tokens.push(token);
        self.logprobs.push(logprob);
        self.score += logprob;
        self
    }

    /// The same with the end of text.
    fn ended(mut self, logprob: f32) -> Self {
        self.score += logprob;
        self
    }
}

/// What a strategy decided in one step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Step {
    /// For each hypothesis that goes on, its parent's place among those of the step before.
    pub sources: Vec<usize>,
    /// Nothing is left to do.
    pub done: bool,
}

/// A search strategy with its state.
pub enum Search {
    /// Several hypotheses at once, best scores survive.
    Beam(BeamSearch),
    /// Independent sequences: one greedy, or several sampled.
    Sample(Sampler),
}

impl Search {
    /// Extends the hypotheses by one token each. `logits` holds a row `[vocabulary]` for each hypothesis; the hypotheses become
    /// those that go on, in the order of [`Step::sources`].
    pub fn step(&mut self, hypotheses: &mut Vec<Hypothesis>, logits: &[&[f32]], uniform: &mut dyn Uniform) -> Step {
        match self {
            Self::Beam(search) => search.step(hypotheses, logits),
            Self::Sample(sampler) => sampler.step(hypotheses, logits, uniform),
        }
    }

    /// Closes what is unfinished and returns all candidates.
    #[must_use]
    pub fn finish(self, hypotheses: Vec<Hypothesis>) -> Vec<Hypothesis> {
        match self {
            Self::Beam(search) => search.finish(hypotheses),
            Self::Sample(sampler) => sampler.finish(hypotheses),
        }
    }
}

/// `log(sum(exp(values)))`; -inf if there is nothing to sum.
#[must_use]
pub fn log_sum_exp(values: &[f32]) -> f32 {
    let max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !max.is_finite() {
        return max;
    }
    max + kernels::sum_of_exp(values, max).ln() as f32
}

/// Place of the largest value (the first of equals); `None` if all are -inf or NaN.
#[must_use]
pub fn arg_max(values: &[f32]) -> Option<usize> {
    let mut best = f32::NEG_INFINITY;
    let mut place = None;
    for (i, value) in values.iter().enumerate() {
        if *value > best {
            best = *value;
            place = Some(i);
        }
    }
    place
}
