//! From hidden states, or codes, to samples while they arrive.

use tch::{Device, Tensor};

use super::{Checkpoint, Dvae, MelDecoder, MelState, Place, Precision, Vocoder, VocoderState, values};
use crate::{config::ModelFiles, error::ChatTtsError, generate::CODEBOOKS};

/// Decoder and vocoder, and the autoencoder for recordings.
pub struct Synthesizer {
    decoder: MelDecoder,
    vocoder: Vocoder,
    dvae: Option<Dvae>,
    device: Device,
}

/// An utterance that is being made. Samples that were given out never change.
#[derive(Debug, Default)]
pub struct Utterance {
    mel: MelState,
    vocoder: VocoderState,
}

/// Steps of the language model.
#[derive(Clone, Copy, Debug)]
pub enum Steps<'a> {
    /// `[steps, hidden]`
    Hidden(&'a [f32]),
    /// `[steps]`
    Codes(&'a [[u32; CODEBOOKS]]),
}

impl Synthesizer {
    /// Loads it at `place`. Without the autoencoder's file, recordings and codes can't be used.
    ///
    /// # Errors
    /// Files are broken.
    pub fn load(files: &ModelFiles, place: Place) -> Result<Self, ChatTtsError> {
        // 8 bits are for weights that are read for each step; here each is used for many frames.
        let precision = if place.precision == Precision::Int8 { Precision::Float32 } else { place.precision };
        let place = Place { precision, ..place };
        let dvae = files.dvae();
        // Codes of a recording are decided by rounding: exact arithmetic gives the same ones everywhere.
        let exact = Place { precision: Precision::Float32, ..place };
        let load = || Dvae::load(&Checkpoint::open(&dvae)?.weights(exact));
        Ok(Self {
            decoder: MelDecoder::load(&Checkpoint::open(&files.decoder())?.weights(place))?,
            vocoder: Vocoder::load(&Checkpoint::open(&files.vocos())?.weights(place))?,
            dvae: dvae.exists().then(load).transpose()?,
            device: place.device,
        })
    }

    /// The mel decoder.
    #[must_use]
    pub fn decoder(&self) -> &MelDecoder {
        &self.decoder
    }

    /// The vocoder.
    #[must_use]
    pub fn vocoder(&self) -> &Vocoder {
        &self.vocoder
    }

    /// The autoencoder.
    ///
    /// # Errors
    /// The model has none.
    pub fn dvae(&self) -> Result<&Dvae, ChatTtsError> {
        self.dvae.as_ref().ok_or(ChatTtsError::NoEncoder)
    }

    /// The samples that the next steps make final; `is_last` ends the utterance.
    ///
    /// # Errors
    /// The device failed; the model has no autoencoder for codes.
    pub fn push(&self, utterance: &mut Utterance, steps: Steps<'_>, is_last: bool) -> Result<Vec<f32>, ChatTtsError> {
        let mel = match steps {
            Steps::Hidden(hidden) => self.mel(&self.decoder, utterance, hidden, is_last)?,
            Steps::Codes(codes) => {
                let dvae = self.dvae()?;
                let features = if codes.is_empty() { Vec::new() } else { self.features(dvae, codes)? };
                self.mel(dvae.decoder(), utterance, &features, is_last)?
            }
        };
        self.vocoder.push(&mut utterance.vocoder, mel, is_last)
    }

    fn mel(
        &self,
        decoder: &MelDecoder,
        utterance: &mut Utterance,
        steps: &[f32],
        is_last: bool,
    ) -> Result<Option<Tensor>, ChatTtsError> {
        let x = (!steps.is_empty())
            .then(|| Tensor::f_from_slice(steps)?.f_reshape([1, -1, decoder.width()])?.f_to_device(self.device));
        decoder.push(&mut utterance.mel, x.transpose()?.as_ref(), is_last)
    }

    /// `[steps, width]`
    fn features(&self, dvae: &Dvae, codes: &[[u32; CODEBOOKS]]) -> Result<Vec<f32>, ChatTtsError> {
        let flat: Vec<i64> = codes.iter().flatten().map(|&code| i64::from(code)).collect();
        let codes = Tensor::f_from_slice(&flat)?.f_reshape([1, -1, CODEBOOKS as i64])?.f_transpose(1, 2)?;
        let features = dvae.quantizer().decode(&codes.f_to_device(self.device)?)?;
        Ok(values(&features.f_transpose(1, 2)?)?)
    }
}
