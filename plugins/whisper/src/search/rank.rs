//! Ranking of finished candidates by likelihood per length.
//!
//! Source: openai/whisper `whisper/decoding.py: MaximumLikelihoodRanker`; the penalty is that of Wu et al. 2016
//! (<https://arxiv.org/abs/1609.08144>, section 7).

use super::Hypothesis;

/// Place of the best candidate: the highest score per token, or per `((5 + length) / 6) ^ length_penalty`. The first `given` tokens of each don't
/// count: they were not chosen.
#[must_use]
pub fn best(candidates: &[Hypothesis], length_penalty: Option<f64>, given: usize) -> Option<usize> {
    let rank = |candidate: &Hypothesis| {
        let length = candidate.tokens.len().saturating_sub(given) as f64;
        let divisor = match length_penalty {
            Some(alpha) => ((5.0 + length) / 6.0).powf(alpha),
            None => length.max(1.0), // the reference divides by zero on an empty candidate
        };
        f64::from(candidate.score) / divisor
    };
    let mut best: Option<(usize, f64)> = None;
    for (i, candidate) in candidates.iter().enumerate() {
        let value = rank(candidate);
        if best.is_none_or(|(_, highest)| value > highest) {
            best = Some((i, value));
        }
    }
    best.map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_candidates_may_have_lower_scores() {
        let of = |length: u32, score| Hypothesis { tokens: (0..length).collect(), score, ..Hypothesis::default() };
        let candidates = [of(0, -0.9), of(2, -2.0), of(4, -2.5)];
        assert_eq!(best(&candidates, None, 0), Some(2));
        assert_eq!(best(&candidates, Some(0.0), 0), Some(0));
        assert_eq!(best(&[], None, 0), None);
    }
}
