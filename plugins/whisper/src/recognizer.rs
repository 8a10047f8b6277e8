//! The network, the vocabulary and the front end put together: what is known of a file, its language, its transcript, its words.

use std::sync::Arc;

use thiserror::Error;

use crate::frontend::{Features, FrontendError, MelExtractor, WINDOW_FRAMES, WINDOW_SAMPLES};
use crate::longform::{self, Listener, LongformOptions, Transcript, WindowDecoder};
use crate::model::{AudioFeatures, ModelError, WhisperModel};
use crate::prompt::start_sequence;
use crate::search::Uniform;
use crate::segments::Window;
use crate::sound::Sound;
use crate::timing::{Alignment, Attention, WordTiming, align};
use crate::tokenizer::Tokenizer;
use crate::window::{self, DecodeError, WindowOptions, WindowResult};

/// Why there is no transcript.
#[derive(Debug, Error)]
pub enum RecognizeError {
    /// Nobody wants it any more.
    #[error("the job was cancelled")]
    Stopped,
    /// The features could not be computed.
    #[error(transparent)]
    Frontend(#[from] FrontendError),
    /// The network failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl From<DecodeError> for RecognizeError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Stopped => Self::Stopped,
            DecodeError::Model(error) => Self::Model(error),
        }
    }
}

/// A model with all that is needed around it; shared by all requests.
pub struct Recognizer {
    /// The network.
    pub model: Arc<WhisperModel>,
    /// Its vocabulary.
    pub tokenizer: Tokenizer,
    pub(crate) features: MelExtractor,
}

impl Recognizer {
    /// Puts the parts together.
    #[must_use]
    pub fn new(model: Arc<WhisperModel>, tokenizer: Tokenizer) -> Self {
        let features = MelExtractor::new(model.dims().n_mels);
        Self { model, tokenizer, features }
    }

    /// Listens to a file: 16 kHz mono samples in -1…1.
    ///
    /// # Errors
    /// Those of the front end.
    pub fn hear<'a>(&'a self, sound: Sound<'a>) -> Result<Features<'a>, RecognizeError> {
        // As the reference, 30 s of silence follow.
        Ok(self.features.listen(sound, WINDOW_SAMPLES)?)
    }

    /// Probabilities of the languages in the first 30 s, restricted to `candidates` if there are any. English models know only English.
    ///
    /// # Errors
    /// The network failed.
    pub fn detect_language(
        &self,
        file: &Features<'_>,
        candidates: &[&str],
    ) -> Result<Vec<(&'static str, f64)>, RecognizeError> {
        if !self.tokenizer.is_multilingual() {
            return Ok(vec![("en", 1.0)]);
        }
        // Silence after a short file counts as silence here, unlike in the windows that are decoded.
        let audio = self.model.encode(&file.window(0, WINDOW_FRAMES))?;
        Ok(window::detect_language(&mut self.model.session(&audio), &self.tokenizer, candidates)?)
    }

    /// Transcribes a file. `candidates` restricts the languages where they are detected per window.
    ///
    /// # Errors
    /// The job was stopped in the middle of a window; the network failed.
    pub fn transcribe(
        &self,
        file: &Features<'_>,
        options: &LongformOptions,
        candidates: &[&str],
        uniform: &mut dyn Uniform,
        listener: &mut dyn Listener,
    ) -> Result<Transcript, RecognizeError> {
        let mut decoder = FileDecoder { recognizer: self, file, candidates, uniform, encoded: None };
        let n_text_ctx = self.model.dims().n_text_ctx;
        Ok(longform::transcribe(&mut decoder, &self.tokenizer, options, n_text_ctx, file.content_frames(), listener)?)
    }

    /// Aligns text tokens with the `frames` frames of a window.
    ///
    /// # Errors
    /// The text is longer than the decoder's context; the network failed.
    pub fn align(
        &self,
        audio: &AudioFeatures,
        options: &WindowOptions,
        text: &[u32],
        frames: usize,
    ) -> Result<Alignment, ModelError> {
        let specials = self.tokenizer.specials();
        let start = start_sequence(&self.tokenizer, &options.language, options.task);
        let mut tokens = start.clone();
        tokens.push(specials.no_timestamps);
        tokens.extend(text);
        tokens.push(specials.eot);

        let heads = self.model.alignment_heads();
        let watched = self.model.cross_attention(audio, &tokens, heads)?;
        let columns = (frames / 2).min(watched.frames); // the encoder halves the frame rate
        let scores = watched.scores.chunks_exact(watched.frames).flat_map(|row| &row[..columns]).copied().collect();
        // Token i + 1 of what was fed is predicted by row i; only text competes.
        let vocabulary = self.model.dims().n_vocab;
        let rows = watched.logits.chunks_exact(vocabulary).skip(start.len());
        let probabilities: Vec<f32> = rows
            .zip(text)
            .map(|(row, token)| {
                let row = &row[..(specials.eot as usize).min(row.len())];
                row.get(*token as usize).map_or(0.0, |logit| (logit - crate::search::log_sum_exp(row)).exp())
            })
            .collect();
        let attention = Attention { scores, tokens: tokens.len(), columns };
        Ok(align(&self.tokenizer, &options.language, start.len(), text, &probabilities, &attention))
    }
}

/// Decodes the windows of one file. A window is encoded once for all its temperatures and its words.
struct FileDecoder<'a> {
    recognizer: &'a Recognizer,
    file: &'a Features<'a>,
    /// Languages that detection chooses from; none: all.
    candidates: &'a [&'a str],
    uniform: &'a mut dyn Uniform,
    encoded: Option<(Window, Arc<AudioFeatures>)>,
}

/// The encoded window, from the memory of the last one if it is the same.
fn encoded<'m>(
    last: &'m mut Option<(Window, Arc<AudioFeatures>)>,
    recognizer: &Recognizer,
    file: &Features<'_>,
    window: Window,
) -> Result<&'m AudioFeatures, ModelError> {
    let audio = match last.take() {
        Some((known, audio)) if known == window => audio,
        _ => recognizer.model.encode(&file.window(window.seek, window.frames))?,
    };
    Ok(&last.insert((window, audio)).1)
}

impl WindowDecoder for FileDecoder<'_> {
    fn decode(
        &mut self,
        window: Window,
        options: &WindowOptions,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<WindowResult, DecodeError> {
        if is_stopped() {
            return Err(DecodeError::Stopped);
        }
        let recognizer = self.recognizer;
        let audio = encoded(&mut self.encoded, recognizer, self.file, window)?;
        let mut session = recognizer.model.session(audio);
        window::decode(&mut session, &recognizer.tokenizer, options, self.uniform, is_stopped)
    }

    fn language(&mut self, window: Window) -> Result<Option<&'static str>, DecodeError> {
        let recognizer = self.recognizer;
        if !recognizer.tokenizer.is_multilingual() {
            return Ok(None);
        }
        let audio = encoded(&mut self.encoded, recognizer, self.file, window)?;
        let found =
            window::detect_language(&mut recognizer.model.session(audio), &recognizer.tokenizer, self.candidates)?;
        Ok(window::likeliest(&found).map(|(code, _)| code))
    }

    fn align(&mut self, window: Window, options: &WindowOptions, text: &[u32]) -> Result<Vec<WordTiming>, DecodeError> {
        let recognizer = self.recognizer;
        let audio = encoded(&mut self.encoded, recognizer, self.file, window)?;
        Ok(recognizer.align(audio, options, text, window.frames)?.words)
    }
}
