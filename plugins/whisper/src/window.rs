//! Decoding windows of 30 seconds: prompt, search, statistics.
//!
//! Source: openai/whisper `whisper/decoding.py: DecodingTask`.

use std::sync::Arc;

use thiserror::Error;

use crate::filters::{FilterOptions, Filters, Suppress};
use crate::model::{AudioFeatures, Batch, Feed, ModelError, Session, TokenModel, WhisperModel};
use crate::prompt::{self, Context, PromptParts, Task};
use crate::search::{self, BeamSearch, Hypothesis, Sampler, Search, Uniform, log_sum_exp};
use crate::text::{compression_ratio, strip};
use crate::tokenizer::Tokenizer;

/// How a window is decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowOptions {
    /// Transcribe or translate.
    pub task: Task,
    /// Language code; English models ignore it.
    pub language: String,
    /// 0: the likeliest tokens; above: sampling.
    pub temperature: f64,
    /// Most tokens to sample; `None`: half of the decoder's context.
    pub sample_len: Option<usize>,
    /// Sequences to sample (temperature above 0).
    pub best_of: Option<usize>,
    /// Beams (temperature 0); `None`: greedy.
    pub beam_size: Option<usize>,
    /// The search ends when `beam_size * patience` sequences have finished.
    pub patience: Option<f64>,
    /// Exponent of the length in ranking, 0–1; `None`: plain length.
    pub length_penalty: Option<f64>,
    /// Text of the windows before.
    pub previous: Option<Context>,
    /// Words that are likely.
    pub hotwords: Option<String>,
    /// Beginning of this window's text.
    pub prefix: Option<Context>,
    /// Whether `<|0.00|>` goes before the prefix, as in faster-whisper.
    pub timestamp_before_prefix: bool,
    /// Tokens that are never sampled.
    pub suppress: Suppress,
    /// Whether an empty window is forbidden.
    pub suppress_blank: bool,
    /// Whether to emit no timestamps.
    pub without_timestamps: bool,
    /// Latest first timestamp, seconds; `None` or 0: any.
    pub max_initial_timestamp: Option<f64>,
}

impl Default for WindowOptions {
    /// Source: openai/whisper `whisper/decoding.py: DecodingOptions`.
    fn default() -> Self {
        Self {
            task: Task::Transcribe,
            language: "en".to_owned(),
            temperature: 0.0,
            sample_len: None,
            best_of: None,
            beam_size: None,
            patience: None,
            length_penalty: None,
            previous: None,
            hotwords: None,
            prefix: None,
            timestamp_before_prefix: false,
            suppress: Suppress::NonSpeech,
            suppress_blank: true,
            without_timestamps: false,
            max_initial_timestamp: Some(1.0),
        }
    }
}

/// Options that contradict each other.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum OptionsError {
    /// Beam search and sampling exclude each other.
    #[error("beam_size and best_of can't be given together")]
    BeamAndBestOf,
    /// The likeliest sequence is the same every time.
    #[error("best_of with greedy sampling (T=0) is not compatible")]
    BestOfGreedy,
    /// Patience is about beams.
    #[error("patience requires beam_size to be given")]
    PatienceWithoutBeams,
    /// Out of range.
    #[error("length_penalty (alpha) should be a value between 0 and 1")]
    LengthPenalty,
    /// No sequence could ever finish.
    #[error("Invalid beam size ({beam_size}) or patience ({})", patience.map_or("None".to_owned(), |p| p.to_string()))]
    NoCandidates {
        /// As given.
        beam_size: usize,
        /// As given.
        patience: Option<f64>,
    },
}

impl WindowOptions {
    /// Checks that the options go together.
    ///
    /// # Errors
    /// The first rule that is broken, in the order of openai/whisper `DecodingTask._verify_options`.
    pub fn validate(&self) -> Result<(), OptionsError> {
        if self.beam_size.is_some() && self.best_of.is_some() {
            return Err(OptionsError::BeamAndBestOf);
        }
        if self.temperature <= 0.0 && self.best_of.is_some() {
            return Err(OptionsError::BestOfGreedy);
        }
        if self.patience.is_some() && self.beam_size.is_none() {
            return Err(OptionsError::PatienceWithoutBeams);
        }
        if self.length_penalty.is_some_and(|alpha| !(0.0..=1.0).contains(&alpha)) {
            return Err(OptionsError::LengthPenalty);
        }
        match self.beam_size {
            Some(beam_size) if search::max_candidates(beam_size, self.patience) == 0 => {
                Err(OptionsError::NoCandidates { beam_size, patience: self.patience })
            }
            _ => Ok(()),
        }
    }

    /// The prompt that these options make.
    #[must_use]
    pub fn prompt(&self, tokenizer: &Tokenizer, n_text_ctx: usize) -> prompt::Prompt {
        prompt::build(
            tokenizer,
            PromptParts {
                language: &self.language,
                task: self.task,
                without_timestamps: self.without_timestamps,
                previous: self.previous.as_ref(),
                hotwords: self.hotwords.as_deref(),
                prefix: self.prefix.as_ref(),
                timestamp_before_prefix: self.timestamp_before_prefix,
                sample_len: self.sample_len(n_text_ctx),
                n_text_ctx,
            },
        )
    }

    /// Most tokens to sample.
    #[must_use]
    pub fn sample_len(&self, n_text_ctx: usize) -> usize {
        self.sample_len.filter(|length| *length > 0).unwrap_or(n_text_ctx / 2)
    }

    /// The logit filters that these options make.
    #[must_use]
    pub fn filters(&self, tokenizer: &Tokenizer) -> Filters {
        Filters::new(
            tokenizer,
            &FilterOptions {
                suppress_blank: self.suppress_blank,
                suppress: self.suppress.clone(),
                without_timestamps: self.without_timestamps,
                max_initial_timestamp: self.max_initial_timestamp,
            },
        )
    }
}

/// A decoded window.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowResult {
    /// Text and timestamps, without the prompt and the end of text.
    pub tokens: Vec<u32>,
    /// The text, trimmed.
    pub text: String,
    /// Mean log probability of the tokens, the end of text included.
    pub avg_logprob: f64,
    /// Probability that nobody speaks.
    pub no_speech_prob: f64,
    /// Temperature of the decoding.
    pub temperature: f64,
    /// How repetitive the text is.
    pub compression_ratio: f64,
}

/// Why a window was not decoded.
#[derive(Debug, Error, PartialEq)]
pub enum DecodeError {
    /// Nobody wants the result any more.
    #[error("the job was cancelled")]
    Stopped,
    /// The network failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Decodes one window with a fresh session on it. `is_stopped` is asked before each step.
///
/// # Errors
/// The job was stopped, or the network failed.
pub fn decode(
    model: &mut dyn TokenModel,
    tokenizer: &Tokenizer,
    options: &WindowOptions,
    uniform: &mut dyn Uniform,
    is_stopped: &dyn Fn() -> bool,
) -> Result<WindowResult, DecodeError> {
    let mut decoding = Decoding::new(tokenizer, options, model.context());
    let mut logits = Vec::new();
    loop {
        model.forward(&decoding.tokens, &decoding.positions, &mut logits)?;
        if is_stopped() {
            return Err(DecodeError::Stopped);
        }
        match decoding.accept(&mut logits, uniform) {
            Progress::Done => return Ok(decoding.finish()),
            Progress::Continue => {}
            Progress::Reorder(sources) => model.reorder(&sources)?,
        }
    }
}

/// Decodes several windows at once: each step reads the weights once for all of them. Results are in the order of `audio`.
///
/// # Errors
/// The job was stopped, or the network failed.
pub fn decode_all(
    model: &WhisperModel,
    tokenizer: &Tokenizer,
    audio: &[Arc<AudioFeatures>],
    options: &WindowOptions,
    uniform: &mut dyn Uniform,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Vec<WindowResult>, DecodeError> {
    struct Running<'t> {
        session: Session,
        decoding: Decoding<'t>,
        logits: Vec<f32>,
        is_done: bool,
    }
    let mut windows: Vec<Running<'_>> = audio
        .iter()
        .map(|audio| Running {
            session: model.session(audio),
            decoding: Decoding::new(tokenizer, options, model.dims().n_text_ctx),
            logits: Vec::new(),
            is_done: false,
        })
        .collect();
    let mut batch = Batch::default();
    loop {
        let mut feeds: Vec<Feed<'_>> = windows
            .iter_mut()
            .filter(|window| !window.is_done)
            .map(|window| Feed {
                session: &mut window.session,
                tokens: &window.decoding.tokens,
                positions: &window.decoding.positions,
                logits: &mut window.logits,
            })
            .collect();
        if feeds.is_empty() {
            return Ok(windows.into_iter().map(|window| window.decoding.finish()).collect());
        }
        batch.forward(model, &mut feeds)?;
        drop(feeds);
        if is_stopped() {
            return Err(DecodeError::Stopped);
        }
        for window in windows.iter_mut().filter(|window| !window.is_done) {
            match window.decoding.accept(&mut window.logits, uniform) {
                Progress::Done => window.is_done = true,
                Progress::Continue => {}
                Progress::Reorder(sources) => window.session.reorder(&sources)?,
            }
        }
    }
}

/// What to do after a step.
enum Progress {
    /// Nothing more.
    Done,
    /// Feed the next tokens to the sequences as they are.
    Continue,
    /// Let the sequences continue these ones first.
    Reorder(Vec<usize>),
}

/// One window on its way: what to feed next, and what was found so far.
struct Decoding<'t> {
    tokenizer: &'t Tokenizer,
    temperature: f64,
    length_penalty: Option<f64>,
    filters: Filters,
    search: Search,
    hypotheses: Vec<Hypothesis>,
    /// To be fed next: the prompt, then a token for each sequence.
    tokens: Vec<u32>,
    /// The positions among them whose logits are needed.
    positions: Vec<usize>,
    prompt_len: usize,
    sampled: usize,
    sample_len: usize,
    context: usize,
    no_speech_prob: f64,
}

impl<'t> Decoding<'t> {
    fn new(tokenizer: &'t Tokenizer, options: &WindowOptions, context: usize) -> Self {
        let prompt = options.prompt(tokenizer, context);
        let eot = tokenizer.specials().eot;
        Self {
            tokenizer,
            temperature: options.temperature,
            length_penalty: options.length_penalty,
            filters: options.filters(tokenizer),
            search: match options.beam_size {
                Some(beam_size) => Search::Beam(BeamSearch::new(beam_size, options.patience, eot)),
                None => Search::Sample(Sampler::new(options.temperature, options.best_of.unwrap_or(1), eot)),
            },
            // One sequence is enough until the first token is chosen.
            hypotheses: vec![Hypothesis::default()],
            positions: vec![prompt.sot_index, prompt.tokens.len() - 1],
            prompt_len: prompt.tokens.len(),
            tokens: prompt.tokens,
            sampled: 0,
            sample_len: options.sample_len(context),
            context,
            no_speech_prob: 0.0,
        }
    }

    /// Takes the logits of what was fed, `[sequences, positions, vocabulary]`.
    fn accept(&mut self, logits: &mut Vec<f32>, uniform: &mut dyn Uniform) -> Progress {
        let vocabulary = logits.len() / (self.hypotheses.len() * self.positions.len());
        if self.sampled == 0 {
            self.no_speech_prob = probability(&logits[..vocabulary], self.tokenizer.specials().no_speech);
            logits.drain(..vocabulary);
            self.positions = vec![0];
        }
        for (row, hypothesis) in logits.chunks_exact_mut(vocabulary).zip(&self.hypotheses) {
            self.filters.apply(row, &hypothesis.tokens);
        }
        let before = self.hypotheses.len();
        let rows: Vec<&[f32]> = logits.chunks_exact(vocabulary).collect();
        let step = self.search.step(&mut self.hypotheses, &rows, uniform);
        self.sampled += 1;
        if step.done || self.prompt_len + self.sampled > self.context || self.sampled == self.sample_len {
            return Progress::Done;
        }
        self.tokens.clear();
        self.tokens.extend(self.hypotheses.iter().filter_map(|hypothesis| hypothesis.tokens.last()));
        if before != step.sources.len() || step.sources.iter().enumerate().any(|(i, source)| i != *source) {
            Progress::Reorder(step.sources)
        } else {
            Progress::Continue
        }
    }

    fn finish(self) -> WindowResult {
        let candidates = self.search.finish(self.hypotheses);
        let best = search::best(&candidates, self.length_penalty)
            .and_then(|best| candidates.into_iter().nth(best))
            .unwrap_or_default();
        let text = strip(&self.tokenizer.decode(&best.tokens)).to_owned();
        WindowResult {
            avg_logprob: f64::from(best.score) / (best.tokens.len() + 1) as f64,
            no_speech_prob: self.no_speech_prob,
            temperature: self.temperature,
            compression_ratio: compression_ratio(&text),
            tokens: best.tokens,
            text,
        }
    }
}

/// `softmax(logits)[token]`
fn probability(logits: &[f32], token: u32) -> f64 {
    let norm = log_sum_exp(logits);
    logits.get(token as usize).map_or(0.0, |logit| f64::from(logit - norm).exp())
}

/// Probabilities of the languages, from one step after `<|startoftranscript|>` in a fresh session. `candidates` restricts them;
/// without any, all languages of the vocabulary compete.
///
/// # Errors
/// The network failed.
pub fn detect_language(
    model: &mut dyn TokenModel,
    tokenizer: &Tokenizer,
    candidates: &[&str],
) -> Result<Vec<(&'static str, f64)>, ModelError> {
    let mut logits = Vec::new();
    model.forward(&[tokenizer.specials().sot], &[0], &mut logits)?;
    let languages = |restricted: bool| {
        tokenizer
            .languages()
            .filter(move |code| !restricted || candidates.contains(code))
            .filter_map(|code| Some((code, *logits.get(tokenizer.language_token(code)? as usize)?)))
            .collect::<Vec<_>>()
    };
    let mut found = languages(!candidates.is_empty());
    if found.is_empty() {
        found = languages(false);
    }
    let norm = log_sum_exp(&found.iter().map(|(_, logit)| *logit).collect::<Vec<_>>());
    Ok(found.into_iter().map(|(code, logit)| (code, f64::from(logit - norm).exp())).collect())
}

/// The likeliest language and its probability (the first of equals).
#[must_use]
pub fn likeliest(languages: &[(&'static str, f64)]) -> Option<(&'static str, f64)> {
    languages.iter().copied().reduce(|best, next| if next.1 > best.1 { next } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Recorded;
    use crate::tokenizer;

    /// Says the letters of a word, then ends, whatever the beams do; counts how often it was asked.
    struct Speller {
        word: &'static str,
        beams: Vec<Vec<u32>>,
        prompt: usize,
        steps: usize,
    }

    impl Speller {
        fn new(word: &'static str) -> Self {
            Self { word, beams: vec![Vec::new()], prompt: 0, steps: 0 }
        }
    }

    impl TokenModel for Speller {
        fn vocab_size(&self) -> usize {
            256 + 8 + 99 + 1501
        }
        fn context(&self) -> usize {
            448
        }
        fn beams(&self) -> usize {
            self.beams.len()
        }
        fn fed(&self) -> usize {
            self.beams[0].len()
        }
        fn forward(&mut self, tokens: &[u32], positions: &[usize], logits: &mut Vec<f32>) -> Result<(), ModelError> {
            self.steps += 1;
            let each = tokens.len() / self.beams.len();
            if self.steps == 1 {
                self.prompt = each;
            }
            logits.clear();
            for (beam, new) in self.beams.iter_mut().zip(tokens.chunks(each)) {
                beam.extend(new);
                let said = beam.len() - self.prompt;
                let next = self.word.as_bytes().get(said).map_or(256, |letter| usize::from(*letter));
                for _ in positions {
                    let mut row = vec![0.0; 256 + 8 + 99 + 1501];
                    row[next] = 20.0;
                    logits.extend(row);
                }
            }
            Ok(())
        }
        fn reorder(&mut self, source: &[usize]) -> Result<(), ModelError> {
            self.beams = source.iter().map(|parent| self.beams[*parent].clone()).collect();
            Ok(())
        }
    }

    fn options(beam_size: Option<usize>) -> WindowOptions {
        WindowOptions { beam_size, without_timestamps: true, suppress: Suppress::Nothing, ..WindowOptions::default() }
    }

    fn decode_word(options: &WindowOptions) -> (WindowResult, usize) {
        let mut model = Speller::new("hello");
        let result = decode(&mut model, &tokenizer::of_bytes(), options, &mut Recorded::new(vec![0.5; 99]), &|| false);
        (result.expect("decodes"), model.steps)
    }

    #[test]
    fn greedy_beams_and_samples_find_the_likely_word() {
        for beam_size in [None, Some(1), Some(5)] {
            let (result, _) = decode_word(&options(beam_size));
            assert_eq!(result.text, "hello");
            assert!(result.avg_logprob > -0.01 && result.avg_logprob < 0.0);
        }
        let sampled = WindowOptions { temperature: 0.5, best_of: Some(3), ..options(None) };
        assert_eq!(decode_word(&sampled).0.text, "hello");
    }

    #[test]
    fn sample_len_and_context_end_the_search() {
        let (result, steps) = decode_word(&WindowOptions { sample_len: Some(3), ..options(None) });
        assert_eq!((result.text.as_str(), steps), ("hel", 3));
        let long = WindowOptions { prefix: Some(Context::Tokens(vec![1; 5000])), ..options(None) };
        assert!(decode_word(&long).0.tokens.len() <= 2);
    }

    #[test]
    fn a_stopped_job_ends_at_once() {
        let mut model = Speller::new("hello");
        let stopped = decode(&mut model, &tokenizer::of_bytes(), &options(None), &mut Recorded::new(vec![]), &|| true);
        assert_eq!(stopped, Err(DecodeError::Stopped));
        assert_eq!(model.steps, 1);
    }

    #[test]
    fn language_detection_can_be_restricted() {
        let tokenizer = tokenizer::of_bytes();
        let found = detect_language(&mut Speller::new(""), &tokenizer, &["de", "fr"]).expect("detects");
        assert_eq!(found.len(), 2);
        assert!((found.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-6);
        assert_eq!(likeliest(&found).map(|(code, _)| code), Some("de"));
        let nothing_known = detect_language(&mut Speller::new(""), &tokenizer, &["xx"]).expect("detects");
        assert_eq!(nothing_known.len(), 99);
    }
}
