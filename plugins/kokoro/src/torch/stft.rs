//! The short transforms at both ends of the generator, in the two forms that upstream has: torch's (`TorchSTFT`) and the one without
//! complex numbers that it exports to ONNX (`kokoro.custom_stft:CustomSTFT`). Twenty points each, so the sums are written out.

use std::f64::consts::{PI, TAU};

/// Which of the two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Edges reflected, overlapping windows divided out.
    Complex,
    /// Edges repeated, nothing divided out, half spectrum not doubled.
    Real,
}

/// Least squared magnitude of [`Form::Real`], added under the root.
const REAL_FLOOR: f64 = 1e-14;

/// Below this the sum of squared windows is not divided by (`torch.istft`).
const WINDOW_FLOOR: f64 = 1e-11;

/// A transform of `n_fft` points every `hop` samples under a periodic Hann window.
#[derive(Debug)]
pub struct Stft {
    n_fft: usize,
    hop: usize,
    form: Form,
    window: Vec<f64>,
    /// cos and sin of 2π·bin·n/n_fft, `[bins][n_fft]`.
    basis: Vec<Vec<(f64, f64)>>,
}

impl Stft {
    /// Prepares the tables.
    #[must_use]
    pub fn new(n_fft: usize, hop: usize, form: Form) -> Self {
        let angle = |bin: usize, n: usize| TAU * ((bin * n) % n_fft) as f64 / n_fft as f64;
        // Exact where they are nought, so that the phases of bins 0 and Nyquist are exactly 0 or π.
        let exact = |value: f64| if value.abs() < 1e-15 { 0.0 } else { value };
        let basis = |bin: usize| (0..n_fft).map(|n| (exact(angle(bin, n).cos()), exact(angle(bin, n).sin()))).collect();
        Stft {
            n_fft,
            hop,
            form,
            window: (0..n_fft).map(|n| 0.5 - 0.5 * (TAU * n as f64 / n_fft as f64).cos()).collect(),
            basis: (0..n_fft / 2 + 1).map(basis).collect(),
        }
    }

    /// Frequency bins.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.n_fft / 2 + 1
    }

    /// Magnitude and phase of a signal, `[2 · bins, frames]`: first all magnitudes, then all phases in -π…π.
    #[must_use]
    pub fn transform(&self, signal: &[f32]) -> Vec<f32> {
        let frames = signal.len() / self.hop + 1;
        let bins = self.bins();
        let half = (self.n_fft / 2) as isize;
        let mut spectrum = vec![0.0; 2 * bins * frames];
        let mut windowed = vec![0.0; self.n_fft];
        for frame in 0..frames {
            for (n, (value, window)) in windowed.iter_mut().zip(&self.window).enumerate() {
                *value = self.sample(signal, (frame * self.hop + n) as isize - half) * window;
            }
            for (bin, basis) in self.basis.iter().enumerate() {
                let (mut real, mut imaginary) = (0.0, 0.0);
                for (value, (cos, sin)) in windowed.iter().zip(basis) {
                    real += value * cos;
                    imaginary -= value * sin;
                }
                let (magnitude, phase) = self.polar(real, imaginary);
                spectrum[bin * frames + frame] = magnitude as f32;
                spectrum[(bins + bin) * frames + frame] = phase as f32;
            }
        }
        spectrum
    }

    fn polar(&self, real: f64, imaginary: f64) -> (f64, f64) {
        // Not -π where there is no imaginary part, whatever the sign of its zero.
        let phase = if imaginary == 0.0 && real < 0.0 { PI } else { imaginary.atan2(real) };
        match self.form {
            Form::Complex => (real.hypot(imaginary), phase),
            Form::Real => ((real * real + imaginary * imaginary + REAL_FLOOR).sqrt(), phase),
        }
    }

    /// A sample, also before the start and after the end.
    fn sample(&self, signal: &[f32], at: isize) -> f64 {
        let last = signal.len() as isize - 1;
        let at = match self.form {
            Form::Real => at.clamp(0, last.max(0)),
            // Reflected without repeating the edge; again where the signal is shorter than the window.
            Form::Complex if last > 0 => last - (at.rem_euclid(2 * last) - last).abs(),
            Form::Complex => 0,
        };
        signal.get(at as usize).map_or(0.0, |sample| f64::from(*sample))
    }

    /// The signal of magnitudes and phases `[bins, frames]` each: `hop · (frames - 1)` samples.
    #[must_use]
    pub fn inverse(&self, magnitudes: &[f32], phases: &[f32], frames: usize) -> Vec<f32> {
        let bins = self.bins();
        let padded = self.n_fft + self.hop * frames.saturating_sub(1);
        let (mut signal, mut weight) = (vec![0.0; padded], vec![0.0; padded]);
        let mut spectrum = vec![(0.0, 0.0); bins];
        for frame in 0..frames {
            for (bin, value) in spectrum.iter_mut().enumerate() {
                let (sin, cos) = f64::from(phases[bin * frames + frame]).sin_cos();
                let magnitude = f64::from(magnitudes[bin * frames + frame]) * self.share(bin);
                *value = (magnitude * cos, magnitude * sin);
            }
            let start = frame * self.hop;
            for n in 0..self.n_fft {
                let sum: f64 =
                    spectrum.iter().zip(&self.basis).map(|((re, im), basis)| re * basis[n].0 - im * basis[n].1).sum();
                signal[start + n] += sum * self.window[n] / self.n_fft as f64;
                weight[start + n] += self.window[n] * self.window[n];
            }
        }
        let inside = self.n_fft / 2..padded - self.n_fft / 2;
        let normalised = |(value, weight): (&f64, &f64)| match self.form {
            Form::Complex if *weight > WINDOW_FLOOR => (value / weight) as f32,
            _ => *value as f32,
        };
        signal[inside.clone()].iter().zip(&weight[inside]).map(normalised).collect()
    }

    /// How often a bin of the half spectrum counts.
    fn share(&self, bin: usize) -> f64 {
        match self.form {
            Form::Complex if bin != 0 && 2 * bin != self.n_fft => 2.0,
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let signal: Vec<f32> = (0..600).map(|i| (i as f32 * 0.3).sin() * 0.5).collect();
        let stft = Stft::new(20, 5, Form::Complex);
        let spectrum = stft.transform(&signal);
        let (magnitudes, phases) = spectrum.split_at(spectrum.len() / 2);
        let back = stft.inverse(magnitudes, phases, 121);
        assert_eq!(back.len(), signal.len());
        assert!(back.iter().zip(&signal).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn a_constant_has_no_phase_but_that_of_its_sign() {
        for form in [Form::Complex, Form::Real] {
            let spectrum = Stft::new(20, 5, form).transform(&[-0.5; 40]);
            let phases_of_bin_0 = &spectrum[11 * 9..12 * 9];
            assert_eq!(phases_of_bin_0, [std::f32::consts::PI; 9], "{form:?}");
        }
    }
}
