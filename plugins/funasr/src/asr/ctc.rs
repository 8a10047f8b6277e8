//! Connectionist temporal classification: the best label of every frame, and when labels are said.

use crate::text::sentence::Span;

/// The class of a row with the highest value, the first of equals.
#[must_use]
pub fn best(row: &[f32]) -> usize {
    let (mut at, mut most) = (0, f32::NEG_INFINITY);
    for (class, &value) in row.iter().enumerate() {
        if value > most {
            (at, most) = (class, value);
        }
    }
    at
}

/// The same, other than the class `banned`.
#[must_use]
pub fn best_but(row: &[f32], banned: Option<usize>) -> usize {
    let Some(banned) = banned.filter(|banned| *banned < row.len()) else { return best(row) };
    let (before, after) = (&row[..banned], &row[banned + 1..]);
    let (first, second) = (best(before), best(after));
    match (before.get(first), after.get(second)) {
        (Some(one), Some(other)) if other > one => banned + 1 + second,
        (None, Some(_)) => banned + 1 + second,
        _ => first,
    }
}

/// Labels without repetitions and blanks, of the best class of every frame.
#[must_use]
pub fn collapse(classes: &[usize], blank: usize) -> Vec<u32> {
    let mut labels = Vec::new();
    let mut last = None;
    for &class in classes {
        if last != Some(class) && class != blank {
            labels.push(class as u32);
        }
        last = Some(class);
    }
    labels
}

/// Log probabilities of the labels that an alignment needs: `[frames, 1 + labels]`, the blank first.
#[derive(Clone, Debug)]
pub struct Emissions {
    values: Vec<f32>,
    labels: Vec<u32>,
    blank: usize,
}

impl Emissions {
    /// Takes them out of rows of log probabilities (`normalised`) or of scores.
    #[must_use]
    pub fn new(rows: &[f32], classes: usize, labels: &[u32], blank: usize, normalised: bool) -> Self {
        let mut values = Vec::with_capacity(rows.len() / classes.max(1) * (1 + labels.len()));
        for row in rows.chunks_exact(classes.max(1)) {
            let norm = if normalised { 0.0 } else { log_sum_exp(row) };
            values.push(row.get(blank).copied().unwrap_or(f32::NEG_INFINITY) - norm);
            values.extend(labels.iter().map(|&l| row.get(l as usize).copied().unwrap_or(f32::NEG_INFINITY) - norm));
        }
        Self { values, labels: labels.to_vec(), blank }
    }

    /// Makes the blank certain in frames where it is the best class anyway.
    pub fn trust_blanks(&mut self, classes: &[usize]) {
        let width = 1 + self.labels.len();
        for (row, &class) in self.values.chunks_exact_mut(width).zip(classes) {
            if class == self.blank {
                row[0] = 0.0;
            }
        }
    }

    /// The most probable way through blank, label, blank, label, …, blank: the label of each frame, as its number in the list of labels;
    /// none is a blank. Of equal ways the one that stays longer in a state is taken.
    ///
    /// Source: FunASR `models/sense_voice/utils/ctc_alignment.py: ctc_forced_align`.
    #[must_use]
    pub fn align(&self) -> Vec<Option<usize>> {
        let width = 1 + self.labels.len();
        let frames = self.values.len() / width;
        let states = 2 * self.labels.len() + 1;
        if frames == 0 || self.labels.is_empty() {
            return vec![None; frames];
        }
        let emission = |frame: usize, state: usize| {
            self.values[frame * width + if state.is_multiple_of(2) { 0 } else { 1 + state / 2 }]
        };
        // From two states before only to a label that differs from the one there.
        let may_skip: Vec<bool> = (0..states)
            .map(|state| state % 2 == 1 && state >= 3 && self.labels[state / 2] != self.labels[state / 2 - 1])
            .collect();
        let mut scores = vec![f32::NEG_INFINITY; states];
        scores[0] = emission(0, 0);
        scores[1] = emission(0, 1);
        let mut steps = vec![0_u8; frames * states];
        for frame in 1..frames {
            let mut next = vec![f32::NEG_INFINITY; states];
            for state in 0..states {
                let (mut most, mut step) = (scores[state], 0);
                if state >= 1 && scores[state - 1] > most {
                    (most, step) = (scores[state - 1], 1);
                }
                if may_skip[state] && scores[state - 2] > most {
                    (most, step) = (scores[state - 2], 2);
                }
                next[state] = emission(frame, state) + most;
                steps[frame * states + state] = step;
            }
            scores = next;
        }
        let mut state = states - 2 + usize::from(scores[states - 1] > scores[states - 2]);
        let mut way = vec![None; frames];
        for frame in (0..frames).rev() {
            way[frame] = (state % 2 == 1).then_some(state / 2);
            state = state.saturating_sub(usize::from(steps[frame * states + state]));
        }
        way
    }
}

/// Length of a frame and how much earlier than its end something is heard, ms. Source: FunASR `models/sense_voice/model.py: inference`.
const FRAME_MS: i64 = 60;
const LEAD_MS: i64 = 30;

/// When the runs of equal labels of an alignment are said.
#[must_use]
pub fn runs(way: &[Option<usize>]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start = 0;
    for run in way.chunk_by(|a, b| a == b) {
        let end = start + run.len();
        if run[0].is_some() {
            // Truncated as the reference's double precision has it: 2.01 s are 2009 ms.
            let ms = |frames: usize| {
                let seconds = (frames as i64 * FRAME_MS - LEAD_MS) as f64 / 1000.0;
                (seconds.max(0.0) * 1000.0) as i64
            };
            spans.push([ms(start), ms(end)]);
        }
        start = end;
    }
    spans
}

fn log_sum_exp(row: &[f32]) -> f32 {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    most + row.iter().map(|value| (value - most).exp()).sum::<f32>().ln()
}
