//! Attention of three kinds: the encoder's over all frames, a decode step's over earlier tokens and over the audio.

use std::cell::RefCell;

use super::cache::{AudioKv, AudioLayer, Lineage, SelfLayer};
use super::team::{Shared, Team};
use crate::kernels::{self, Element, KEY_BLOCK};

/// Frames whose queries the encoder handles at once: their scores stay in the second-level cache.
const QUERY_BLOCK: usize = 96;
/// Value rows that stay in the first-level cache while several queries use them.
const VALUE_BLOCK: usize = 64;
/// Queries that share one pass over the audio's keys and values.
const QUERIES_AT_ONCE: usize = 16;

thread_local! {
    /// Scores of the task at hand; kept, so that steps don't allocate.
    static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    SCORES.with_borrow_mut(|scores| {
        if scores.len() < len {
            scores.resize(len, 0.0);
        }
        work(&mut scores[..len])
    })
}

/// How a residual stream is divided among heads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    pub(super) count: usize,
    /// Dimensions of one.
    pub(super) size: usize,
}

impl Heads {
    pub(super) fn new(width: usize, count: usize) -> Self {
        Self { count, size: width / count }
    }

    fn width(self) -> usize {
        self.count * self.size
    }

    /// Factor of the scores: 1 / √size.
    fn scale(self) -> f32 {
        (self.size as f32).sqrt().recip()
    }
}

/// The encoder's self attention: `qkv` is `[frames, 3 · width]`, `out` `[frames, width]`; every frame sees all.
pub(super) fn full(team: &Team, heads: Heads, qkv: &[f32], out: &mut [f32]) {
    let (width, head) = (heads.width(), heads.size);
    let frames = out.len() / width;
    assert_eq!(qkv.len(), 3 * frames * width, "queries, keys and values of every frame");
    let blocks = frames.div_ceil(QUERY_BLOCK);
    let out = Shared::new(out);
    team.each(heads.count * blocks, &|task| {
        let (h, block) = (task / blocks, task % blocks);
        let first = block * QUERY_BLOCK;
        let count = QUERY_BLOCK.min(frames - first);
        let stride = 3 * width;
        with_scratch(count * (frames + head), |scratch| {
            let (scores, mixed) = scratch.split_at_mut(count * frames);
            let queries = &qkv[first * stride + h * head..];
            let (keys, values) = (&qkv[width + h * head..], &qkv[2 * width + h * head..]);
            // SAFETY: [count, head] by [head, frames] into [count, frames]: `queries` has `count` more rows, `keys` `frames`, of which
            // the last may lack the columns of other heads, which aren't read.
            unsafe {
                gemm::gemm(
                    count,
                    frames,
                    head,
                    scores.as_mut_ptr(),
                    1,
                    frames as isize,
                    false,
                    queries.as_ptr(),
                    1,
                    stride as isize,
                    keys.as_ptr(),
                    stride as isize,
                    1,
                    0.0,
                    heads.scale(),
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                );
            }
            scores.chunks_exact_mut(frames).for_each(kernels::softmax);
            // SAFETY: [count, frames] by [frames, head] into [count, head], likewise.
            unsafe {
                gemm::gemm(
                    count,
                    head,
                    frames,
                    mixed.as_mut_ptr(),
                    1,
                    head as isize,
                    false,
                    scores.as_ptr(),
                    1,
                    frames as isize,
                    values.as_ptr(),
                    1,
                    stride as isize,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                );
            }
            for (row, mixed) in mixed.chunks_exact(head).enumerate() {
                let at = (first + row) * width + h * head;
                // SAFETY: this head's columns of these rows belong to this task.
                unsafe { out.part(at..at + head) }.copy_from_slice(mixed);
            }
        });
    });
}

/// Attention of the tokens fed in this call to themselves and to everything their beam was fed before.
///
/// `qkv` is `[beams · n, 3 · width]`, `out` `[beams · n, width]`; the keys and values are in `layer` already.
pub(super) fn causal(
    team: &Team,
    heads: Heads,
    lineage: &Lineage,
    layer: &SelfLayer,
    n: usize,
    qkv: &[f32],
    out: &mut [f32],
) {
    let (width, head) = (heads.width(), heads.size);
    let out = Shared::new(out);
    team.ranges(heads.count, 1, &|range| {
        for h in range {
            let columns = h * head..(h + 1) * head;
            for beam in 0..lineage.beams() {
                let history = lineage.rows(beam);
                for i in 0..n {
                    let row = beam * n + i;
                    let seen = &history[..history.len() - (n - 1 - i)];
                    let query = &qkv[row * 3 * width..][columns.clone()];
                    // SAFETY: this head's columns belong to this thread.
                    let mixed = unsafe { out.part(row * width + columns.start..row * width + columns.end) };
                    with_scratch(seen.len(), |scores| {
                        for (score, &at) in scores.iter_mut().zip(seen) {
                            *score = kernels::dot(&layer.key(at)[columns.clone()], query) * heads.scale();
                        }
                        kernels::softmax(scores);
                        mixed.fill(0.0);
                        for (&weight, &at) in scores.iter().zip(seen) {
                            let value = &layer.value(at)[columns.clone()];
                            mixed.iter_mut().zip(value).for_each(|(sum, v)| *sum += weight * v);
                        }
                    });
                }
            }
        }
    });
}

/// Scores that a caller wants to see: those before the softmax of some heads of one layer.
pub(super) struct Watched<'a> {
    /// Head, and where its scores go: `[rows, frames]`.
    pub(super) heads: Vec<(usize, &'a mut [f32])>,
}

/// Attention to the audio: `queries` and `out` are `[rows, width]`.
pub(super) fn cross(
    team: &Team,
    heads: Heads,
    audio: &AudioLayer,
    queries: &[f32],
    out: &mut [f32],
    watched: Option<Watched<'_>>,
) {
    match audio {
        AudioLayer::Full(audio) => cross_in(team, heads, audio, queries, out, watched),
        AudioLayer::Half(audio) => cross_in(team, heads, audio, queries, out, watched),
    }
}

fn cross_in<E: Element>(
    team: &Team,
    heads: Heads,
    audio: &AudioKv<E>,
    queries: &[f32],
    out: &mut [f32],
    watched: Option<Watched<'_>>,
) {
    let width = heads.width();
    let rows = queries.len() / width;
    let frames = audio.frames();
    let watched: Vec<(usize, Shared<'_, f32>)> =
        watched.into_iter().flat_map(|watched| watched.heads).map(|(h, scores)| (h, Shared::new(scores))).collect();
    let out = Shared::new(out);
    team.ranges(heads.count, 1, &|range| {
        for h in range {
            for first in (0..rows).step_by(QUERIES_AT_ONCE) {
                let group = first..rows.min(first + QUERIES_AT_ONCE);
                one_head(heads, audio, h, group, queries, &out, |row, scores| {
                    for (_, place) in watched.iter().filter(|(head, _)| *head == h) {
                        // SAFETY: rows of a head are seen by one thread only, and a head is watched at one place.
                        unsafe { place.part(row * frames..(row + 1) * frames) }.copy_from_slice(scores);
                    }
                });
            }
        }
    });
}

/// Some rows of one head. `see` is shown each row's scores before the softmax.
fn one_head<E: Element>(
    heads: Heads,
    audio: &AudioKv<E>,
    h: usize,
    rows: std::ops::Range<usize>,
    queries: &[f32],
    out: &Shared<'_, f32>,
    see: impl Fn(usize, &[f32]),
) {
    let (width, head, frames) = (heads.width(), heads.size, audio.frames());
    let padded = kernels::padded_head(head);
    let score_row = frames.next_multiple_of(KEY_BLOCK);
    let count = rows.len();
    with_scratch(count * (score_row + padded), |scratch| {
        let (scores, mixed) = scratch.split_at_mut(count * score_row);
        for (block, keys) in audio.key_blocks(h).enumerate() {
            for (row, scores) in rows.clone().zip(scores.chunks_exact_mut(score_row)) {
                let query = &queries[row * width + h * head..][..head];
                if let Some(scores) = scores.as_chunks_mut::<KEY_BLOCK>().0.get_mut(block) {
                    kernels::score_block(query, keys, heads.scale(), scores);
                }
            }
        }
        for (row, scores) in rows.clone().zip(scores.chunks_exact_mut(score_row)) {
            see(row, &scores[..frames]);
            kernels::softmax(&mut scores[..frames]);
        }
        mixed.fill(0.0);
        for (block, values) in audio.values(h).chunks(VALUE_BLOCK * padded).enumerate() {
            let positions = block * VALUE_BLOCK..frames.min((block + 1) * VALUE_BLOCK);
            for (scores, mixed) in scores.chunks_exact(score_row).zip(mixed.chunks_exact_mut(padded)) {
                kernels::mix(&scores[positions.clone()], values, mixed);
            }
        }
        for (row, mixed) in rows.zip(mixed.chunks_exact(padded)) {
            let at = row * width + h * head;
            // SAFETY: this head's columns belong to this thread.
            unsafe { out.part(at..at + head) }.copy_from_slice(&mixed[..head]);
        }
    });
}
