//! Signal features: short-time Fourier transforms and mel filter banks.

mod mel;
mod stft;

pub use mel::{MelFilters, slaney_filters};
pub use stft::{PowerStft, periodic_hann};
