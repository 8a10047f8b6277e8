//! Log-mel frames to audio features.

use super::attention::{self, Heads};
use super::cache::FrameKv;
use super::linear::{Into, Workspace, convolve, linear};
use super::packed::Packed;
use super::team::{Shared, Team};
use crate::kernels::{self, Aligned};
use crate::weights::{Block, Encoder};

/// Frames that one convolution output sees.
const CONV_WIDTH: usize = 3;
/// Values that one thread takes at least in element-wise work.
const GRAIN: usize = 4096;

/// Buffers of the work on one window, kept for the next.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// `[frames, d]`: normalised, or mixed by attention.
    narrow: Aligned<f32>,
    /// `[frames, 3 · d]`: queries, keys and values; or inside the perceptron, `[frames, 4 · d]`; or features before they are halved.
    pub(super) wide: Aligned<f32>,
    /// Keys and values, laid out by head.
    pub(super) kv: FrameKv<f32>,
    pub(super) space: Workspace,
}

/// Encodes `mel` (`[n_mels, frames]`): `[frames / 2, d_model]`.
///
/// `frames` is even and at most twice the number of positions.
pub(super) fn encode(
    team: &Team,
    weights: &Encoder<Packed>,
    heads: usize,
    mel: &[f32],
    frames: usize,
    work: &mut Work,
) -> Vec<f32> {
    let d = weights.conv1.rows();
    let n_mels = mel.len() / frames;
    let heads = Heads::new(d, heads);

    // Convolutions as matrix products: with a frame of zeros at either end, output frame t sees three neighbouring rows, which lie one
    // behind the other in memory.
    let padded = work.narrow.room((frames + 2) * n_mels); // [1 + frames + 1, n_mels]
    padded[..n_mels].fill(0.0);
    padded[(frames + 1) * n_mels..].fill(0.0);
    for (bin, row) in mel.chunks_exact(frames).enumerate() {
        for (frame, &value) in row.iter().enumerate() {
            padded[(frame + 1) * n_mels + bin] = value;
        }
    }
    let hidden = work.wide.room((frames + 2) * d); // [1 + frames + 1, d]
    hidden[..d].fill(0.0);
    hidden[(frames + 1) * d..].fill(0.0);
    let inner = &mut hidden[d..(frames + 1) * d];
    convolve(team, &weights.conv1, &weights.conv1_bias, padded, n_mels, inner);
    activate(team, inner);
    let out_frames = frames / 2;
    let mut x = vec![0.0; out_frames * d]; // [frames / 2, d]
    convolve(team, &weights.conv2, &weights.conv2_bias, hidden, 2 * d, &mut x);
    activate(team, &mut x);
    x.iter_mut().zip(&weights.positions).for_each(|(x, position)| *x += position);
    debug_assert_eq!(weights.conv1.cols(), CONV_WIDTH * n_mels);

    work.kv.fit(out_frames, heads.count, heads.size);
    for block in &weights.blocks {
        forward(team, block, heads, &mut x, work);
    }
    normalise(team, &weights.norm.weight, &weights.norm.bias, &x, work.narrow.room(x.len()));
    x.copy_from_slice(&work.narrow[..out_frames * d]);
    x
}

fn forward(team: &Team, block: &Block<Packed>, heads: Heads, x: &mut [f32], work: &mut Work) {
    let Work { narrow, wide, kv, space } = work;
    let narrow = narrow.room(x.len());
    normalise(team, &block.attention_norm.weight, &block.attention_norm.bias, x, narrow);
    let qkv = wide.room(3 * x.len());
    linear(team, &block.qkv, narrow, qkv, Into::Replace, space);
    attention::full(team, heads, qkv, kv, narrow);
    linear(team, &block.out, narrow, x, Into::Add, space);

    normalise(team, &block.mlp_norm.weight, &block.mlp_norm.bias, x, narrow);
    let inner = wide.room(x.len() / block.fc1.weight.cols() * block.fc1.weight.rows());
    linear(team, &block.fc1, narrow, inner, Into::Replace, space);
    activate(team, inner);
    linear(team, &block.fc2, inner, x, Into::Add, space);
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
