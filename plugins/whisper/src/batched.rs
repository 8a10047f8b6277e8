//! Throughput: pieces of speech of up to 30 s, decoded side by side, none knowing the text of the others.
//!
//! Source: SYSTRAN/faster-whisper `faster_whisper/transcribe.py: BatchedInferencePipeline`. Unlike there, timestamps are on by default,
//! implausible pieces are decoded again at higher temperatures, and nothing that was decoded is lost.

use std::sync::Arc;

use crate::fallback;
use crate::frontend::{HOP_LENGTH, WINDOW_FRAMES};
use crate::longform::{Listener, LongformOptions, Segment, Transcript, clear_void};
use crate::model::AudioFeatures;
use crate::prompt::{Context, encode_context};
use crate::recognizer::{RecognizeError, Recognizer};
use crate::search::Uniform;
use crate::segments::{self, Window, seconds_to_frames};
use crate::sound::Sound;
use crate::timing::add_word_times;
use crate::vad::Joined;
use crate::window::{self, DecodeError, WindowOptions, WindowResult};

/// Longest piece, seconds.
pub const PIECE_SECONDS: f64 = 30.0;
/// Samples that follow a piece. Source: `faster_whisper/feature_extractor.py: FeatureExtractor.__call__`.
const PADDING: usize = HOP_LENGTH;

/// Transcribes `pieces` of `samples`, `batch_size` of them at a time. Times are those of the joined speech. The listener gets the segments
/// of each piece in order.
///
/// # Errors
/// The job was stopped; the network failed.
pub fn transcribe(
    recognizer: &Recognizer,
    samples: &[f32],
    pieces: &[Joined],
    batch_size: usize,
    options: &LongformOptions,
    uniform: &mut dyn Uniform,
    listener: &mut dyn Listener,
) -> Result<Transcript, RecognizeError> {
    let tokenizer = &recognizer.tokenizer;
    let previous = options.initial_prompt.as_deref().map(|text| Context::Tokens(encode_context(tokenizer, text)));
    let decoding = WindowOptions { previous, ..options.window.clone() };
    let mut all = Pieces { recognizer, options, decoding, last_speech_end: 0.0 };
    let mut transcript = Transcript::default();
    let mut tokens = Vec::new();
    let pieces: Vec<&Joined> = pieces.iter().filter(|piece| piece.duration > 0.0).collect();
    'batches: for batch in pieces.chunks(batch_size.max(1)) {
        let (audio, frames) = encode(recognizer, samples, batch, listener)?;
        let results = all.first_results(&audio, uniform, listener)?;
        for (((piece, audio), frames), result) in batch.iter().zip(&audio).zip(frames).zip(results) {
            let found = all.finish(piece, audio, frames, result, uniform, listener)?;
            let wants_more = listener.accept(&found, seconds_to_frames(piece.offset + piece.duration));
            tokens.extend(found.iter().flat_map(|segment| &segment.tokens));
            transcript.segments.extend(found);
            if !wants_more {
                break 'batches;
            }
        }
    }
    transcript.text = tokenizer.decode(&tokens);
    Ok(transcript)
}

/// The features of each piece, normalised by its own loudest value as in the reference, and its frames.
fn encode(
    recognizer: &Recognizer,
    samples: &[f32],
    batch: &[&Joined],
    listener: &dyn Listener,
) -> Result<(Vec<Arc<AudioFeatures>>, Vec<usize>), RecognizeError> {
    let mut audio = Vec::with_capacity(batch.len());
    let mut all_frames = Vec::with_capacity(batch.len());
    for piece in batch {
        if listener.is_stopped() {
            return Err(RecognizeError::Stopped);
        }
        let features = recognizer.features.listen(Sound::parts(samples, &piece.stretches), PADDING)?;
        let frames = features.content_frames().min(WINDOW_FRAMES);
        audio.push(recognizer.model.encode(&features.window(0, frames))?);
        all_frames.push(frames);
    }
    Ok((audio, all_frames))
}

/// What all pieces share.
struct Pieces<'a> {
    recognizer: &'a Recognizer,
    options: &'a LongformOptions,
    decoding: WindowOptions,
    /// End of the last word, seconds.
    last_speech_end: f64,
}

impl Pieces<'_> {
    /// The batch at the first temperature.
    fn first_results(
        &self,
        audio: &[Arc<AudioFeatures>],
        uniform: &mut dyn Uniform,
        listener: &dyn Listener,
    ) -> Result<Vec<WindowResult>, DecodeError> {
        let temperature = self.options.temperatures.first().copied().unwrap_or_default();
        let options = fallback::at_temperature(&self.decoding, temperature);
        let Recognizer { model, tokenizer, .. } = self.recognizer;
        window::decode_all(model, tokenizer, audio, &options, uniform, &|| listener.is_stopped())
    }

    /// The segments of a piece: decoded again if the first result is implausible, cut, timed.
    fn finish(
        &mut self,
        piece: &Joined,
        audio: &AudioFeatures,
        frames: usize,
        first: WindowResult,
        uniform: &mut dyn Uniform,
        listener: &dyn Listener,
    ) -> Result<Vec<Segment>, RecognizeError> {
        let Recognizer { model, tokenizer, .. } = self.recognizer;
        let thresholds = &self.options.thresholds;
        let mut first = Some(first);
        let result = fallback::decode_with_fallback(
            &self.decoding,
            &self.options.temperatures,
            thresholds,
            |options| match first.take() {
                Some(first) => Ok(first),
                None => {
                    window::decode(&mut model.session(audio), tokenizer, options, uniform, &|| listener.is_stopped())
                }
            },
        )?;
        let Some(result) = result.filter(|result| !thresholds.is_silent(result)) else { return Ok(Vec::new()) };

        let eot = tokenizer.specials().eot;
        let cut = segments::split_all(&result.tokens, tokenizer.specials().timestamp_begin, Window { seek: 0, frames });
        let in_piece = |time: f64| piece.offset + time.min(piece.duration);
        let mut found: Vec<Segment> = cut
            .into_iter()
            .map(|mut cut| {
                (cut.start, cut.end) = (in_piece(cut.start), in_piece(cut.end));
                Segment::new(tokenizer, seconds_to_frames(piece.offset), cut, &result)
            })
            .collect();
        if self.options.word_timestamps {
            let text: Vec<u32> =
                found.iter().flat_map(|segment| &segment.tokens).copied().filter(|token| *token < eot).collect();
            let words = match text.is_empty() {
                true => Vec::new(),
                false => self.recognizer.align(audio, &self.decoding, &text, frames)?.words,
            };
            let punctuation = &self.options.punctuation;
            add_word_times(&mut found, words, eot, piece.offset, self.last_speech_end, punctuation);
            if let Some(end) =
                found.iter().rev().find_map(|segment| segment.words.as_ref()?.last()).map(|word| word.end)
            {
                self.last_speech_end = end;
            }
        }
        clear_void(&mut found);
        Ok(found)
    }
}
