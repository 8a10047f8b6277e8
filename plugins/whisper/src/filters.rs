//! Which tokens may come next: blank at the start, suppressed tokens, the grammar of timestamps.
//!
//! Source: openai/whisper `whisper/decoding.py: SuppressBlank, SuppressTokens, ApplyTimestampRules`, applied in this order.

use crate::search::log_sum_exp;
use crate::tokenizer::Tokenizer;

/// Seconds per timestamp token: two 10 ms frames. Source: openai/whisper `whisper/audio.py: TOKENS_PER_SECOND`.
pub const TIMESTAMP_STEP: f64 = 0.02;

/// Which tokens are never sampled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Suppress {
    /// Tokens that are no speech (brackets, music signs…), and those that only prompts have.
    #[default]
    NonSpeech,
    /// The same and these.
    NonSpeechAnd(Vec<u32>),
    /// These, and tokens that only prompts have.
    Only(Vec<u32>),
    /// Nothing at all.
    Nothing,
}

/// What the filters depend on.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterOptions {
    /// Whether an empty window is forbidden.
    pub suppress_blank: bool,
    /// Tokens that are never sampled.
    pub suppress: Suppress,
    /// Whether there are no timestamps, so that their grammar does not apply.
    pub without_timestamps: bool,
    /// Latest first timestamp, seconds; `None` or 0: any.
    pub max_initial_timestamp: Option<f64>,
}

/// The filters of one decoding, ready to be applied at every step.
pub struct Filters {
    /// Tokens that may not come first.
    not_first: Vec<u32>,
    /// Tokens that may never come.
    never: Vec<u32>,
    timestamps: Option<TimestampRules>,
}

/// The grammar of timestamps: they come in pairs, do not decrease, and win when they are likelier together than any text.
struct TimestampRules {
    begin: usize,
    eot: usize,
    no_timestamps: usize,
    /// Number of steps that the first timestamp may be late.
    max_initial: Option<usize>,
}

impl Filters {
    /// Prepares the filters.
    #[must_use]
    pub fn new(tokenizer: &Tokenizer, options: &FilterOptions) -> Self {
        let specials = tokenizer.specials();
        let mut not_first = Vec::new();
        if options.suppress_blank {
            not_first = tokenizer.encode(" ");
            not_first.push(specials.eot);
        }
        let mut never = match &options.suppress {
            Suppress::NonSpeech => tokenizer.non_speech_tokens(),
            Suppress::NonSpeechAnd(more) => [tokenizer.non_speech_tokens().as_slice(), more].concat(),
            Suppress::Only(these) => these.clone(),
            Suppress::Nothing => Vec::new(),
        };
        if options.suppress != Suppress::Nothing {
            never.extend(tokenizer.prompt_only_tokens());
        }
        let timestamps = (!options.without_timestamps).then(|| TimestampRules {
            begin: specials.timestamp_begin as usize,
            eot: specials.eot as usize,
            no_timestamps: specials.no_timestamps as usize,
            max_initial: options
                .max_initial_timestamp
                .filter(|seconds| *seconds > 0.0)
                .map(|seconds| (seconds / TIMESTAMP_STEP).round_ties_even() as usize),
        });
        Self { not_first, never, timestamps }
    }

    /// Sets the logits `[vocabulary]` of forbidden tokens to -inf. `sampled` is what this window's sequence holds so far, without
    /// the prompt.
    pub fn apply(&self, logits: &mut [f32], sampled: &[u32]) {
        if sampled.is_empty() {
            forbid(logits, &self.not_first);
        }
        forbid(logits, &self.never);
        if let Some(rules) = &self.timestamps {
            rules.apply(logits, sampled);
        }
    }
}

impl TimestampRules {
    fn is_timestamp(&self, token: u32) -> bool {
        token as usize >= self.begin
    }

    fn apply(&self, logits: &mut [f32], sampled: &[u32]) {
        let size = logits.len();
        let begin = self.begin.min(size);
        if let Some(logit) = logits.get_mut(self.no_timestamps) {
            *logit = f32::NEG_INFINITY;
        }

        let last_is_timestamp = sampled.last().is_some_and(|token| self.is_timestamp(*token));
        // A lone first timestamp counts as the second of a pair.
        let one_before_too = sampled.len() < 2 || self.is_timestamp(sampled[sampled.len() - 2]);
        if last_is_timestamp {
            if one_before_too {
                logits[begin..].fill(f32::NEG_INFINITY); // a pair is complete: text
            } else {
                logits[..self.eot.min(size)].fill(f32::NEG_INFINITY); // a segment has just ended: no text
            }
        }
        if let Some(last) = sampled.iter().rev().find(|token| self.is_timestamp(**token)) {
            // The end of a segment may be repeated as the start of the next one; otherwise time moves on.
            let repeat = last_is_timestamp && !one_before_too;
            let first_allowed = *last as usize + usize::from(!repeat);
            logits[begin..first_allowed.clamp(begin, size)].fill(f32::NEG_INFINITY);
        }

        if sampled.is_empty() {
            logits[..begin].fill(f32::NEG_INFINITY);
            if let Some(steps) = self.max_initial {
                logits[(begin + steps + 1).min(size)..].fill(f32::NEG_INFINITY);
            }
        }

        let (text, timestamps) = logits.split_at_mut(begin);
        let likeliest_text = text.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if log_sum_exp(timestamps) > likeliest_text {
            text.fill(f32::NEG_INFINITY);
        }
    }
}

/// Forbids tokens; ids that the model does not have are no concern.
fn forbid(logits: &mut [f32], tokens: &[u32]) {
    for token in tokens {
        if let Some(logit) = logits.get_mut(*token as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}
