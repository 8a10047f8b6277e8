//! From samples to what networks hear: Kaldi's log mel energies, stacked ([`lfr`]) and normalised ([`cmvn`]).

pub mod cmvn;
pub mod lfr;
pub mod online;

use std::path::Path;

use syrinx_plugin_common::dsp::{Fbank, FbankOptions, KaldiWindow};

use crate::config::FrontendConfig;
use crate::error::FunasrError;
use cmvn::Cmvn;

/// The models were trained on 16-bit samples.
const SAMPLE_SCALE: f32 = 32768.0;

/// Features of a signal: `[frames, dim]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// Row-major values.
    pub data: Vec<f32>,
    /// Rows.
    pub frames: usize,
    /// Values of a row.
    pub dim: usize,
}

/// The front end of recognisers and of the voice activity detector.
#[derive(Clone, Debug)]
pub struct Frontend {
    fbank: Fbank,
    stack: usize,
    step: usize,
    cmvn: Option<Cmvn>,
}

impl Frontend {
    /// Makes it from a model's settings and statistics.
    ///
    /// # Errors
    /// The statistics can't be read or are of another width.
    pub fn load(config: &FrontendConfig, cmvn: Option<&Path>) -> Result<Self, FunasrError> {
        let fbank = Fbank::new(&FbankOptions {
            sample_rate: config.fs,
            window: KaldiWindow::Hamming,
            n_mels: config.n_mels,
            frame_length_ms: config.frame_length,
            frame_shift_ms: config.frame_shift,
            scale: SAMPLE_SCALE,
        });
        let (stack, step) = (config.lfr_m.max(1), config.lfr_n.max(1));
        let cmvn = match cmvn {
            Some(path) => {
                let cmvn = Cmvn::read(path)?;
                let dim = config.n_mels * stack;
                if cmvn.dim() != dim {
                    let reason = format!("has statistics of {} values, but features have {dim}", cmvn.dim());
                    return Err(FunasrError::file(path, reason));
                }
                Some(cmvn)
            }
            None => None,
        };
        Ok(Self { fbank, stack, step, cmvn })
    }

    /// Values of a row.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.fbank.n_mels() * self.stack
    }

    /// Features of all of `samples`; none of less than one frame.
    #[must_use]
    pub fn features(&self, samples: &[f32]) -> Features {
        let fbank = self.fbank.compute(samples);
        let mut data = lfr::stack(&fbank, self.fbank.n_mels(), self.stack, self.step);
        if let Some(cmvn) = &self.cmvn {
            cmvn.apply(&mut data);
        }
        Features { frames: data.len() / self.dim(), dim: self.dim(), data }
    }
}
