//! From attention scores to word times: softmax, z-score, median, mean over heads, dynamic time warping.
//!
//! Source: openai/whisper `whisper/timing.py: find_alignment`.

use super::{WordTiming, dtw, median_filter};
use crate::tokenizer::Tokenizer;

/// Width of the median filter, attention columns (20 ms each). Source: openai/whisper, `medfilt_width`.
const MEDIAN_WIDTH: usize = 7;
/// Attention columns per second. Source: openai/whisper `whisper/audio.py: TOKENS_PER_SECOND`.
const COLUMNS_PER_SECOND: f64 = 50.0;

/// What one pass over a window's text gives for its alignment.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Scores of the alignment heads before the softmax, `[heads, tokens, columns]` row-major. The tokens are the start sequence,
    /// `<|notimestamps|>`, the text and `<|endoftext|>`; columns beyond the window's speech are cut off.
    pub scores: Vec<f32>,
    /// Number of tokens.
    pub tokens: usize,
    /// Number of columns: half of the window's frames.
    pub columns: usize,
}

/// Text aligned with time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Alignment {
    /// How much token and time belong together, `[rows, columns]`: the text tokens and one row before them.
    pub matrix: Vec<f32>,
    /// Number of rows.
    pub rows: usize,
    /// The path through it: (row, column).
    pub path: Vec<(usize, usize)>,
    /// The words; times in seconds from the start of the window.
    pub words: Vec<WordTiming>,
}

/// Aligns a window's text.
///
/// `start` is the length of the start sequence. `text` holds the text tokens, `probabilities` the model's probability of each.
/// Nothing to align gives an empty alignment.
#[must_use]
pub fn align(
    tokenizer: &Tokenizer,
    language: &str,
    start: usize,
    text: &[u32],
    probabilities: &[f32],
    attention: &Attention,
) -> Alignment {
    let Attention { tokens, columns, .. } = *attention;
    // Rows of the matrix: from <|notimestamps|> to the last text token.
    if text.is_empty() || columns == 0 || tokens < start + text.len() + 2 {
        return Alignment::default();
    }
    let per_head = tokens * columns;
    let heads = attention.scores.len() / per_head;
    let rows = text.len() + 1;
    let mut matrix = vec![0.0_f32; rows * columns];
    for scores in attention.scores.chunks_exact(per_head) {
        let weights = filtered_weights(scores.to_vec(), columns); // [tokens, columns]
        let wanted = &weights[start * columns..(start + rows) * columns];
        matrix.iter_mut().zip(wanted).for_each(|(sum, weight)| *sum += weight / heads as f32);
    }
    let cost: Vec<f32> = matrix.iter().map(|value| -value).collect();
    let path = dtw(&cost, rows, columns);
    let words = words_on_path(tokenizer, language, text, probabilities, &path);
    Alignment { matrix, rows, path, words }
}

/// Softmax over time, z-score over tokens, median over time of one head's `[tokens, columns]`.
fn filtered_weights(mut scores: Vec<f32>, columns: usize) -> Vec<f32> {
    for row in scores.chunks_exact_mut(columns) {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter_mut().for_each(|value| *value = (*value - max).exp());
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|value| *value /= sum);
    }
    let rows = scores.len() / columns;
    for column in 0..columns {
        let values = || (0..rows).map(|row| f64::from(scores[row * columns + column]));
        let mean = values().sum::<f64>() / rows as f64;
        let deviation = (values().map(|value| (value - mean).powi(2)).sum::<f64>() / rows as f64).sqrt();
        // A column that is the same for all tokens says nothing (the reference divides by zero there).
        let scale = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
        for row in 0..rows {
            let value = &mut scores[row * columns + column];
            *value = ((f64::from(*value) - mean) * scale) as f32;
        }
    }
    median_filter(&scores, columns, MEDIAN_WIDTH)
}

/// Times of the words: a token starts where the path reaches its row.
fn words_on_path(
    tokenizer: &Tokenizer,
    language: &str,
    text: &[u32],
    probabilities: &[f32],
    path: &[(usize, usize)],
) -> Vec<WordTiming> {
    let mut with_end = text.to_vec();
    with_end.push(tokenizer.specials().eot);
    let words = tokenizer.words(&with_end, Some(language));
    let mut reached = Vec::with_capacity(text.len() + 1); // seconds, by row
    for (row, column) in path {
        if reached.len() == *row {
            reached.push(*column as f64 / COLUMNS_PER_SECOND);
        }
    }
    let mut timings = Vec::with_capacity(words.len());
    let mut from = 0;
    // The last word is the end of text.
    for word in words.iter().take(words.len().saturating_sub(1)) {
        let to = from + word.tokens.len();
        let (Some(start), Some(end)) = (reached.get(from), reached.get(to)) else { break };
        let own = probabilities.get(from..to).unwrap_or_default();
        let probability = own.iter().map(|p| f64::from(*p)).sum::<f64>() / own.len().max(1) as f64;
        timings.push(WordTiming {
            word: word.text.clone(),
            tokens: word.tokens.clone(),
            start: *start,
            end: *end,
            probability,
        });
        from = to;
    }
    timings
}
