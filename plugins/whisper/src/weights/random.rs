//! Networks of random weights: speed depends on sizes, not on values, and two backends can be compared on any weights.

use half::f16;

use super::{Block, Decoder, DecoderBlock, Dims, Encoder, Linear, Matrix, Norm, Values, Weights};
use crate::search::{SplitMix, Uniform as _};

/// Standard deviations from the middle to the end of a uniform distribution: √3.
const SPREAD: f32 = 1.732_050_8;

/// A network of these sizes, in half precision as the published ones. The same seed gives the same network.
#[must_use]
pub fn weights(dims: Dims, seed: u64) -> Weights {
    let mut draw = Draw(SplitMix::new(seed));
    let d = dims.d_model;
    let encoder = Encoder {
        conv1: draw.matrix(d, 3 * dims.n_mels),
        conv1_bias: draw.numbers(d, 0.1),
        conv2: draw.matrix(d, 3 * d),
        conv2_bias: draw.numbers(d, 0.1),
        positions: draw.numbers(dims.n_audio_ctx * d, 0.5),
        blocks: (0..dims.encoder_layers).map(|_| draw.block(d)).collect(),
        norm: draw.norm(d),
    };
    let decoder = Decoder {
        embedding: draw.matrix(dims.n_vocab, d),
        positions: draw.numbers(dims.n_text_ctx * d, 0.1),
        blocks: (0..dims.decoder_layers)
            .map(|_| DecoderBlock {
                own: draw.block(d),
                cross_norm: draw.norm(d),
                cross_q: draw.linear(d, d),
                cross_kv: draw.linear(2 * d, d),
                cross_out: draw.linear(d, d),
            })
            .collect(),
        norm: draw.norm(d),
    };
    Weights { dims, alignment_heads: vec![(0, 0)], encoder, decoder }
}

/// Uniform numbers around 0 with standard deviation 1.
pub fn numbers(seed: u64, count: usize) -> Vec<f32> {
    Draw(SplitMix::new(seed)).numbers(count, 1.0)
}

struct Draw(SplitMix);

impl Draw {
    /// A number of this standard deviation.
    fn number(&mut self, deviation: f32) -> f32 {
        (2.0 * self.0.next() as f32 - 1.0) * SPREAD * deviation
    }

    fn numbers(&mut self, count: usize, deviation: f32) -> Vec<f32> {
        (0..count).map(|_| self.number(deviation)).collect()
    }

    /// Outputs are as large as inputs.
    fn matrix(&mut self, rows: usize, cols: usize) -> Matrix {
        let deviation = (cols as f32).sqrt().recip();
        let values = (0..rows * cols).map(|_| f16::from_f32(self.number(deviation))).collect();
        Matrix::new(rows, cols, Values::F16(values))
    }

    fn linear(&mut self, rows: usize, cols: usize) -> Linear {
        Linear { weight: self.matrix(rows, cols), bias: self.numbers(rows, 0.1) }
    }

    fn norm(&mut self, d: usize) -> Norm {
        Norm { weight: (0..d).map(|_| 1.0 + self.number(0.1)).collect(), bias: self.numbers(d, 0.1) }
    }

    fn block(&mut self, d: usize) -> Block {
        Block {
            attention_norm: self.norm(d),
            qkv: self.linear(3 * d, d),
            out: self.linear(d, d),
            mlp_norm: self.norm(d),
            fc1: self.linear(4 * d, d),
            fc2: self.linear(d, 4 * d),
        }
    }
}
