//! Decoding a window again, warmer each time, until the text is plausible.
//!
//! Source: openai/whisper `whisper/transcribe.py: decode_with_fallback`.

use crate::window::{DecodeError, WindowOptions, WindowResult};

/// What makes a decoding implausible. `None` switches a rule off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// A more repetitive text is a loop.
    pub compression_ratio: Option<f64>,
    /// A lower mean log probability is a guess.
    pub logprob: Option<f64>,
    /// A window with a higher probability of no speech is silent, when its text is a guess.
    pub no_speech: Option<f64>,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { compression_ratio: Some(2.4), logprob: Some(-1.0), no_speech: Some(0.6) }
    }
}

impl Thresholds {
    /// Whether to try the next temperature.
    fn is_implausible(&self, result: &WindowResult) -> bool {
        let is_loop = self.compression_ratio.is_some_and(|limit| result.compression_ratio > limit);
        let is_guess = self.logprob.is_some_and(|limit| result.avg_logprob < limit);
        let is_silence = is_guess && self.no_speech.is_some_and(|limit| result.no_speech_prob > limit);
        (is_loop || is_guess) && !is_silence
    }

    /// Whether nothing is said in the window.
    #[must_use]
    pub fn is_silent(&self, result: &WindowResult) -> bool {
        let is_sure_of_text = self.logprob.is_some_and(|limit| result.avg_logprob > limit);
        self.no_speech.is_some_and(|limit| result.no_speech_prob > limit) && !is_sure_of_text
    }
}

/// The options for one temperature: beams only at 0, several samples only above.
#[must_use]
pub fn at_temperature(options: &WindowOptions, temperature: f64) -> WindowOptions {
    let mut options = WindowOptions { temperature, ..options.clone() };
    if temperature > 0.0 {
        options.beam_size = None;
        options.patience = None;
    } else {
        options.best_of = None;
    }
    options
}

/// Tries the temperatures in order and returns the first plausible result, or else the last one.
///
/// # Errors
/// Those of `decode`. `None` when there is no temperature at all.
pub fn decode_with_fallback(
    options: &WindowOptions,
    temperatures: &[f64],
    thresholds: &Thresholds,
    mut decode: impl FnMut(&WindowOptions) -> Result<WindowResult, DecodeError>,
) -> Result<Option<WindowResult>, DecodeError> {
    let mut last = None;
    for temperature in temperatures {
        let result = decode(&at_temperature(options, *temperature))?;
        let is_implausible = thresholds.is_implausible(&result);
        last = Some(result);
        if !is_implausible {
            break;
        }
    }
    Ok(last)
}
