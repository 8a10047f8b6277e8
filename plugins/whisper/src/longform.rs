//! Audio of any length: window after window, each prompted with the text before it.
//!
//! Source: openai/whisper `whisper/transcribe.py: transcribe`.

use crate::fallback::{self, Thresholds};
use crate::prompt::{Context, encode_context};
use crate::segments::{self, Window, frames_to_seconds, seconds_to_frames};
use crate::text::strip;
use crate::timing::{Hallucinations, Punctuation, Verdict, Word, WordTiming, add_word_times};
use crate::tokenizer::Tokenizer;
use crate::window::{DecodeError, WindowOptions, WindowResult};

/// Mel frames of a window: 30 s of 10 ms. Source: openai/whisper `whisper/audio.py: N_FRAMES`.
pub const WINDOW_FRAMES: usize = 3000;
/// Text that was sampled warmer than this is no context for the next window. Source: openai/whisper `transcribe`.
const PROMPT_RESET_TEMPERATURE: f64 = 0.5;
/// The temperatures that are tried. Source: openai/whisper `transcribe`.
pub const TEMPERATURES: [f64; 6] = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];

/// How a file is transcribed.
#[derive(Debug, Clone, PartialEq)]
pub struct LongformOptions {
    /// How each window is decoded; its `temperature` and `previous` are set by the loop.
    pub window: WindowOptions,
    /// Temperatures to try, in order.
    pub temperatures: Vec<f64>,
    /// When to try the next temperature, and when nothing is said.
    pub thresholds: Thresholds,
    /// Whether a window is prompted with the text before it.
    pub condition_on_previous_text: bool,
    /// Text before the first window.
    pub initial_prompt: Option<String>,
    /// Whether the initial prompt stays in front of every window.
    pub carry_initial_prompt: bool,
    /// Whether to time words.
    pub word_timestamps: bool,
    /// Marks that are merged with words.
    pub punctuation: Punctuation,
    /// Parts of the file to transcribe: start, end, start, end… in seconds; a last start without end goes on to the end of the file.
    pub clip_timestamps: Vec<f64>,
    /// Drop inventions in silences longer than this, seconds. Needs word times.
    pub hallucination_silence_threshold: Option<f64>,
    /// Whether to detect the language of each window.
    pub language_per_window: bool,
}

impl Default for LongformOptions {
    fn default() -> Self {
        Self {
            window: WindowOptions::default(),
            temperatures: TEMPERATURES.to_vec(),
            thresholds: Thresholds::default(),
            condition_on_previous_text: true,
            initial_prompt: None,
            carry_initial_prompt: false,
            word_timestamps: false,
            punctuation: Punctuation::default(),
            clip_timestamps: Vec::new(),
            hallucination_silence_threshold: None,
            language_per_window: false,
        }
    }
}

/// A stretch of transcript. The four statistics are those of its window.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// First frame of its window.
    pub seek: usize,
    /// Seconds from the start of the file.
    pub start: f64,
    /// Seconds from the start of the file.
    pub end: f64,
    /// The text, with the space before it.
    pub text: String,
    /// Text and timestamps.
    pub tokens: Vec<u32>,
    /// Log probability of each of them.
    pub logprobs: Vec<f32>,
    /// Temperature of the decoding.
    pub temperature: f64,
    /// Mean log probability.
    pub avg_logprob: f64,
    /// How repetitive the text is.
    pub compression_ratio: f64,
    /// Probability that nobody speaks.
    pub no_speech_prob: f64,
    /// Words, when they were asked for.
    pub words: Option<Vec<Word>>,
}

impl Segment {
    /// The pieces of a window, whose first frame is `seek`. They begin with its first token and leave none out between them.
    pub(crate) fn of_window(
        tokenizer: &Tokenizer,
        seek: usize,
        pieces: Vec<segments::Piece>,
        result: &WindowResult,
    ) -> Vec<Self> {
        let mut logprobs = result.logprobs.iter().copied();
        let segment = |piece: segments::Piece| Self {
            seek,
            start: piece.start,
            end: piece.end,
            text: tokenizer.decode_text(&piece.tokens),
            logprobs: logprobs.by_ref().take(piece.tokens.len()).collect(),
            tokens: piece.tokens,
            temperature: result.temperature,
            avg_logprob: result.avg_logprob,
            compression_ratio: result.compression_ratio,
            no_speech_prob: result.no_speech_prob,
            words: None,
        };
        pieces.into_iter().map(segment).collect()
    }

    /// Whether it has any timed word.
    pub(crate) fn has_words(&self) -> bool {
        self.words.as_ref().is_some_and(|words| !words.is_empty())
    }
}

/// Empties instantaneous segments and those without text.
pub(crate) fn clear_void(segments: &mut [Segment]) {
    for segment in segments.iter_mut().filter(|segment| segment.start == segment.end || strip(&segment.text).is_empty())
    {
        segment.text.clear();
        segment.tokens.clear();
        segment.logprobs.clear();
        segment.words = Some(Vec::new());
    }
}

/// What the loop asks of the model.
pub trait WindowDecoder {
    /// Decodes one window. `is_stopped` is to be asked before each step.
    ///
    /// # Errors
    /// The job was stopped, or the network failed.
    fn decode(
        &mut self,
        window: Window,
        options: &WindowOptions,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<WindowResult, DecodeError>;

    /// The language of one window; none if it can't be told apart from the file's.
    ///
    /// # Errors
    /// The network failed.
    fn language(&mut self, _window: Window) -> Result<Option<&'static str>, DecodeError> {
        Ok(None)
    }

    /// Times the words of one window; `text` holds its text tokens. Times are seconds from the start of the window.
    ///
    /// # Errors
    /// The network failed.
    fn align(&mut self, window: Window, options: &WindowOptions, text: &[u32]) -> Result<Vec<WordTiming>, DecodeError>;
}

/// Who receives the transcript.
pub trait Listener {
    /// Takes the segments of a window that was accepted (some may be void) and the frames that are done.
    /// Answers whether to go on.
    fn accept(&mut self, segments: &[Segment], frames_done: usize) -> bool;

    /// Whether the transcript is no longer wanted; asked at every step.
    fn is_stopped(&self) -> bool {
        false
    }
}

/// A transcribed file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transcript {
    /// The whole text.
    pub text: String,
    /// All segments, void ones included.
    pub segments: Vec<Segment>,
}

/// Transcribes `content_frames` frames. When the listener wants no more, what was found so far is returned.
///
/// # Errors
/// [`DecodeError::Stopped`] in the middle of a window; the network failed.
pub fn transcribe(
    decoder: &mut dyn WindowDecoder,
    tokenizer: &Tokenizer,
    options: &LongformOptions,
    n_text_ctx: usize,
    content_frames: usize,
    listener: &mut dyn Listener,
) -> Result<Transcript, DecodeError> {
    let mut state = State::new(tokenizer, options, n_text_ctx, content_frames);
    'clips: for clip in clips(&options.clip_timestamps, content_frames) {
        let mut seek = clip.start;
        while seek < clip.end {
            let window = Window { seek, frames: WINDOW_FRAMES.min(clip.end - seek) };
            let (found, next) = state.window(decoder, window, &|| listener.is_stopped())?;
            let wants_more = listener.accept(&found, next.min(content_frames));
            state.segments.extend(found);
            if !wants_more {
                break 'clips;
            }
            // Timestamps always move on; a model without their grammar must not keep us here for ever.
            seek = if next > seek { next } else { seek + window.frames };
        }
    }
    let text = tokenizer.decode(state.tokens.get(state.initial_prompt.len()..).unwrap_or_default());
    Ok(Transcript { text, segments: state.segments })
}

/// The frames of the clips, within the file.
fn clips(timestamps: &[f64], content_frames: usize) -> Vec<std::ops::Range<usize>> {
    let mut points: Vec<usize> =
        timestamps.iter().map(|seconds| seconds_to_frames(*seconds).min(content_frames)).collect();
    if points.is_empty() {
        points.push(0);
    }
    if points.len() % 2 == 1 {
        points.push(content_frames);
    }
    points.as_chunks::<2>().0.iter().map(|[start, end]| *start..*end).collect()
}

/// What goes from window to window.
struct State<'a> {
    tokenizer: &'a Tokenizer,
    options: &'a LongformOptions,
    content_frames: usize,
    /// Tokens of a prompt at most.
    prompt_room: usize,
    initial_prompt: Vec<u32>,
    /// The initial prompt and the tokens of all segments.
    tokens: Vec<u32>,
    /// Context starts here in `tokens`.
    prompt_reset_since: usize,
    segments: Vec<Segment>,
    /// End of the last word, seconds.
    last_speech_end: f64,
    /// No window was decoded yet.
    is_first: bool,
}

impl<'a> State<'a> {
    fn new(tokenizer: &'a Tokenizer, options: &'a LongformOptions, n_text_ctx: usize, content_frames: usize) -> Self {
        let initial_prompt =
            options.initial_prompt.as_deref().map(|text| encode_context(tokenizer, text)).unwrap_or_default();
        Self {
            tokenizer,
            options,
            content_frames,
            prompt_room: (n_text_ctx / 2).saturating_sub(1),
            tokens: initial_prompt.clone(),
            initial_prompt,
            prompt_reset_since: 0,
            segments: Vec::new(),
            last_speech_end: 0.0,
            is_first: true,
        }
    }

    /// Decodes a window and returns its segments and where the next one starts.
    fn window(
        &mut self,
        decoder: &mut dyn WindowDecoder,
        window: Window,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<(Vec<Segment>, usize), DecodeError> {
        let after = window.seek + window.frames;
        let mut decoding =
            WindowOptions { previous: Some(Context::Tokens(self.context())), ..self.options.window.clone() };
        if !std::mem::take(&mut self.is_first) {
            decoding.prefix = None;
        }
        if self.options.language_per_window
            && let Some(language) = decoder.language(window)?
        {
            language.clone_into(&mut decoding.language);
        }
        let thresholds = &self.options.thresholds;
        let result = fallback::decode_with_fallback(&decoding, &self.options.temperatures, thresholds, |options| {
            decoder.decode(window, options, is_stopped)
        })?;
        let Some(result) = result.filter(|result| !thresholds.is_silent(result)) else {
            return Ok((Vec::new(), after));
        };

        let split = segments::split(&result.tokens, self.tokenizer.specials().timestamp_begin, window);
        let mut found = Segment::of_window(self.tokenizer, window.seek, split.pieces, &result);
        let mut seek = split.seek;
        if self.options.word_timestamps {
            match self.time_words(decoder, window, &decoding, &mut found, (seek, split.single_timestamp_ending))? {
                Timed::Accepted { next } => seek = next,
                Timed::Rejected { next } => return Ok((Vec::new(), next)),
            }
        }
        clear_void(&mut found);

        self.tokens.extend(found.iter().flat_map(|segment| &segment.tokens));
        if !self.options.condition_on_previous_text || result.temperature > PROMPT_RESET_TEMPERATURE {
            self.prompt_reset_since = self.tokens.len();
        }
        Ok((found, seek))
    }

    /// Times the words of a window's segments and settles, with their help, where the next window starts.
    fn time_words(
        &mut self,
        decoder: &mut dyn WindowDecoder,
        window: Window,
        decoding: &WindowOptions,
        found: &mut Vec<Segment>,
        (mut next, single_timestamp_ending): (usize, bool),
    ) -> Result<Timed, DecodeError> {
        let eot = self.tokenizer.specials().eot;
        let text: Vec<u32> =
            found.iter().flat_map(|segment| &segment.tokens).copied().filter(|token| *token < eot).collect();
        let alignment = if text.is_empty() { Vec::new() } else { decoder.align(window, decoding, &text)? };
        let punctuation = &self.options.punctuation;
        add_word_times(found, alignment, eot, window.start(), self.last_speech_end, punctuation);

        let last_word_end = end_of(found).filter(|end| *end > window.start() && !single_timestamp_ending);
        if let Some(end) = last_word_end {
            next = seconds_to_frames(end);
        }
        if let Some(threshold) = self.options.hallucination_silence_threshold {
            if last_word_end.is_some_and(|end| window_end(window) - end <= threshold) {
                next = window.seek + window.frames;
            }
            let circumstances = Hallucinations {
                threshold,
                punctuation,
                window,
                window_end: window_end(window),
                content_frames: self.content_frames,
                last_speech_end: self.last_speech_end,
            };
            match circumstances.judge(found) {
                Verdict::Keep => {}
                Verdict::Restart { seek } => return Ok(Timed::Rejected { next: seek }),
                Verdict::KeepFirst { segments, seek } => {
                    found.truncate(segments);
                    next = seek;
                }
            }
        }
        if let Some(end) = end_of(found) {
            self.last_speech_end = end;
        }
        Ok(Timed::Accepted { next })
    }

    /// The tokens before the next window, as many as a prompt holds.
    fn context(&self) -> Vec<u32> {
        if !self.options.carry_initial_prompt {
            return self.tokens[self.prompt_reset_since..].to_vec();
        }
        let rest = &self.tokens[self.initial_prompt.len().max(self.prompt_reset_since)..];
        let room = self.prompt_room.saturating_sub(self.initial_prompt.len());
        // An initial prompt that fills the room leaves none for the rest (where the reference, slicing [-0:], would take all).
        [self.initial_prompt.as_slice(), &rest[rest.len().saturating_sub(room)..]].concat()
    }
}

/// What word times said about a window.
enum Timed {
    /// It stands; the next one starts here.
    Accepted { next: usize },
    /// Its text was invented; decode again from here.
    Rejected { next: usize },
}

/// End of a full window, seconds.
fn window_end(window: Window) -> f64 {
    frames_to_seconds(window.seek + WINDOW_FRAMES)
}

/// End of the last word, or else of the last segment.
fn end_of(segments: &[Segment]) -> Option<f64> {
    let words = segments.iter().rev().filter_map(|segment| segment.words.as_ref()?.last());
    words.map(|word| word.end).next().or_else(|| segments.last().map(|segment| segment.end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer;

    /// Says the same in every window; the second one is French.
    #[derive(Default)]
    struct Parrot {
        tokens: Vec<u32>,
        windows: Vec<Window>,
        /// What it was decoded and timed in.
        languages: Vec<String>,
        prefixes: Vec<bool>,
    }

    impl WindowDecoder for Parrot {
        fn decode(
            &mut self,
            window: Window,
            options: &WindowOptions,
            _: &dyn Fn() -> bool,
        ) -> Result<WindowResult, DecodeError> {
            self.windows.push(window);
            self.languages.push(options.language.clone());
            self.prefixes.push(options.prefix.is_some());
            Ok(WindowResult {
                tokens: self.tokens.clone(),
                logprobs: vec![-0.1; self.tokens.len()],
                text: "a".to_owned(),
                avg_logprob: -0.1,
                temperature: options.temperature,
                compression_ratio: 1.0,
                ..WindowResult::default()
            })
        }

        fn language(&mut self, window: Window) -> Result<Option<&'static str>, DecodeError> {
            Ok(if window.seek == 3000 { Some("fr") } else { None })
        }

        fn align(&mut self, _: Window, options: &WindowOptions, _: &[u32]) -> Result<Vec<WordTiming>, DecodeError> {
            self.languages.push(format!("words in {}", options.language));
            Ok(Vec::new())
        }
    }

    /// Takes so many windows.
    struct Patience(usize);

    impl Listener for Patience {
        fn accept(&mut self, _: &[Segment], _: usize) -> bool {
            self.0 -= 1;
            self.0 > 0
        }
    }

    fn run(tokens: Vec<u32>, options: &LongformOptions, frames: usize, windows: usize) -> (Transcript, Vec<Window>) {
        let mut parrot = Parrot { tokens, ..Parrot::default() };
        let found = transcribe(&mut parrot, &tokenizer::of_bytes(), options, 448, frames, &mut Patience(windows));
        (found.expect("transcribes"), parrot.windows)
    }

    #[test]
    fn output_that_does_not_move_on_still_comes_to_an_end() {
        let begin = tokenizer::of_bytes().specials().timestamp_begin;
        let (_, windows) = run(vec![begin, begin, 65], &LongformOptions::default(), 7000, 100);
        assert_eq!(windows.iter().map(|window| window.seek).collect::<Vec<_>>(), [0, 3000, 6000]);
    }

    #[test]
    fn each_window_has_its_language_and_the_first_its_prefix() {
        let mut parrot = Parrot { tokens: vec![65], ..Parrot::default() };
        let options = LongformOptions {
            window: WindowOptions { prefix: Some(Context::Text("Oh".to_owned())), ..WindowOptions::default() },
            word_timestamps: true,
            language_per_window: true,
            ..LongformOptions::default()
        };
        let found = transcribe(&mut parrot, &tokenizer::of_bytes(), &options, 448, 9000, &mut Patience(9));
        assert_eq!(found.expect("transcribes").segments.len(), 3);
        assert_eq!(parrot.languages, ["en", "words in en", "fr", "words in fr", "en", "words in en"]);
        assert_eq!(parrot.prefixes, [true, false, false]);
    }

    #[test]
    fn a_listener_that_has_enough_gets_no_more() {
        let (found, windows) = run(vec![65], &LongformOptions::default(), 90_000, 2);
        assert_eq!((windows.len(), found.segments.len(), found.text.as_str()), (2, 2, "AA"));
    }

    #[test]
    fn empty_audio_and_clips_outside_of_it_have_no_windows() {
        assert!(run(vec![65], &LongformOptions::default(), 0, 9).1.is_empty());
        let options = LongformOptions { clip_timestamps: vec![50.0, 60.0, 5.0, 2.0], ..LongformOptions::default() };
        assert!(run(vec![65], &options, 1000, 9).1.is_empty());
    }

    #[test]
    fn clips_end_with_the_audio() {
        assert_eq!(clips(&[1.0, 2.0, 5.0], 800), [100..200, 500..800]);
        assert_eq!(clips(&[1.0, 2.0, 3.0, 99.0], 800), [100..200, 300..800]);
        assert_eq!(clips(&[], 800).first(), Some(&(0..800)));
    }

    #[test]
    fn without_temperatures_nothing_is_found() {
        let options = LongformOptions { temperatures: Vec::new(), ..LongformOptions::default() };
        assert!(run(vec![65], &options, 1000, 9).0.segments.is_empty());
    }
}
