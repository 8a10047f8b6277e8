//! Keys and values: of the audio, computed once per window, and of the tokens fed so far.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::kernels::{KEY_BLOCK, padded_head};

/// The audio's keys and values for one decoder layer, laid out for [`score_block`](crate::kernels::score_block) and
/// [`mix`](crate::kernels::mix).
#[derive(Debug)]
pub(super) enum AudioLayer {
    /// As computed.
    Full(AudioKv<f32>),
    /// Rounded, for half the memory traffic; only where weights are rounded much further.
    Half(AudioKv<f16>),
}

/// Keys and values in one precision.
#[derive(Debug)]
pub(super) struct AudioKv<E> {
    frames: usize,
    /// Dimensions of a head.
    head: usize,
    /// `[heads, blocks, head, 32]`; positions behind the last frame are zeros.
    keys: Vec<E>,
    /// `[heads, frames, padded head]`
    values: Vec<E>,
}

impl AudioLayer {
    /// Takes `kv`, `[frames, 2 · width]` with keys left of values.
    pub(super) fn new(kv: &[f32], frames: usize, heads: usize, half: bool) -> Self {
        let full = AudioKv::new(kv, frames, heads);
        if half { Self::Half(full.rounded()) } else { Self::Full(full) }
    }
}

impl AudioKv<f32> {
    fn new(kv: &[f32], frames: usize, heads: usize) -> Self {
        let width = kv.len() / (2 * frames.max(1));
        let head = width / heads;
        let (blocks, padded) = (frames.div_ceil(KEY_BLOCK), padded_head(head));
        let mut keys = vec![0.0; heads * blocks * head * KEY_BLOCK];
        let mut values = vec![0.0; heads * frames * padded];
        for (frame, row) in kv.chunks_exact(2 * width).enumerate() {
            for h in 0..heads {
                let block = ((h * blocks) + frame / KEY_BLOCK) * head * KEY_BLOCK + frame % KEY_BLOCK;
                for (c, &key) in row[h * head..][..head].iter().enumerate() {
                    keys[block + c * KEY_BLOCK] = key;
                }
                values[(h * frames + frame) * padded..][..head].copy_from_slice(&row[width + h * head..][..head]);
            }
        }
        Self { frames, head, keys, values }
    }

    fn rounded(self) -> AudioKv<f16> {
        let round = |full: Vec<f32>| {
            let mut half = vec![f16::ZERO; full.len()];
            half.convert_from_f32_slice(&full);
            half
        };
        AudioKv { frames: self.frames, head: self.head, keys: round(self.keys), values: round(self.values) }
    }
}

impl<E> AudioKv<E> {
    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    /// Keys of head `h` in blocks of 32 positions, each `[head, 32]`.
    pub(super) fn key_blocks(&self, h: usize) -> impl Iterator<Item = &[E]> {
        let block = self.head * KEY_BLOCK;
        let blocks = self.frames.div_ceil(KEY_BLOCK);
        self.keys[h * blocks * block..(h + 1) * blocks * block].chunks_exact(block)
    }

    /// Values of head `h`, `[frames, padded head]`.
    pub(super) fn values(&self, h: usize) -> &[E] {
        let size = self.frames * padded_head(self.head);
        &self.values[h * size..(h + 1) * size]
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

    pub(super) fn key(&self, row: u32) -> &[f32] {
        &self.keys[row as usize * self.width..][..self.width]
    }

    pub(super) fn value(&self, row: u32) -> &[f32] {
        &self.values[row as usize * self.width..][..self.width]
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
        let layer = AudioKv::new(&kv, 3, 2);
        let block = layer.key_blocks(1).next().unwrap();
        assert_eq!((block[0], block[1], block[2], block[3]), (2.0, 10.0, 18.0, 0.0));
        assert_eq!(block[KEY_BLOCK], 3.0);
        assert_eq!(&layer.values(1)[8..10], [14.0, 15.0]);
    }
}
