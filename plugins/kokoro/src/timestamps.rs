//! When each token is spoken, out of the durations that newer exports tell.

use crate::chunk::Token;

/// Half frames per second: a frame is 600 samples at 24 kHz.
const HALF_FRAMES_PER_SECOND: f64 = 80.0;

/// Frames of the leading pad that belong to the first token (`kokoro.pipeline:KPipeline.join_timestamps`, "-3").
const PAD_OVERLAP_FRAMES: i64 = 3;

/// Start and end in seconds; `None` for tokens that are not spoken or that the durations no longer cover.
pub type Span = Option<(f64, f64)>;

/// Times of the tokens of one run, from its start (`kokoro.pipeline:KPipeline.join_timestamps`).
///
/// `durations` has an entry per input id: pad, one per phoneme or space, pad. Half of a space goes to either side, so
/// everything is counted in half frames.
#[must_use]
pub fn join_timestamps(tokens: &[Token], durations: &[i64]) -> Vec<Span> {
    let mut spans = vec![None; tokens.len()];
    // Pad, a token, pad at the least.
    if durations.len() < 3 {
        return spans;
    }
    let mut left = 2 * (durations[0] - PAD_OVERLAP_FRAMES).max(0);
    let mut right = left;
    let mut next = 1;
    for (token, span) in tokens.iter().zip(&mut spans) {
        if next >= durations.len() - 1 {
            break;
        }
        let spaced = !token.whitespace.is_empty();
        if token.phonemes.is_empty() {
            if spaced {
                // Silent, but its space is in the input. The reference counts the duration behind the space.
                next += 1;
                let space = durations[next];
                left = right + space;
                right = left + space;
                next += 1;
            }
            continue;
        }
        let end = next + token.phonemes.chars().count();
        let Some(&after) = durations.get(end) else { break };
        let start_seconds = left as f64 / HALF_FRAMES_PER_SECOND;
        let token_duration: i64 = durations[next..end].iter().sum();
        let space = if spaced { after } else { 0 };
        left = right + 2 * token_duration + space;
        *span = Some((start_seconds, left as f64 / HALF_FRAMES_PER_SECOND));
        right = left + space;
        next = end + usize::from(spaced);
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_durations_give_no_times() {
        let token = Token { text: "a".into(), phonemes: "a".into(), whitespace: String::new() };
        assert_eq!(join_timestamps(std::slice::from_ref(&token), &[1, 2]), [None]);
        assert_eq!(join_timestamps(std::slice::from_ref(&token), &[3, 4, 5]), [Some((0.0, 0.1))]);
        assert!(join_timestamps(&[], &[3, 4, 5]).is_empty());
    }
}
