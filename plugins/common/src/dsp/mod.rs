//! Signal features: short-time Fourier transforms, mel filter banks, Kaldi's features; resampling.

mod kaldi;
mod mel;
mod resample;
mod stft;

pub use kaldi::{Fbank, FbankOptions, KaldiWindow};
pub use mel::{MelFilters, slaney_filters};
pub use resample::sinc_resample;
pub use stft::{PowerStft, periodic_hann};
