//! The front end for audio that arrives piece by piece.

use super::{Features, Frontend, lfr};

/// Keeps a logarithm finite. Source: FunASR `fsmn_vad_streaming/model.py: ComputeDecibel`.
const ENERGY_OFFSET: f64 = 1e-6;

/// What a piece of audio has completed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// Features whose right context is there.
    pub features: Features,
    /// Level of each of those frames, dB of the sum of squares. Only meaningful where stacks are as dense as frames.
    pub decibels: Vec<f32>,
}

/// State between pieces.
#[derive(Clone, Debug)]
pub struct OnlineFrontend<'a> {
    frontend: &'a Frontend,
    /// Samples from the first one of the next frame on.
    samples: Vec<f32>,
    /// Log mel energies from frame `first` on.
    frames: Vec<f32>,
    levels: Vec<f32>,
    first: usize,
    /// Stacks that were handed out.
    outputs: usize,
}

impl<'a> OnlineFrontend<'a> {
    /// Before any audio.
    #[must_use]
    pub fn new(frontend: &'a Frontend) -> Self {
        Self { frontend, samples: Vec::new(), frames: Vec::new(), levels: Vec::new(), first: 0, outputs: 0 }
    }

    /// Takes the next samples; `last` says that none follow.
    pub fn push(&mut self, samples: &[f32], last: bool) -> Block {
        let Frontend { fbank, stack, step, cmvn } = self.frontend;
        let (n_mels, shift) = (fbank.n_mels(), fbank.frame_shift());
        self.samples.extend_from_slice(samples);
        let new = fbank.frames(self.samples.len());
        self.frames.extend(fbank.compute(&self.samples));
        let level = |t: usize| decibel(&self.samples[t * shift..t * shift + fbank.frame_length()]);
        self.levels.extend((0..new).map(level));
        self.samples.drain(..new * shift);

        let total = self.first + self.frames.len() / n_mels;
        let mut data = Vec::new();
        let mut decibels = Vec::new();
        loop {
            let is_complete = lfr::source(self.outputs, stack - 1, *stack, *step) < total;
            let is_wanted = is_complete || (last && self.outputs * step < total);
            if !is_wanted {
                break;
            }
            for position in 0..*stack {
                let frame = lfr::source(self.outputs, position, *stack, *step).min(total - 1) - self.first;
                data.extend_from_slice(&self.frames[frame * n_mels..(frame + 1) * n_mels]);
            }
            decibels.push(self.levels[(self.outputs * step).min(total - 1) - self.first]);
            self.outputs += 1;
        }
        if let Some(cmvn) = cmvn {
            cmvn.apply(&mut data);
        }
        // Frames that no later stack reaches.
        let unused = lfr::source(self.outputs, 0, *stack, *step).min(total).saturating_sub(self.first);
        self.frames.drain(..unused * n_mels);
        self.levels.drain(..unused);
        self.first += unused;
        let dim = self.frontend.dim();
        Block { features: Features { frames: data.len() / dim, dim, data }, decibels }
    }
}

/// Level of a frame of samples in −1…1.
#[must_use]
pub fn decibel(samples: &[f32]) -> f32 {
    let energy: f64 = samples.iter().map(|&sample| f64::from(sample) * f64::from(sample)).sum();
    (10.0 * (energy + ENERGY_OFFSET).log10()) as f32
}
