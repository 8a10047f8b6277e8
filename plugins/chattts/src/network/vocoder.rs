//! Vocos: sound out of log-mel frames.

use tch::Tensor;

use super::{
    convnext::{Block, Context, Conv, Norm},
    linear::Pointwise,
    place::{Place, Precision},
    weights::{Weights, size, values},
};
use crate::error::ChatTtsError;

/// Samples of a frame.
const N_FFT: usize = 1024;
/// Samples from frame to frame.
const HOP: usize = 256;
/// Samples that are cut off at both ends.
const CENTER: usize = N_FFT / 2;
/// Largest magnitude. Source: `vocos/heads.py:ISTFTHead`.
const LOUDEST: f64 = 100.0;

/// The vocoder.
pub struct Vocoder {
    embed: Conv,
    norm: Norm,
    blocks: Vec<Block>,
    final_norm: Norm,
    head: Pointwise,
    window: Tensor,
    /// Squares of the window.
    envelope: Vec<f32>,
}

/// Where a [`Vocoder`] is in an utterance.
#[derive(Debug, Default)]
pub struct VocoderState {
    embed: Context,
    blocks: Vec<Context>,
    overlap: Overlap,
}

/// Sums of windowed frames, and of squared windows, from the next sample on.
#[derive(Debug, Default)]
struct Overlap {
    sums: Vec<f32>,
    weights: Vec<f32>,
    frames: usize,
}

impl Vocoder {
    /// Loads `Vocos.safetensors`.
    ///
    /// # Errors
    /// Tensors are missing or don't fit.
    pub fn load(weights: &Weights<'_>) -> Result<Self, ChatTtsError> {
        let backbone = weights.part("backbone");
        let block = |index| Block::load(&backbone.part(format_args!("convnext.{index}")), 1, "gamma");
        let out = weights.part("head.out");
        // Phases are worth their exact value, and it is a small part of the work.
        let exact = Place { precision: Precision::Float32, ..weights.place };
        let window = weights.exact("head.istft.window")?;
        Ok(Self {
            embed: Conv::load(&backbone, "embed")?,
            norm: Norm::load(&backbone, "norm")?,
            blocks: (0..backbone.count("convnext")).map(block).collect::<Result<_, _>>()?,
            final_norm: Norm::load(&backbone, "final_layer_norm")?,
            head: Pointwise::new(&out.stored("weight")?, &out.stored("bias")?, exact)?,
            envelope: values(&window)?.into_iter().map(|value| value * value).collect(),
            window,
        })
    }

    /// The samples that the next log-mel frames `[1, mels, frames]` make final.
    ///
    /// # Errors
    /// The device failed.
    pub fn push(&self, state: &mut VocoderState, mel: Option<Tensor>, is_last: bool) -> Result<Vec<f32>, ChatTtsError> {
        state.blocks.resize_with(self.blocks.len(), Context::default);
        let x = self.embed.push(&mut state.embed, mel, is_last)?;
        let normed = |x: Tensor| self.norm.forward(&x.f_transpose(1, 2)?)?.f_transpose(1, 2);
        let mut x = x.map(normed).transpose()?;
        for (block, context) in self.blocks.iter().zip(&mut state.blocks) {
            x = block.push(context, x, is_last)?;
        }
        let mut samples = Vec::new();
        if let Some(x) = x {
            let normed = self.final_norm.forward(&x.f_transpose(1, 2)?)?;
            state.overlap.add(&self.frames(&normed)?, &self.envelope, &mut samples);
        }
        if is_last {
            state.overlap.finish(&mut samples);
        }
        Ok(samples)
    }

    /// Windowed frames of sound, one after the other, of what comes out of the backbone, `[1, frames, channels]`.
    fn frames(&self, x: &Tensor) -> Result<Vec<f32>, ChatTtsError> {
        let spectrum = self.head.forward(x)?;
        let bins = size(&spectrum, 2) / 2;
        let magnitude = spectrum.f_narrow(2, 0, bins)?.f_exp()?.f_clamp_max(LOUDEST)?;
        let spectrum = Tensor::f_polar(&magnitude, &spectrum.f_narrow(2, bins, bins)?.f_contiguous()?)?;
        let frames = spectrum.f_fft_irfft(N_FFT as i64, -1, "backward")?.f_mul(&self.window)?;
        Ok(values(&frames)?)
    }

    /// The head alone: sound of what comes out of the backbone, `[1, frames, channels]`.
    ///
    /// # Errors
    /// The device failed.
    pub fn head(&self, x: &Tensor) -> Result<Vec<f32>, ChatTtsError> {
        let (mut overlap, mut samples) = (Overlap::default(), Vec::new());
        overlap.add(&self.frames(x)?, &self.envelope, &mut samples);
        overlap.finish(&mut samples);
        Ok(samples)
    }
}

impl Overlap {
    /// Adds windowed frames and appends the samples that no later frame touches.
    fn add(&mut self, frames: &[f32], envelope: &[f32], samples: &mut Vec<f32>) {
        for frame in frames.chunks_exact(N_FFT) {
            self.sums.resize(N_FFT, 0.0);
            self.weights.resize(N_FFT, 0.0);
            for ((sum, weight), (value, square)) in
                self.sums.iter_mut().zip(&mut self.weights).zip(frame.iter().zip(envelope))
            {
                *sum += value;
                *weight += square;
            }
            // The first two hops are in front of the sound.
            let in_front = self.frames * HOP < CENTER;
            self.frames += 1;
            self.take(HOP, if in_front { None } else { Some(samples) });
        }
    }

    /// Appends what is left but for the cut at the end, and is empty again.
    fn finish(&mut self, samples: &mut Vec<f32>) {
        let left = self.sums.len().saturating_sub(CENTER);
        // Of a single frame everything is cut.
        let in_front = (self.frames * HOP < CENTER).then(|| CENTER - self.frames * HOP);
        let skipped = in_front.unwrap_or(0).min(left);
        self.take(skipped, None);
        self.take(left - skipped, Some(samples));
        *self = Self::default();
    }

    /// Takes samples off the front.
    fn take(&mut self, count: usize, samples: Option<&mut Vec<f32>>) {
        let sums = self.sums.drain(..count);
        let weights = self.weights.drain(..count);
        let finished = sums.zip(weights).map(|(sum, weight)| sum / weight);
        match samples {
            Some(samples) => samples.extend(finished),
            None => finished.for_each(drop),
        }
    }
}
