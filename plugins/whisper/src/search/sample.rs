//! Independent sequences: the likeliest token each time, or tokens drawn by chance.
//!
//! Source: openai/whisper `whisper/decoding.py: GreedyDecoder`.

use super::{Hypothesis, Step, Uniform, arg_max, log_sum_exp};

/// Greedy choice (temperature 0) or sampling of `group` sequences.
pub struct Sampler {
    temperature: f64,
    eot: u32,
    /// Sequences by their number; `None` while they are on their way.
    finished: Vec<Option<Hypothesis>>,
    /// Numbers of the sequences that are on their way, in the order of the hypotheses.
    active: Vec<usize>,
}

impl Sampler {
    /// A sampler of `group` sequences. One hypothesis that all of them start from is enough.
    #[must_use]
    pub fn new(temperature: f64, group: usize, eot: u32) -> Self {
        let group = group.max(1);
        Self { temperature, eot, finished: vec![None; group], active: (0..group).collect() }
    }

    pub(super) fn step(
        &mut self,
        hypotheses: &mut Vec<Hypothesis>,
        logits: &[&[f32]],
        uniform: &mut dyn Uniform,
    ) -> Step {
        // Every sequence has its number of the step, finished or not, so that one does not disturb the others' chances.
        let chances: Vec<f64> = match self.temperature > 0.0 {
            true => self.finished.iter().map(|_| uniform.next()).collect(),
            false => vec![0.0; self.finished.len()],
        };
        let shared = hypotheses.len() == 1; // the first step: all sequences start from the same hypothesis
        let mut going_on = Vec::with_capacity(self.active.len());
        let mut still_active = Vec::with_capacity(self.active.len());
        let mut sources = Vec::with_capacity(self.active.len());
        for (i, number) in self.active.iter().enumerate() {
            let source = if shared { 0 } else { i };
            let (Some(hypothesis), Some(row)) = (hypotheses.get(source), logits.get(source)) else { continue };
            let choice =
                if self.temperature > 0.0 { draw(row, self.temperature, chances[*number]) } else { arg_max(row) };
            // A row without any allowed token ends the sequence.
            let token = choice.map_or(self.eot, |place| place as u32);
            let logprob = choice.map_or(0.0, |place| row[place] - log_sum_exp(row));
            if token == self.eot {
                self.finished[*number] = Some(hypothesis.clone().ended(logprob));
            } else {
                going_on.push(hypothesis.clone().then(token, logprob));
                still_active.push(*number);
                sources.push(source);
            }
        }
        self.active = still_active;
        *hypotheses = going_on;
        Step { done: sources.is_empty(), sources }
    }

    pub(super) fn finish(mut self, hypotheses: Vec<Hypothesis>) -> Vec<Hypothesis> {
        for (number, hypothesis) in self.active.iter().zip(hypotheses) {
            self.finished[*number] = Some(hypothesis);
        }
        self.finished.into_iter().flatten().collect()
    }
}

/// Draws a token from `softmax(logits / temperature)`: the first one whose cumulated probability exceeds `chance`.
fn draw(logits: &[f32], temperature: f64, chance: f64) -> Option<usize> {
    let max = f64::from(logits[arg_max(logits)?]);
    let weights = || {
        logits
            .iter()
            .map(|logit| ((f64::from(*logit) - max) / temperature).exp())
            .map(|w| if w.is_nan() { 0.0 } else { w })
    };
    let threshold = chance * weights().sum::<f64>();
    let mut cumulated = 0.0;
    let mut last_possible = None;
    for (i, weight) in weights().enumerate() {
        cumulated += weight;
        if weight > 0.0 {
            last_possible = Some(i);
            if cumulated > threshold {
                return Some(i);
            }
        }
    }
    last_possible
}

#[cfg(test)]
mod tests {
    use super::super::Recorded;
    use super::*;

    #[test]
    fn chance_picks_by_cumulated_probability() {
        let logits = [0.0, f32::NEG_INFINITY, 0.0, 0.0]; // a third each
        assert_eq!(draw(&logits, 1.0, 0.0), Some(0));
        assert_eq!(draw(&logits, 1.0, 0.34), Some(2));
        assert_eq!(draw(&logits, 1.0, 0.99), Some(3));
        assert_eq!(draw(&[f32::NEG_INFINITY; 2], 1.0, 0.5), None);
        assert_eq!(draw(&[], 1.0, 0.5), None);
    }

    #[test]
    fn a_row_of_nothing_ends_the_sequence() {
        let mut sampler = Sampler::new(0.0, 1, 3);
        let mut hypotheses = vec![Hypothesis::default()];
        let step = sampler.step(&mut hypotheses, &[&[f32::NAN; 4]], &mut Recorded::new(vec![]));
        assert!(step.done && hypotheses.is_empty());
        assert_eq!(sampler.finish(hypotheses), [Hypothesis::default()]);
    }
}
