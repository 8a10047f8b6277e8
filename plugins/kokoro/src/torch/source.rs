//! The harmonic source: sines at multiples of the pitch where there is one, noise elsewhere (`kokoro.istftnet:SourceModuleHnNSF`,
//! `SineGen`). Runs on the processor, its phase in double precision: it grows to thousands of radians.

use std::f64::consts::TAU;

use rand::{Rng as _, SeedableRng as _};
use rand_distr::StandardNormal;

use super::TorchError;
use super::weights::Weights;
use crate::session::SAMPLE_RATE;

/// The fundamental and its overtones (`harmonic_num` 8).
pub const HARMONICS: usize = 9;

/// Amplitude of the sines (`sine_amp`).
const SINE_AMPLITUDE: f64 = 0.1;

/// Deviation of the noise under the sines (`noise_std`).
const VOICED_NOISE: f64 = 0.003;

/// Deviation of the noise where nothing is voiced (`sine_amp / 3`).
const UNVOICED_NOISE: f64 = SINE_AMPLITUDE / 3.0;

/// Above this pitch, in Hz, it is voiced (`voiced_threshold`).
const VOICED_ABOVE: f32 = 10.0;

/// Mixes the harmonics to one signal.
pub struct HarmonicSource {
    weights: Vec<f32>,
    bias: f32,
    /// Samples per value of pitch.
    upsampling: usize,
}

/// The noise of a run.
#[derive(Clone, Copy, Debug)]
pub enum Noise<'n> {
    /// Drawn from a generator with this seed.
    Seed(u64),
    /// Given, `[samples, harmonics]`.
    Given(&'n [f32]),
    /// None.
    Silence,
}

impl HarmonicSource {
    /// Loads the part `decoder.generator.m_source` of the checkpoint; `upsampling` is samples per value of pitch.
    pub fn load(weights: &Weights<'_>, upsampling: usize) -> Result<Self, TorchError> {
        let linear = weights.part("l_linear");
        let (_, mix) = linear.values("weight")?;
        let bias = linear.bias()?.first().copied().unwrap_or(0.0);
        if mix.len() != HARMONICS {
            return Err(linear.misshapen(&format!("{} weights for {HARMONICS} harmonics", mix.len())));
        }
        Ok(HarmonicSource { weights: mix, bias, upsampling })
    }

    /// Samples of the source for the pitch `f0`, in Hz, one value per half frame.
    ///
    /// # Errors
    ///
    /// Noise that was given has another length.
    pub fn signal(&self, f0: &[f32], noise: Noise<'_>) -> Result<Vec<f32>, TorchError> {
        let samples = f0.len() * self.upsampling;
        let drawn: Vec<f32>;
        let noise: &[f32] = match noise {
            Noise::Silence => &[],
            Noise::Given(noise) if noise.len() == samples * HARMONICS => noise,
            Noise::Given(noise) => {
                return Err(TorchError::Shape(format!("{} values of noise for {samples} samples", noise.len())));
            }
            Noise::Seed(seed) => {
                let random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
                drawn = random.sample_iter(StandardNormal).take(samples * HARMONICS).collect();
                &drawn
            }
        };
        let phases = self.phases(f0);
        let signal = |sample: usize| {
            let voiced = f0[sample / self.upsampling] > VOICED_ABOVE;
            let place = self.place(sample, f0.len());
            let mix = self.weights.iter().enumerate().map(|(harmonic, weight)| {
                let sine = if voiced { SINE_AMPLITUDE * place.between(&phases[harmonic]).sin() } else { 0.0 };
                let deviation = if voiced { VOICED_NOISE } else { UNVOICED_NOISE };
                let noise = noise.get(sample * HARMONICS + harmonic).map_or(0.0, |noise| f64::from(*noise));
                f64::from(*weight) * (sine + deviation * noise)
            });
            (mix.sum::<f64>() + f64::from(self.bias)).tanh() as f32
        };
        Ok((0..samples).map(signal).collect())
    }

    /// Phase of each harmonic at each value of pitch, radians.
    fn phases(&self, f0: &[f32]) -> Vec<Vec<f64>> {
        let harmonic = |harmonic: usize| {
            let mut turns = 0.0;
            let phase = |f0: &f32| {
                // Part of a turn per sample; the reference rounds it to float32.
                let step = (f0 * harmonic as f32 / SAMPLE_RATE as f32).rem_euclid(1.0);
                turns += f64::from(step);
                turns * TAU * self.upsampling as f64
            };
            f0.iter().map(phase).collect()
        };
        (1..=HARMONICS).map(harmonic).collect()
    }

    /// Where a sample lies between the values of pitch: torch's linear interpolation with `align_corners = false`.
    fn place(&self, sample: usize, values: usize) -> Place {
        let at = ((sample as f64 + 0.5) / self.upsampling as f64 - 0.5).max(0.0);
        let before = at as usize;
        Place { before, after: (before + 1).min(values - 1), share: at - before as f64 }
    }
}

struct Place {
    before: usize,
    after: usize,
    share: f64,
}

impl Place {
    fn between(&self, values: &[f64]) -> f64 {
        values[self.before] * (1.0 - self.share) + values[self.after] * self.share
    }
}
