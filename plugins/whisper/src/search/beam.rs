//! Beam search.
//!
//! Source: openai/whisper `whisper/decoding.py: BeamSearchDecoder`. Scores are plain sums of log probabilities during the search;
//! length counts only in the final ranking.

use super::{Hypothesis, Step, log_sum_exp};

/// Beam search with its finished hypotheses.
pub struct BeamSearch {
    beam_size: usize,
    /// The search is over when so many have finished.
    max_candidates: usize,
    eot: u32,
    finished: Vec<Hypothesis>,
}

/// One possible continuation.
struct Candidate {
    source: usize,
    token: u32,
    logprob: f32,
    /// That of the whole hypothesis.
    score: f32,
}

impl BeamSearch {
    /// A search with `beam_size` beams. `patience` times as many hypotheses have to finish before it ends.
    #[must_use]
    pub fn new(beam_size: usize, patience: Option<f64>, eot: u32) -> Self {
        let max_candidates = max_candidates(beam_size, patience);
        Self { beam_size: beam_size.max(1), max_candidates: max_candidates.max(1), eot, finished: Vec::new() }
    }

    pub(super) fn step(&mut self, hypotheses: &mut Vec<Hypothesis>, logits: &[&[f32]]) -> Step {
        let candidates = self.candidates(hypotheses, logits);
        let mut going_on = Vec::with_capacity(self.beam_size);
        let mut sources = Vec::with_capacity(self.beam_size);
        let mut finished_now = Vec::new();
        for candidate in candidates {
            let hypothesis = hypotheses[candidate.source].clone();
            if candidate.token == self.eot {
                finished_now.push(hypothesis.ended(candidate.logprob));
                continue;
            }
            going_on.push(hypothesis.then(candidate.token, candidate.logprob));
            sources.push(candidate.source);
            if going_on.len() == self.beam_size {
                break;
            }
        }
        // Best first, as the candidates were.
        let room = self.max_candidates.saturating_sub(self.finished.len());
        self.finished.extend(finished_now.into_iter().take(room));
        *hypotheses = going_on;
        Step { done: self.finished.len() >= self.max_candidates || sources.is_empty(), sources }
    }

    /// The best `beam_size + 1` continuations of every hypothesis, best first. Equal sequences count once: they happen when all
    /// beams start alike, and then the last beam is the source.
    fn candidates(&self, hypotheses: &[Hypothesis], logits: &[&[f32]]) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::with_capacity(hypotheses.len() * (self.beam_size + 1));
        for (source, (hypothesis, row)) in hypotheses.iter().zip(logits).enumerate() {
            let norm = log_sum_exp(row);
            if !norm.is_finite() {
                continue; // nothing is allowed after this one
            }
            for (token, logit) in top(row, self.beam_size + 1) {
                let logprob = logit - norm;
                let found = Candidate { source, token, logprob, score: hypothesis.score + logprob };
                let same = candidates
                    .iter_mut()
                    .find(|known| known.token == token && hypotheses[known.source].tokens == hypothesis.tokens);
                match same {
                    Some(known) => *known = found,
                    None => candidates.push(found),
                }
            }
        }
        candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
        candidates
    }

    /// The finished hypotheses, filled up to the beam size with the best of the unfinished.
    pub(super) fn finish(mut self, mut hypotheses: Vec<Hypothesis>) -> Vec<Hypothesis> {
        hypotheses.sort_by(|a, b| b.score.total_cmp(&a.score));
        let room = self.beam_size.saturating_sub(self.finished.len());
        self.finished.extend(hypotheses.into_iter().take(room));
        self.finished
    }
}

/// Number of hypotheses that have to finish: `beam_size * patience`, rounded half to even like Python's `round`.
pub(crate) fn max_candidates(beam_size: usize, patience: Option<f64>) -> usize {
    (beam_size as f64 * patience.unwrap_or(1.0)).round_ties_even() as usize
}

/// The `count` largest logits that are not -inf, largest first.
fn top(row: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    let mut threshold = f32::NEG_INFINITY;
    for (token, logit) in (0_u32..).zip(row) {
        if *logit > threshold {
            let place = best.partition_point(|(_, known)| known >= logit);
            best.insert(place, (token, *logit));
            if best.len() > count {
                best.pop();
            }
            if best.len() == count {
                threshold = best[count - 1].1;
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_is_sorted_and_leaves_out_what_is_forbidden() {
        let row = [1.0, f32::NEG_INFINITY, 3.0, f32::NAN, 2.0, 3.0];
        assert_eq!(top(&row, 3), [(2, 3.0), (5, 3.0), (4, 2.0)]);
        assert_eq!(top(&row, 9).len(), 4);
    }

    #[test]
    fn a_search_without_any_way_on_ends() {
        let mut search = BeamSearch::new(2, None, 0);
        let mut hypotheses = vec![Hypothesis { tokens: vec![5], logprobs: vec![-1.0], score: -1.0 }];
        let step = search.step(&mut hypotheses, &[&[f32::NEG_INFINITY; 3]]);
        assert!(step.done);
        assert!(search.finish(hypotheses).is_empty());
    }

    #[test]
    fn patience_is_rounded_to_even() {
        assert_eq!(max_candidates(5, Some(0.5)), 2);
        assert_eq!(max_candidates(3, Some(0.5)), 2);
        assert_eq!(max_candidates(2, Some(0.1)), 0);
    }
}
