//! Band-limited resampling, sample for sample as training pipelines do it.
//!
//! The server resamples what clients send; this is for audio that a model has to hear at the very rate change that it was trained on.

/// Zero crossings of the kernel on each side. Source: torchaudio `functional.resample`, `lowpass_filter_width`.
const LOWPASS_WIDTH: f64 = 6.0;
/// Share of the lower Nyquist frequency that passes. Source: ibid., `rolloff`.
const ROLLOFF: f64 = 0.99;

/// Resamples with a sinc kernel under a Hann window: `ceil(n · to / from)` samples.
///
/// Source: torchaudio `functional.resample` with its defaults (`sinc_interp_hann`).
pub fn sinc_resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    if from == to || from == 0 || to == 0 {
        return samples.to_vec();
    }
    let divisor = gcd(from, to);
    let (from, to) = ((from / divisor) as usize, (to / divisor) as usize);
    let base = from.min(to) as f64 * ROLLOFF;
    let width = (LOWPASS_WIDTH * from as f64 / base).ceil() as usize;
    // One kernel for each of the `to` phases, over the samples from −width to from + width.
    let taps = 2 * width + from;
    let kernels: Vec<f32> = (0..to)
        .flat_map(|phase| {
            (0..taps).map(move |tap| {
                // The reference has the phase in single precision.
                let time = (tap as f64 - width as f64) / from as f64 - f64::from(phase as f32 / to as f32);
                let t = (time * base).clamp(-LOWPASS_WIDTH, LOWPASS_WIDTH);
                let window = (t * std::f64::consts::PI / LOWPASS_WIDTH / 2.0).cos().powi(2);
                let angle = t * std::f64::consts::PI;
                let sinc = if angle == 0.0 { 1.0 } else { angle.sin() / angle };
                (sinc * window * base / from as f64) as f32
            })
        })
        .collect();
    let length = (samples.len() * to).div_ceil(from);
    (0..length)
        .map(|i| {
            let (block, phase) = (i / to, i % to);
            let kernel = &kernels[phase * taps..(phase + 1) * taps];
            // Tap k meets sample block · from + k − width.
            let first = (width).saturating_sub(block * from);
            let start = block * from + first - width;
            kernel[first..].iter().zip(samples.get(start..).unwrap_or_default()).map(|(k, x)| k * x).sum()
        })
        .collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_stays_a_tone() {
        let tone = |rate: f32, n: usize| -> Vec<f32> {
            (0..n).map(|i| (std::f32::consts::TAU * 440.0 * i as f32 / rate).sin()).collect()
        };
        let got = sinc_resample(&tone(24_000.0, 2400), 24_000, 16_000);
        let want = tone(16_000.0, 1600);
        assert_eq!(got.len(), want.len());
        let worst = got[100..1500].iter().zip(&want[100..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 0.01, "{worst}");
        assert_eq!(sinc_resample(&[1.0, 2.0], 8000, 8000), [1.0, 2.0]);
        assert!(sinc_resample(&[], 8000, 16_000).is_empty());
    }
}
