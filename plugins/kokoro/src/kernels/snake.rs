//! Adaptive instance normalisation and the snake activation behind it, in one pass over each channel.

use syrinx_plugin_common::kernels::{Isa, Kernel, Lanes, Parallel, Shared};

/// Sums are kept in this many parts, so that they vectorise and long channels lose no precision.
const PARTS: usize = 64;

/// Coefficients of sin(πr) = r·(c₀ + c₁r² + …), Taylor; for |r| ≤ ½ the first left out is below 1e-9.
const SIN_PI: [f32; 7] =
    [std::f32::consts::PI, -5.167_712_8, 2.550_164, -0.599_264_5, 0.082_145_89, -0.007_370_431, 0.000_466_302_8];

/// Parameters of the activation `y + sin²(α·y) / α`, one of each per channel.
#[derive(Clone, Copy, Debug)]
pub struct Snake<'a> {
    /// α
    pub alpha: &'a [f32],
    /// What the squared sine is multiplied by, 1/α.
    pub inverse: &'a [f32],
}

/// What follows the normalisation, one value per channel each.
#[derive(Clone, Copy, Debug)]
pub struct Modulation<'a> {
    /// What normalised values are multiplied by.
    pub gain: &'a [f32],
    /// What is added then.
    pub offset: &'a [f32],
    /// What is added to the variance.
    pub epsilon: f32,
    /// The activation at the end.
    pub snake: Option<Snake<'a>>,
}

/// `out[c] = snake(gain[c] · (x[c] - mean) / √(variance + epsilon) + offset[c])` over the time of each channel; without `snake` just what
/// is in its brackets. `x` and `out` are `[channels, time]`. The variance is the biased one.
///
/// # Errors
///
/// Says which length doesn't fit.
pub fn adaptive_norm(
    isa: Isa,
    x: &[f32],
    modulation: &Modulation<'_>,
    out: &mut [f32],
    parallel: &Parallel<'_>,
) -> Result<(), String> {
    let Modulation { gain, offset, epsilon, snake } = *modulation;
    let channels = gain.len();
    let snake_fits = snake.is_none_or(|snake| snake.alpha.len() == channels && snake.inverse.len() == channels);
    let norm_fits = channels != 0 && offset.len() == channels && x.len().is_multiple_of(channels);
    if !norm_fits || !snake_fits || out.len() != x.len() {
        return Err(format!("{} values of {channels} channels, {} offsets, {} out", x.len(), offset.len(), out.len()));
    }
    let length = x.len() / channels;
    if length == 0 {
        return Ok(());
    }
    let shared = Shared::new(out);
    parallel(channels, &|channel| {
        // SAFETY: the row of this channel; rows don't overlap.
        let out = unsafe { shared.part(channel * length, length) };
        let row = Row {
            x: &x[channel * length..][..length],
            gain: gain[channel],
            offset: offset[channel],
            epsilon,
            snake: snake.map(|snake| (snake.alpha[channel], snake.inverse[channel])),
            out,
        };
        isa.run(row);
    });
    Ok(())
}

/// One channel.
struct Row<'a> {
    x: &'a [f32],
    gain: f32,
    offset: f32,
    epsilon: f32,
    /// α and 1/α
    snake: Option<(f32, f32)>,
    out: &'a mut [f32],
}

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let length = self.x.len() as f32;
        let mean = sum_of(self.x, |x| x) / length;
        let variance = sum_of(self.x, |x| (x - mean) * (x - mean)) / length;
        let gain = self.gain / (variance + self.epsilon).sqrt();
        let offset = self.offset - mean * gain;
        match self.snake {
            None => self.out.iter_mut().zip(self.x).for_each(|(out, x)| *out = x.mul_add(gain, offset)),
            Some((alpha, inverse)) => {
                // sin² has the period π: half turns, and what is left of them.
                let half_turns = alpha * std::f32::consts::FRAC_1_PI;
                for (out, x) in self.out.iter_mut().zip(self.x) {
                    let y = x.mul_add(gain, offset);
                    let turns = y * half_turns;
                    let rest = turns - turns.round_ties_even();
                    let square = rest * rest;
                    let series = SIN_PI.iter().rev().fold(0.0_f32, |sum, c| sum.mul_add(square, *c));
                    let sine = rest * series;
                    *out = (sine * sine).mul_add(inverse, y);
                }
            }
        }
    }
}

#[inline(always)]
fn sum_of(x: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<PARTS>();
    let mut parts = [0.0; PARTS];
    for chunk in chunks {
        for (part, x) in parts.iter_mut().zip(chunk) {
            *part += of(*x);
        }
    }
    parts.iter().sum::<f32>() + rest.iter().map(|x| of(*x)).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::one_after_the_other;

    #[test]
    fn as_the_definition_in_double_precision() {
        let (channels, length) = (3, 1003);
        let x: Vec<f32> =
            (0..channels * length).map(|i| ((i * i) as f32 * 0.37).sin() * 3.0 + (i / length) as f32).collect();
        let (gain, offset) = ([1.0, -0.5, 4.0], [0.0, 2.0, -7.0]);
        let (alpha, inverse) = ([0.5, 1.0, 9.0], [2.0, 1.0, 1.0 / 9.0]);
        for isa in Isa::available() {
            for snake in [None, Some(Snake { alpha: &alpha, inverse: &inverse })] {
                let mut out = vec![f32::NAN; x.len()];
                let modulation = Modulation { gain: &gain, offset: &offset, epsilon: 1e-5, snake };
                adaptive_norm(isa, &x, &modulation, &mut out, &one_after_the_other).unwrap();
                for channel in 0..channels {
                    let row: Vec<f64> = x[channel * length..][..length].iter().map(|x| f64::from(*x)).collect();
                    let mean = row.iter().sum::<f64>() / length as f64;
                    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / length as f64;
                    for (x, out) in row.iter().zip(&out[channel * length..]) {
                        let scaled = (x - mean) / (variance + 1e-5).sqrt() * f64::from(gain[channel]);
                        let mut y = scaled + f64::from(offset[channel]);
                        if snake.is_some() {
                            let alpha = f64::from(alpha[channel]);
                            y += (alpha * y).sin().powi(2) / alpha;
                        }
                        assert!((f64::from(*out) - y).abs() < 2e-5, "{isa:?}: {out} for {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let isa = Isa::best();
        let run = |x: &[f32], gain: &[f32], out: &mut [f32]| {
            let modulation = Modulation { gain, offset: &[0.0; 2], epsilon: 1e-5, snake: None };
            adaptive_norm(isa, x, &modulation, out, &one_after_the_other)
        };
        assert!(run(&[1.0; 5], &[1.0; 2], &mut [0.0; 5]).is_err());
        assert!(run(&[1.0; 4], &[1.0; 3], &mut [0.0; 4]).is_err());
        assert!(run(&[1.0; 4], &[1.0; 2], &mut [0.0; 4]).is_ok());
        assert!(run(&[], &[1.0; 2], &mut []).is_ok());
    }
}
