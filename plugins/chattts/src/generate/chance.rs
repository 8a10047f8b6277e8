//! Where sampling takes its chance from.

use super::Candidate;

/// Draws tokens.
pub trait Chance: Send {
    /// One of the candidates, of which there is at least one, for a codebook at a step.
    fn draw(&mut self, step: usize, codebook: usize, candidates: &[Candidate]) -> u32;
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): small, fast, and the same on every machine, so
/// that a request with a seed gives the same sound every time, whatever else is computed with it.
#[derive(Clone, Debug)]
pub struct Seeded {
    state: u64,
    /// Starts again for each step. Source: `manual_seed` of `GPT.generate`.
    restart: Option<u64>,
}

/// SplitMix64's increment.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Seeded {
    /// Row `row` of a request with this seed.
    #[must_use]
    pub fn new(seed: u64, row: usize) -> Self {
        Self { state: mix(seed ^ mix(row as u64)), restart: None }
    }

    /// The same chance at every step.
    #[must_use]
    pub fn constant(seed: u64) -> Self {
        let state = mix(seed);
        Self { state, restart: Some(state) }
    }

    /// A number in [0, 1).
    fn next(&mut self) -> f64 {
        self.state = self.state.wrapping_add(GOLDEN);
        (mix(self.state) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// SplitMix64's output function.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Chance for Seeded {
    fn draw(&mut self, _step: usize, codebook: usize, candidates: &[Candidate]) -> u32 {
        if let (Some(start), 0) = (self.restart, codebook) {
            self.state = start;
        }
        let mut at = self.next();
        for candidate in candidates {
            at -= f64::from(candidate.probability);
            if at < 0.0 {
                return candidate.token;
            }
        }
        // Rounding; the least likely one.
        candidates.last().map_or(0, |candidate| candidate.token)
    }
}

/// Exponentially distributed numbers that were recorded from a reference, `[steps, rows, tokens]`: the candidate whose probability is the most
/// times its number is drawn. That is how `torch.multinomial` draws one.
#[derive(Clone, Debug)]
pub struct Recorded {
    numbers: std::sync::Arc<[f32]>,
    rows: usize,
    tokens: usize,
    first_row: usize,
}

impl Recorded {
    /// For the row whose codebooks begin at `first_row` of `rows`.
    #[must_use]
    pub fn new(numbers: std::sync::Arc<[f32]>, rows: usize, tokens: usize, first_row: usize) -> Self {
        Self { numbers, rows, tokens, first_row }
    }
}

impl Chance for Recorded {
    fn draw(&mut self, step: usize, codebook: usize, candidates: &[Candidate]) -> u32 {
        let start = (step * self.rows + self.first_row + codebook) * self.tokens;
        // Behind the end of the record all are equal: the most likely token.
        let worth = |candidate: &Candidate| {
            candidate.probability / self.numbers.get(start + candidate.token as usize).copied().unwrap_or(1.0)
        };
        // Of several that are worth the same, the first in the vocabulary.
        let best = candidates.iter().max_by(|a, b| worth(a).total_cmp(&worth(b)).then(b.token.cmp(&a.token)));
        best.map_or(0, |candidate| candidate.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates() -> [Candidate; 3] {
        [(5, 0.5), (7, 0.3), (9, 0.2)].map(|(token, probability)| Candidate { token, probability })
    }

    #[test]
    fn tokens_come_as_often_as_they_are_likely() {
        let mut chance = Seeded::new(3, 0);
        let mut counts = [0_usize; 10];
        for step in 0..10_000 {
            counts[chance.draw(step, 0, &candidates()) as usize] += 1;
        }
        for Candidate { token, probability } in candidates() {
            let share = counts[token as usize] as f32 / 10_000.0;
            assert!((share - probability).abs() < 0.02, "{token}: {share}");
        }
    }

    #[test]
    fn seeds_repeat_and_rows_differ() {
        let draws =
            |mut chance: Seeded| -> Vec<u32> { (0..40).map(|step| chance.draw(step, 0, &candidates())).collect() };
        assert_eq!(draws(Seeded::new(3, 1)), draws(Seeded::new(3, 1)));
        assert_ne!(draws(Seeded::new(3, 1)), draws(Seeded::new(3, 2)));
        assert_ne!(draws(Seeded::new(3, 1)), draws(Seeded::new(4, 1)));
        let constant = draws(Seeded::constant(3));
        assert!(constant.iter().all(|token| *token == constant[0]));
    }
}
