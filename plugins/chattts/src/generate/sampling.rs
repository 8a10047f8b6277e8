//! From logits to the tokens that may be drawn. The order of the steps is that of `ChatTTS/model/processors.py` and `gpt.py:GPT.generate`.

use std::collections::VecDeque;

/// Tokens that the filters keep, whatever they say. Source: `min_tokens_to_keep` of `processors.py:gen_logits`.
const KEPT: usize = 3;
/// Tokens that the repetition penalty remembers. Source: `processors.py:gen_logits`.
const WINDOW: usize = 16;

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Filters {
    /// Logits are divided by it; one for each codebook. More than 0.
    pub temperature: Vec<f32>,
    /// The most likely tokens that together have this probability; none: all.
    pub top_p: Option<f32>,
    /// The most likely tokens; none: all.
    pub top_k: Option<usize>,
    /// Logits of tokens of the recent past are divided (or multiplied, where they are negative) by its power. 1: by nothing.
    pub repetition_penalty: f32,
}

impl Filters {
    /// The temperature of a codebook.
    fn temperature(&self, codebook: usize) -> f32 {
        self.temperature.get(codebook).or(self.temperature.last()).copied().unwrap_or(1.0)
    }
}

/// The recent past of one codebook.
#[derive(Clone, Debug, Default)]
pub struct History(VecDeque<u32>);

impl History {
    /// Remembers a token.
    pub fn push(&mut self, token: u32) {
        if self.0.len() == WINDOW {
            self.0.pop_front();
        }
        self.0.push_back(token);
    }

    /// Each token, and how often it is remembered.
    fn counts(&self) -> impl Iterator<Item = (usize, i32)> {
        let mut tokens: Vec<u32> = self.0.iter().copied().collect();
        tokens.sort_unstable();
        let counts: Vec<_> = tokens.chunk_by(|a, b| a == b).map(|run| (run[0] as usize, run.len() as i32)).collect();
        counts.into_iter()
    }
}

/// A token that may be drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The token.
    pub token: u32,
    /// Its probability.
    pub probability: f32,
}

/// The tokens that may be drawn from `logits`, most likely first. `forbidden` is the end, while it may not come.
///
/// `logits` are changed on the way.
pub fn candidates(
    logits: &mut [f32],
    codebook: usize,
    filters: &Filters,
    history: &History,
    forbidden: Option<u32>,
) -> Vec<Candidate> {
    let temperature = filters.temperature(codebook);
    for logit in logits.iter_mut() {
        *logit /= temperature;
    }
    if filters.repetition_penalty != 1.0 {
        for (token, count) in history.counts() {
            if let Some(logit) = logits.get_mut(token) {
                let factor = filters.repetition_penalty.powi(count);
                *logit = if *logit < 0.0 { *logit * factor } else { *logit / factor };
            }
        }
    }
    let mut kept = most_likely(logits, filters.top_k.map(|k| k.max(KEPT)));
    if let Some(top_p) = filters.top_p {
        kept.truncate(nucleus(logits, &kept, top_p));
    }
    kept.retain(|&token| Some(token) != forbidden);
    let peak = kept.first().map_or(0.0, |&token| logits[token as usize]);
    let weights: Vec<f32> = kept.iter().map(|&token| (logits[token as usize] - peak).exp()).collect();
    let sum: f32 = weights.iter().sum();
    kept.into_iter().zip(weights).map(|(token, weight)| Candidate { token, probability: weight / sum }).collect()
}

/// The `k` most likely tokens and those that are as likely as the last of them; all without a `k`. Most likely first.
fn most_likely(logits: &[f32], k: Option<usize>) -> Vec<u32> {
    let mut tokens: Vec<u32> = (0..logits.len() as u32).collect();
    let descending = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]);
    if let Some(k) = k.filter(|&k| k < tokens.len()) {
        let (_, &mut last, _) = tokens.select_nth_unstable_by(k - 1, descending);
        let least = logits[last as usize];
        tokens.retain(|&token| logits[token as usize] >= least);
    }
    tokens.sort_unstable_by(descending);
    tokens
}

/// How many of `sorted` the nucleus holds: a token is in it unless the tokens that are at most as likely as it have together no more than
/// `1 - top_p`. Tokens are removed from the end, so what `sorted` leaves out can't change the answer.
fn nucleus(logits: &[f32], sorted: &[u32], top_p: f32) -> usize {
    let peak = sorted.first().map_or(0.0, |&token| logits[token as usize]);
    let weight = |logit: f32| f64::from((logit - peak).exp());
    let total: f64 = logits.iter().map(|&logit| weight(logit)).sum();
    let rest = f64::from(1.0 - top_p);
    let mut left = 1.0;
    let mut count = 0;
    for &token in sorted {
        if count >= KEPT && left <= rest {
            break;
        }
        count += 1;
        left -= weight(logits[token as usize]) / total;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters() -> Filters {
        Filters { temperature: vec![1.0], top_p: None, top_k: None, repetition_penalty: 1.0 }
    }

    fn tokens(candidates: &[Candidate]) -> Vec<u32> {
        candidates.iter().map(|candidate| candidate.token).collect()
    }

    #[test]
    fn filters_keep_the_most_likely_and_three_at_least() {
        let logits = [0.0, 4.0, 2.0, 1.0, 3.0];
        let keep = |filters: &Filters| tokens(&candidates(&mut logits.clone(), 0, filters, &History::default(), None));
        assert_eq!(keep(&filters()), [1, 4, 2, 3, 0]);
        assert_eq!(keep(&Filters { top_k: Some(4), ..filters() }), [1, 4, 2, 3]);
        assert_eq!(keep(&Filters { top_k: Some(1), ..filters() }), [1, 4, 2]);
        assert_eq!(keep(&Filters { top_p: Some(0.0), ..filters() }), [1, 4, 2]);
        assert_eq!(keep(&Filters { top_p: Some(0.99), ..filters() }), [1, 4, 2, 3, 0]);
        assert_eq!(keep(&Filters { top_p: Some(0.98), ..filters() }), [1, 4, 2, 3]);
        let tied =
            tokens(&candidates(&mut [1.0; 6], 0, &Filters { top_k: Some(3), ..filters() }, &History::default(), None));
        assert_eq!(tied.len(), 6, "what is as likely as the last one stays");
    }

    #[test]
    fn probabilities_are_those_of_the_tokens_that_are_left() {
        let kept = candidates(&mut [0.0, 2.0, 1.0], 0, &filters(), &History::default(), Some(1));
        assert_eq!(tokens(&kept), [2, 0]);
        let sum: f32 = kept.iter().map(|candidate| candidate.probability).sum();
        assert!((sum - 1.0).abs() < 1e-6 && (kept[0].probability - 0.731_058_6).abs() < 1e-6);
    }

    #[test]
    fn the_penalty_counts_the_last_tokens() {
        let mut history = History::default();
        for _ in 0..2 {
            history.push(0);
        }
        history.push(1);
        let penal = Filters { repetition_penalty: 2.0, ..filters() };
        let mut logits = [4.0, -1.0, 0.5];
        let _ = candidates(&mut logits, 0, &penal, &history, None);
        assert_eq!(logits, [1.0, -2.0, 0.5]);
        for _ in 0..WINDOW {
            history.push(2);
        }
        let mut logits = [4.0, -1.0, 0.0];
        let _ = candidates(&mut logits, 0, &penal, &history, None);
        assert_eq!(logits, [4.0, -1.0, 0.0]);
    }
}
