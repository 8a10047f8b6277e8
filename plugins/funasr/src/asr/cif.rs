//! Continuous integrate-and-fire: frames' weights are added up, and every time the sum reaches 1 a token is made.
//!
//! Source: FunASR `models/paraformer/cif_predictor.py` (`cif_v1`, `cif_wo_hidden_v1`), `models/bicif_paraformer/cif_predictor.py` (`cif`,
//! `cif_wo_hidden`).

/// Tokens made of frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fired {
    /// Embeddings of tokens: `[tokens, width]`.
    pub tokens: Vec<f32>,
    /// The sum at every frame; of those that fire with the 1 that is taken off then.
    pub peaks: Vec<f32>,
}

/// What the weights of one signal add up to: its number of tokens.
#[must_use]
pub fn token_count(alphas: &[f32]) -> usize {
    let sum: f64 = alphas.iter().map(|&alpha| f64::from(alpha)).sum();
    // As the reference, the sum is rounded to single precision before it is cut.
    (sum as f32).floor().max(0.0) as usize
}

/// Weights as they come out of the sigmoid, sharpened, of `frames` frames that count, with the tail behind them.
#[must_use]
pub fn sharpen(raw: &[f32], frames: usize, smooth: f64, noise: f64, tail: f64) -> Vec<f32> {
    let (smooth, noise) = (smooth as f32, noise as f32);
    let mut alphas: Vec<f32> = raw.iter().take(frames).map(|alpha| (alpha * smooth - noise).max(0.0)).collect();
    if tail > 0.0 {
        alphas.push(tail as f32);
    }
    alphas
}

/// By prefix sums in double precision: fires wherever their whole part grows. `hidden` is `[frames, width]`; frames that it lacks are
/// zeros.
#[must_use]
pub fn by_prefix_sums(hidden: &[f32], width: usize, alphas: &[f32]) -> Fired {
    let mut fired = Fired { tokens: Vec::new(), peaks: Vec::with_capacity(alphas.len()) };
    let mut weighted = vec![0.0_f32; width]; // sum of what was heard so far
    let mut before = vec![0.0_f32; width]; // the same when the last token was made
    let mut left_over = vec![0.0_f32; width];
    let (mut sum, mut whole) = (0.0_f64, 0.0_f32);
    for (t, &alpha) in alphas.iter().enumerate() {
        let frame = hidden.get(t * width..(t + 1) * width);
        if let Some(frame) = frame {
            for (weighted, value) in weighted.iter_mut().zip(frame) {
                *weighted += alpha * value;
            }
        }
        sum += f64::from(alpha);
        let prefix = sum as f32;
        let floor = prefix.floor();
        let rest = prefix - floor;
        if floor > whole {
            for i in 0..width {
                let remains = frame.map_or(0.0, |frame| rest * frame[i]);
                fired.tokens.push(weighted[i] - before[i] + left_over[i] - remains);
                before[i] = weighted[i];
                left_over[i] = remains;
            }
            fired.peaks.push(1.0 + rest);
        } else {
            fired.peaks.push(rest);
        }
        whole = floor;
    }
    fired
}

/// Step by step in single precision, at most one token a frame.
#[must_use]
pub fn by_steps(hidden: &[f32], width: usize, alphas: &[f32], threshold: f32) -> Fired {
    let mut fired = Fired { tokens: Vec::new(), peaks: Vec::with_capacity(alphas.len()) };
    let mut token = vec![0.0_f32; width];
    let mut sum = 0.0_f32;
    for (t, &alpha) in alphas.iter().enumerate() {
        let missing = 1.0 - sum;
        sum += alpha;
        fired.peaks.push(sum);
        let fires = sum >= threshold;
        let now = if fires { missing } else { alpha };
        let frame = hidden.get(t * width..(t + 1) * width);
        if let Some(frame) = frame {
            for (token, value) in token.iter_mut().zip(frame) {
                *token += now * value;
            }
        }
        if fires {
            sum -= 1.0;
            fired.tokens.extend_from_slice(&token);
            match frame {
                Some(frame) => token.iter_mut().zip(frame).for_each(|(token, value)| *token = (alpha - now) * value),
                None => token.fill(0.0),
            }
        }
    }
    fired
}

/// Only the sums: at every frame before `threshold` is taken off.
#[must_use]
pub fn peaks(alphas: &[f32], threshold: f32) -> Vec<f32> {
    let mut sum = 0.0_f32;
    alphas
        .iter()
        .map(|alpha| {
            sum += alpha;
            let peak = sum;
            if sum >= threshold {
                sum -= threshold;
            }
            peak
        })
        .collect()
}
