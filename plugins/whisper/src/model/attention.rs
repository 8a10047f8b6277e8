//! Attention of three kinds: the encoder's over all frames, a decode step's over earlier tokens and over the audio.

use std::cell::RefCell;
use std::ops::Range;

use super::cache::{AudioLayer, FrameKv, Lineage, SelfLayer};
use super::team::{Shared, Team};
use crate::kernels::{self, Aligned, Element, Finish, LANES, Rows, Target};

/// Queries of one task: their scores stay in the second-level cache, beside the keys of a head.
const TASK_QUERIES: usize = 48;

thread_local! {
    /// Scores of the task at hand; kept, so that steps don't allocate.
    static SCORES: RefCell<Aligned<f32>> = RefCell::default();
}

fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    SCORES.with_borrow_mut(|scores| work(scores.room(len)))
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

/// The encoder's self attention: `qkv` is `[frames, 3 · width]`, `out` `[frames, width]`; every frame sees all. `kv` is work space for as
/// many frames.
pub(super) fn full(team: &Team, heads: Heads, qkv: &[f32], kv: &mut FrameKv<f32>, out: &mut [f32]) {
    let (width, frames) = (heads.width(), kv.frames());
    assert_eq!((qkv.len(), out.len()), (3 * frames * width, frames * width), "queries, keys and values of every frame");
    kv.fill(team, &qkv[width..], 3 * width, width);
    let blocks = frames.div_ceil(TASK_QUERIES);
    let out = Shared::new(out);
    team.each(heads.count * blocks, &|task| {
        let (h, first) = (task / blocks, task % blocks * TASK_QUERIES);
        let rows = first..frames.min(first + TASK_QUERIES);
        let queries = Queries { values: qkv, stride: 3 * width, rows };
        one_head(heads, kv, h, queries, &out, |_, _| ());
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
                        kernels::recall(query, layer.history(seen, columns.start), heads.scale(), scores, mixed);
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
    audio: &FrameKv<E>,
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
            for first in (0..rows).step_by(TASK_QUERIES) {
                let queries = Queries { values: queries, stride: width, rows: first..rows.min(first + TASK_QUERIES) };
                one_head(heads, audio, h, queries, &out, |row, scores| {
                    for (_, place) in watched.iter().filter(|(head, _)| *head == h) {
                        // SAFETY: rows of a head are seen by one thread only, and a head is watched at one place.
                        unsafe { place.part(row * frames..(row + 1) * frames) }.copy_from_slice(scores);
                    }
                });
            }
        }
    });
}

/// Some of the rows of a matrix whose row `r` begins with a query, at `r · stride`.
#[derive(Clone, Debug)]
struct Queries<'a> {
    values: &'a [f32],
    stride: usize,
    rows: Range<usize>,
}

/// Queries of one head over all frames. `see` is shown each row's scores before the softmax.
fn one_head<E: Element>(
    heads: Heads,
    audio: &FrameKv<E>,
    h: usize,
    queries: Queries<'_>,
    out: &Shared<'_, f32>,
    see: impl Fn(usize, &[f32]),
) {
    let (width, column, frames) = (heads.width(), h * heads.size, audio.frames());
    let (first, count) = (queries.rows.start, queries.rows.len());
    let score_row = frames.next_multiple_of(LANES);
    with_scratch(count * score_row, |scores| {
        let (keys, values) = (audio.keys(h), audio.values(h));
        let x = Rows { values: &queries.values[first * queries.stride + column..], stride: queries.stride, count };
        let finish = Finish { scale: heads.scale(), ..Finish::PLAIN };
        // SAFETY: the scores of all queries and frames are this thread's.
        unsafe {
            let target = Target { start: scores.as_mut_ptr(), stride: score_row };
            kernels::product(x, keys, 0..keys.count(), target, finish);
        }
        for (row, scores) in queries.rows.zip(scores.chunks_exact_mut(score_row)) {
            see(row, &scores[..frames]);
            kernels::softmax(&mut scores[..frames]);
        }
        let x = Rows { values: scores, stride: score_row, count };
        let target = Target { start: out.at(first * width + column), stride: width };
        // SAFETY: this head's columns of these rows belong to this task.
        unsafe { kernels::product(x, values, 0..values.count(), target, Finish::PLAIN) };
    });
}
