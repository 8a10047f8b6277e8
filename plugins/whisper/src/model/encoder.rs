//! Log-mel frames to audio features.

use super::attention::{self, Heads};
use super::cache::FrameKv;
use super::linear::{Into, Workspace, convolve, linear};
use super::packed::Packed;
use super::team::{Shared, Team};
use crate::kernels;
use crate::weights::{Block, Encoder};

/// Frames that one convolution output sees.
const CONV_WIDTH: usize = 3;
/// Values that one thread takes at least in element-wise work.
const GRAIN: usize = 4096;

/// Encodes `mel` (`[n_mels, frames]`): `[frames / 2, d_model]`.
///
/// `frames` is even and at most twice the number of positions.
pub(super) fn encode(team: &Team, weights: &Encoder<Packed>, heads: usize, mel: &[f32], frames: usize) -> Vec<f32> {
    let d = weights.conv1.rows();
    let n_mels = mel.len() / frames;
    let heads = Heads::new(d, heads);

    // Convolutions as matrix products: with a frame of zeros at either end, output frame t sees three neighbouring rows, which lie one
    // behind the other in memory.
    let mut padded = vec![0.0; (frames + 2) * n_mels]; // [1 + frames + 1, n_mels]
    for (bin, row) in mel.chunks_exact(frames).enumerate() {
        for (frame, &value) in row.iter().enumerate() {
            padded[(frame + 1) * n_mels + bin] = value;
        }
    }
    let mut hidden = vec![0.0; (frames + 2) * d]; // [1 + frames + 1, d]
    let inner = &mut hidden[d..(frames + 1) * d];
    convolve(team, &weights.conv1, &weights.conv1_bias, &padded, n_mels, inner);
    activate(team, inner);
    let out_frames = frames / 2;
    let mut x = vec![0.0; out_frames * d]; // [frames / 2, d]
    convolve(team, &weights.conv2, &weights.conv2_bias, &hidden, 2 * d, &mut x);
    activate(team, &mut x);
    x.iter_mut().zip(&weights.positions).for_each(|(x, position)| *x += position);
    debug_assert_eq!(weights.conv1.cols(), CONV_WIDTH * n_mels);
    drop((padded, hidden));

    let mut work = Work {
        normed: vec![0.0; x.len()],
        qkv: vec![0.0; 3 * x.len()],
        mixed: vec![0.0; x.len()],
        kv: FrameKv::new(out_frames, heads.count, heads.size),
        inner: Vec::new(),
        space: Workspace::default(),
    };
    for block in &weights.blocks {
        forward(team, block, heads, &mut x, &mut work);
    }
    normalise(team, &weights.norm.weight, &weights.norm.bias, &x, &mut work.normed);
    work.normed
}

/// Buffers that the blocks share.
struct Work {
    normed: Vec<f32>,
    qkv: Vec<f32>,
    mixed: Vec<f32>,
    /// The keys and values of `qkv`, laid out by head.
    kv: FrameKv<f32>,
    /// Inside the perceptron.
    inner: Vec<f32>,
    space: Workspace,
}

fn forward(team: &Team, block: &Block<Packed>, heads: Heads, x: &mut [f32], work: &mut Work) {
    normalise(team, &block.attention_norm.weight, &block.attention_norm.bias, x, &mut work.normed);
    linear(team, &block.qkv, &work.normed, &mut work.qkv, Into::Replace, &mut work.space);
    attention::full(team, heads, &work.qkv, &mut work.kv, &mut work.mixed);
    linear(team, &block.out, &work.mixed, x, Into::Add, &mut work.space);

    normalise(team, &block.mlp_norm.weight, &block.mlp_norm.bias, x, &mut work.normed);
    work.inner.resize(x.len() / block.fc1.weight.cols() * block.fc1.weight.rows(), 0.0);
    linear(team, &block.fc1, &work.normed, &mut work.inner, Into::Replace, &mut work.space);
    activate(team, &mut work.inner);
    linear(team, &block.fc2, &work.inner, x, Into::Add, &mut work.space);
}

fn activate(team: &Team, values: &mut [f32]) {
    let n = values.len();
    let values = Shared::new(values);
    // SAFETY: the ranges are disjoint.
    team.ranges(n, GRAIN, &|range| kernels::gelu(unsafe { values.part(range) }));
}

fn normalise(team: &Team, weight: &[f32], bias: &[f32], x: &[f32], out: &mut [f32]) {
    let d = weight.len();
    let out = Shared::new(out);
    team.ranges(x.len() / d, GRAIN.div_ceil(d), &|rows| {
        let range = rows.start * d..rows.end * d;
        // SAFETY: the ranges are disjoint.
        kernels::layer_norm(&x[range.clone()], weight, bias, unsafe { out.part(range) });
    });
}
