//! Keys and values: of the audio, computed once per window, and of the tokens fed so far.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::team::{Shared, Team};
use crate::kernels::{Element, History, LANES, Panels, fill_panel};

/// The audio's keys and values for one decoder layer.
#[derive(Debug)]
pub(super) enum AudioLayer {
    /// As computed.
    Full(FrameKv<f32>),
    /// Rounded, for half the memory traffic; only where weights are rounded much further.
    Half(FrameKv<f16>),
}

/// Keys and values of frames, laid out for products with queries and with weights.
#[derive(Debug)]
pub(super) struct FrameKv<E> {
    /// Per head, a matrix `[frames, head]`.
    keys: Vec<Panels<E>>,
    /// Per head, a matrix `[head, frames]`.
    values: Vec<Panels<E>>,
}

impl AudioLayer {
    /// Takes `kv`, `[frames, 2 · width]` with keys left of values. With `half`, `full` is work space.
    pub(super) fn new(
        team: &Team,
        kv: &[f32],
        frames: usize,
        heads: usize,
        half: bool,
        full: &mut FrameKv<f32>,
    ) -> Self {
        let width = kv.len() / (2 * frames);
        let mut own = FrameKv::default();
        let place = if half { full } else { &mut own };
        place.fit(frames, heads, width / heads);
        place.fill(team, kv, 2 * width, width);
        if half { Self::Half(place.rounded(team)) } else { Self::Full(own) }
    }
}

impl<E> Default for FrameKv<E> {
    fn default() -> Self {
        Self { keys: Vec::new(), values: Vec::new() }
    }
}

impl FrameKv<f32> {
    /// Makes room for `frames` frames and heads of `head` dimensions.
    pub(super) fn fit(&mut self, frames: usize, heads: usize, head: usize) {
        let is_fit = |keys: &Panels<f32>| keys.rows() == frames && keys.cols() == head;
        if self.keys.len() != heads || !self.keys.iter().all(is_fit) {
            let matrices = |rows, cols| (0..heads).map(|_| Panels::zeros(rows, cols)).collect();
            *self = Self { keys: matrices(frames, head), values: matrices(head, frames) };
        }
    }

    /// Takes the keys and values of all frames: a frame's keys begin at `frame · stride` of `kv`, its values `width` behind them.
    pub(super) fn fill(&mut self, team: &Team, kv: &[f32], stride: usize, width: usize) {
        let heads = self.keys.len();
        let (keys, values) = (Shared::new(&mut self.keys), Shared::new(&mut self.values));
        team.each(heads, &|h| {
            // SAFETY: each head comes up once.
            let (keys, values) = unsafe { (&mut keys.part(h..h + 1)[0], &mut values.part(h..h + 1)[0]) };
            let head = keys.cols();
            for (index, panel) in keys.panels_mut().enumerate() {
                fill_panel(&kv[index * LANES * stride + h * head..], stride, head, panel);
            }
            for (index, panel) in values.panels_mut().enumerate() {
                let first = width + h * head + index * LANES;
                let count = LANES.min(head - index * LANES);
                for (place, row) in panel.as_chunks_mut::<LANES>().0.iter_mut().zip(kv[first..].chunks(stride)) {
                    place[..count].copy_from_slice(&row[..count]);
                }
            }
        });
    }

    fn rounded(&self, team: &Team) -> FrameKv<f16> {
        let round = |full: &[Panels<f32>]| {
            let mut half: Vec<Panels<f16>> = full.iter().map(|m| Panels::zeros(m.rows(), m.cols())).collect();
            let places = Shared::new(&mut half);
            team.each(full.len(), &|h| {
                // SAFETY: each head comes up once.
                let place = &mut unsafe { places.part(h..h + 1) }[0];
                place.values_mut().convert_from_f32_slice(full[h].values());
            });
            half
        };
        FrameKv { keys: round(&self.keys), values: round(&self.values) }
    }
}

impl<E: Element> FrameKv<E> {
    pub(super) fn frames(&self) -> usize {
        self.keys.first().map_or(0, Panels::rows)
    }

    /// Keys of head `h`, `[frames, head]`.
    pub(super) fn keys(&self, h: usize) -> &Panels<E> {
        &self.keys[h]
    }

    /// Values of head `h`, `[head, frames]`.
    pub(super) fn values(&self, h: usize) -> &Panels<E> {
        &self.values[h]
    }
}

/// Keys and values of tokens for one decoder layer: a row per token fed, in the order of feeding. Rows never move; which of them a
/// beam consists of is in its [`Lineage`].
#[derive(Debug, Default)]
pub(super) struct SelfLayer {
    width: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl SelfLayer {
    pub(super) fn new(width: usize) -> Self {
        Self { width, keys: Vec::new(), values: Vec::new() }
    }

    /// Appends the keys and values of `qkv`, `[rows, 3 · width]`.
    pub(super) fn append(&mut self, qkv: &[f32]) {
        for row in qkv.chunks_exact(3 * self.width) {
            self.keys.extend_from_slice(&row[self.width..2 * self.width]);
            self.values.extend_from_slice(&row[2 * self.width..]);
        }
    }

    /// What a beam whose tokens are `rows` sees from dimension `column` on.
    pub(super) fn history<'a>(&'a self, rows: &'a [u32], column: usize) -> History<'a> {
        History { keys: &self.keys, values: &self.values, width: self.width, column, rows }
    }
}

/// Which cached rows each beam consists of. Reordering beams copies these few numbers instead of keys and values.
#[derive(Debug)]
pub(super) struct Lineage {
    context: usize,
    beams: usize,
    fed: usize,
    /// The row that the next token gets, where rows are numbered by the session.
    appended: u32,
    /// `[beams, context]`, the first `fed` of each in use.
    rows: Vec<u32>,
    /// The table of before the last reordering, for its memory.
    spare: Vec<u32>,
}

impl Lineage {
    /// One beam that has been fed nothing.
    pub(super) fn new(context: usize) -> Self {
        Self { context, beams: 1, fed: 0, appended: 0, rows: vec![0; context], spare: Vec::new() }
    }

    pub(super) fn beams(&self) -> usize {
        self.beams
    }

    pub(super) fn fed(&self) -> usize {
        self.fed
    }

    /// The rows of one beam, oldest first.
    pub(super) fn rows(&self, beam: usize) -> &[u32] {
        &self.rows[beam * self.context..][..self.fed]
    }

    /// Gives each beam the next `n` rows, beam after beam. The caller has checked that they fit the context.
    pub(super) fn feed(&mut self, n: usize) {
        self.feed_from(self.appended, n);
    }

    /// The same, with rows from `first` on.
    pub(super) fn feed_from(&mut self, first: u32, n: usize) {
        self.appended = first;
        for beam in 0..self.beams {
            let new: Range<usize> = beam * self.context + self.fed..beam * self.context + self.fed + n;
            for slot in &mut self.rows[new] {
                *slot = self.appended;
                self.appended += 1;
            }
        }
        self.fed += n;
    }

    /// New beam `b` is what beam `source[b]` was. The caller has checked that those exist.
    pub(super) fn reorder(&mut self, source: &[usize]) {
        self.spare.clear();
        for &beam in source {
            self.spare.extend_from_slice(&self.rows[beam * self.context..(beam + 1) * self.context]);
        }
        std::mem::swap(&mut self.rows, &mut self.spare);
        self.beams = source.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beams_keep_their_history() {
        let mut lineage = Lineage::new(8);
        lineage.feed(2);
        lineage.reorder(&[0, 0, 0]);
        lineage.feed(1);
        assert_eq!(lineage.rows(2), [0, 1, 4]);
        lineage.reorder(&[2, 0]);
        lineage.feed(1);
        assert_eq!(lineage.rows(0), [0, 1, 4, 5]);
        assert_eq!(lineage.rows(1), [0, 1, 2, 6]);
        assert_eq!((lineage.beams(), lineage.fed()), (2, 4));
    }

    #[test]
    fn audio_is_laid_out_by_head() {
        // 3 frames, 2 heads of 2: keys 0..4, values 4..8 of each row.
        let kv: Vec<f32> = (0..24).map(|v| v as f32).collect();
        let mut layer = FrameKv::default();
        layer.fit(3, 2, 2);
        layer.fill(&Team::new(1), &kv, 8, 4);
        let (mut key, mut values) = ([0.0; 2], [0.0; 3]);
        layer.keys(1).row(2, &mut key);
        layer.values(1).row(0, &mut values);
        assert_eq!((key, values), ([18.0, 19.0], [6.0, 14.0, 22.0]));
    }
}
