//! An oscillator: the place of a model.

use std::f32::consts::TAU;

/// A sine tone that goes on where it left off.
pub(crate) struct Tone {
    /// Radians.
    phase: f32,
    /// Radians per sample.
    step: f32,
    /// Of full scale.
    amplitude: f32,
}

impl Tone {
    /// `pitch` and `sample_rate` in Hz.
    pub(crate) fn new(pitch: f32, sample_rate: u32, amplitude: f32) -> Self {
        Self { phase: 0.0, step: TAU * pitch / sample_rate as f32, amplitude }
    }

    /// The next `count` samples.
    pub(crate) fn take(&mut self, count: usize) -> Vec<f32> {
        let mut next = || {
            self.phase = (self.phase + self.step) % TAU;
            self.amplitude * self.phase.sin()
        };
        (0..count).map(|_| next()).collect()
    }
}
