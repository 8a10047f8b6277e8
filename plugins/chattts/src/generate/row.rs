//! One row: what it has drawn so far, and whether it goes on.

use super::{CODEBOOKS, Chance, Filters, History, Kind, candidates};

/// Draws of a first step that end a row before they are taken as they are. The reference has no bound.
const RESTARTS: usize = 8;

/// How a row is generated.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// What it consists of.
    pub kind: Kind,
    /// How tokens are chosen.
    pub filters: Filters,
    /// Steps before which it doesn't end.
    pub min_new_token: usize,
    /// Steps after which it ends.
    pub max_new_token: usize,
    /// The token that ends it.
    pub end: u32,
    /// Whether a row that ends at once is drawn again.
    pub ensure_non_empty: bool,
}

/// What a row does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It goes on with these tokens; of text only the first counts.
    Tokens([u32; CODEBOOKS]),
    /// It has ended before this step.
    End(Ending),
}

/// Why a row ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The model said so.
    Token,
    /// It is as long as it may be.
    Length,
}

/// A row that is generated.
pub struct Row {
    rules: Rules,
    chance: Box<dyn Chance>,
    histories: [History; CODEBOOKS],
    step: usize,
}

impl Row {
    /// A row that has drawn nothing yet.
    #[must_use]
    pub fn new(rules: Rules, chance: Box<dyn Chance>) -> Self {
        Self { rules, chance, histories: Default::default(), step: 0 }
    }

    /// Its rules.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether it has all the steps that it may have.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.step >= self.rules.max_new_token
    }

    /// Draws the next step from the logits of all codebooks, one after the other.
    pub fn choose(&mut self, logits: &[f32]) -> Choice {
        if self.is_full() {
            return Choice::End(Ending::Length);
        }
        for _ in 0..RESTARTS {
            let tokens = self.draw(logits, self.rules.min_new_token);
            if !self.is_end(&tokens) {
                return self.take(tokens);
            }
            if self.step > 0 || !self.rules.ensure_non_empty {
                return Choice::End(Ending::Token);
            }
        }
        // It will have to say something.
        let tokens = self.draw(logits, 1);
        self.take(tokens)
    }

    fn take(&mut self, tokens: [u32; CODEBOOKS]) -> Choice {
        for (history, token) in self.histories.iter_mut().zip(tokens).take(self.rules.kind.tokens()) {
            history.push(token);
        }
        self.step += 1;
        Choice::Tokens(tokens)
    }

    fn draw(&mut self, logits: &[f32], min_new_token: usize) -> [u32; CODEBOOKS] {
        let count = self.rules.kind.tokens();
        let forbidden = (self.step < min_new_token).then_some(self.rules.end);
        let mut tokens = [0; CODEBOOKS];
        for (codebook, logits) in logits.chunks_exact((logits.len() / count).max(1)).take(count).enumerate() {
            let kept =
                candidates(&mut logits.to_vec(), codebook, &self.rules.filters, &self.histories[codebook], forbidden);
            tokens[codebook] = self.chance.draw(self.step, codebook, &kept);
        }
        tokens
    }

    fn is_end(&self, tokens: &[u32; CODEBOOKS]) -> bool {
        tokens[..self.rules.kind.tokens()].contains(&self.rules.end)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Candidate, Seeded};
    use super::*;

    /// Draws the end so many times, then the most likely token.
    struct Reluctant(usize);

    impl Chance for Reluctant {
        fn draw(&mut self, _step: usize, _codebook: usize, candidates: &[Candidate]) -> u32 {
            let end = candidates.iter().find(|candidate| candidate.token == 2);
            match end {
                Some(end) if self.0 > 0 => {
                    self.0 -= 1;
                    end.token
                }
                _ => candidates.iter().map(|candidate| candidate.token).find(|&token| token != 2).unwrap_or(2),
            }
        }
    }

    fn rules() -> Rules {
        let filters = Filters { temperature: vec![1.0], top_p: None, top_k: None, repetition_penalty: 1.0 };
        Rules { kind: Kind::Text, filters, min_new_token: 0, max_new_token: 3, end: 2, ensure_non_empty: true }
    }

    #[test]
    fn a_row_that_ends_at_once_is_drawn_again() {
        let mut row = Row::new(rules(), Box::new(Reluctant(3)));
        assert!(matches!(row.choose(&[1.0, 0.0, 5.0]), Choice::Tokens([0, ..])));
        let mut row = Row::new(Rules { ensure_non_empty: false, ..rules() }, Box::new(Reluctant(1)));
        assert_eq!(row.choose(&[1.0, 0.0, 5.0]), Choice::End(Ending::Token));
        // And in the end it is not asked any more.
        let mut row = Row::new(rules(), Box::new(Reluctant(usize::MAX)));
        assert!(matches!(row.choose(&[1.0, 0.0, 5.0]), Choice::Tokens([0, ..])));
        assert_eq!(row.choose(&[1.0, 0.0, 5.0]), Choice::End(Ending::Token));
    }

    #[test]
    fn a_row_has_its_least_and_its_most_steps() {
        let mut row = Row::new(Rules { min_new_token: 2, ..rules() }, Box::new(Reluctant(usize::MAX)));
        let logits = [1.0, 0.0, 5.0];
        assert!(matches!(row.choose(&logits), Choice::Tokens(_)));
        assert!(matches!(row.choose(&logits), Choice::Tokens(_)));
        assert_eq!(row.choose(&logits), Choice::End(Ending::Token));
        let mut row = Row::new(rules(), Box::new(Seeded::new(0, 0)));
        let logits = [1.0, 0.0, f32::NEG_INFINITY];
        for _ in 0..3 {
            assert!(matches!(row.choose(&logits), Choice::Tokens(_)));
        }
        assert!(row.is_full());
        assert_eq!(row.choose(&logits), Choice::End(Ending::Length));
    }
}
