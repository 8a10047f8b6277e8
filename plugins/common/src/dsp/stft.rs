//! Short-time power spectra of real signals.

use std::fmt;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// `0.5 − 0.5 cos(2πi / length)`: Hann's window for transforms that tile (`torch.hann_window` with its default `periodic=True`).
pub fn periodic_hann(length: usize) -> Vec<f32> {
    let step = std::f64::consts::TAU / length as f64;
    (0..length).map(|i| (0.5 - 0.5 * (step * i as f64).cos()) as f32).collect()
}

/// `|FFT(window · frame)|²`, with its plan and work space; one per thread.
pub struct PowerStft {
    plan: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    frame: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
}

impl fmt::Debug for PowerStft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PowerStft").field("n_fft", &self.window.len()).finish_non_exhaustive()
    }
}

impl Clone for PowerStft {
    fn clone(&self) -> Self {
        Self {
            plan: Arc::clone(&self.plan),
            window: self.window.clone(),
            frame: self.frame.clone(),
            spectrum: self.spectrum.clone(),
            scratch: self.scratch.clone(),
        }
    }
}

impl PowerStft {
    /// Transforms of the window's length.
    pub fn new(window: Vec<f32>) -> Self {
        let plan = RealFftPlanner::new().plan_fft_forward(window.len());
        Self {
            frame: plan.make_input_vec(),
            spectrum: plan.make_output_vec(),
            scratch: plan.make_scratch_vec(),
            plan,
            window,
        }
    }

    /// Samples of a frame.
    pub fn n_fft(&self) -> usize {
        self.window.len()
    }

    /// Values of a spectrum: `n_fft / 2 + 1`.
    pub fn bins(&self) -> usize {
        self.spectrum.len()
    }

    /// The power spectrum of one frame of `n_fft` samples, into `power` (`bins` values).
    ///
    /// # Panics
    /// `samples` or `power` are of another length.
    pub fn power(&mut self, samples: &[f32], power: &mut [f32]) {
        assert_eq!(samples.len(), self.window.len(), "samples of a frame");
        assert_eq!(power.len(), self.spectrum.len(), "bins of a spectrum");
        for ((frame, sample), window) in self.frame.iter_mut().zip(samples).zip(&self.window) {
            *frame = sample * window;
        }
        let done = self.plan.process_with_scratch(&mut self.frame, &mut self.spectrum, &mut self.scratch);
        debug_assert!(done.is_ok(), "the buffers were made by the plan");
        for (power, value) in power.iter_mut().zip(&self.spectrum) {
            *power = value.norm_sqr();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_found_in_its_bin() {
        let n = 400;
        let mut stft = PowerStft::new(periodic_hann(n));
        let tone: Vec<f32> = (0..n).map(|i| (std::f32::consts::TAU * 40.0 * i as f32 / n as f32).cos()).collect();
        let mut power = vec![0.0; stft.bins()];
        stft.power(&tone, &mut power);
        let peak = (0..power.len()).max_by(|&a, &b| power[a].total_cmp(&power[b]));
        assert_eq!(peak, Some(40));
        assert!((power[40] - 100.0 * 100.0).abs() < 1.0, "amplitude n/4 of a unit tone under Hann's window, squared");
        assert!(power[43] < 1e-3);
    }
}
