//! The network's weights, free of any checkpoint's names.

pub mod random;

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Sizes of a Whisper network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dims {
    /// Mel bins of the input.
    pub n_mels: usize,
    /// Frames after the convolutions: 1500 for 30 s.
    pub n_audio_ctx: usize,
    /// Positions of the decoder.
    pub n_text_ctx: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Attention heads of the encoder.
    pub encoder_heads: usize,
    /// Attention heads of the decoder.
    pub decoder_heads: usize,
    /// Blocks of the encoder.
    pub encoder_layers: usize,
    /// Blocks of the decoder.
    pub decoder_layers: usize,
    /// Tokens.
    pub n_vocab: usize,
}

/// All weights of a model, with matrices as they come from a checkpoint or as a device wants them.
#[derive(Debug)]
pub struct Weights<M = Matrix> {
    /// Sizes.
    pub dims: Dims,
    /// (layer, head) pairs whose cross attention follows the audio.
    pub alignment_heads: Vec<(usize, usize)>,
    /// The encoder's.
    pub encoder: Encoder<M>,
    /// The decoder's.
    pub decoder: Decoder<M>,
}

impl Weights {
    /// Turns every matrix into another form: those of linear layers (the token embedding included) with `linear`, those of
    /// convolutions with `conv`. One after another, so that not all are there in both forms.
    pub(crate) fn map<M>(self, linear: &impl Fn(Matrix) -> M, conv: &impl Fn(Matrix) -> M) -> Weights<M> {
        let Encoder { conv1, conv1_bias, conv2, conv2_bias, positions, blocks, norm } = self.encoder;
        let encoder = Encoder {
            conv1: conv(conv1),
            conv1_bias,
            conv2: conv(conv2),
            conv2_bias,
            positions,
            blocks: blocks.into_iter().map(|block| block.map(linear)).collect(),
            norm,
        };
        let Decoder { embedding, positions, blocks, norm } = self.decoder;
        let decoder = Decoder {
            embedding: linear(embedding),
            positions,
            blocks: blocks.into_iter().map(|block| block.map(linear)).collect(),
            norm,
        };
        Weights { dims: self.dims, alignment_heads: self.alignment_heads, encoder, decoder }
    }
}

impl Block {
    fn map<M>(self, linear: &impl Fn(Matrix) -> M) -> Block<M> {
        Block {
            attention_norm: self.attention_norm,
            qkv: self.qkv.map(linear),
            out: self.out.map(linear),
            mlp_norm: self.mlp_norm,
            fc1: self.fc1.map(linear),
            fc2: self.fc2.map(linear),
        }
    }
}

impl DecoderBlock {
    fn map<M>(self, linear: &impl Fn(Matrix) -> M) -> DecoderBlock<M> {
        DecoderBlock {
            own: self.own.map(linear),
            cross_norm: self.cross_norm,
            cross_q: self.cross_q.map(linear),
            cross_kv: self.cross_kv.map(linear),
            cross_out: self.cross_out.map(linear),
        }
    }
}

impl Linear {
    fn map<M>(self, linear: &impl Fn(Matrix) -> M) -> Linear<M> {
        Linear { weight: linear(self.weight), bias: self.bias }
    }
}

/// Weights of the encoder.
#[derive(Debug)]
pub struct Encoder<M = Matrix> {
    /// `[d_model, 3 · n_mels]`: over three neighbouring frames.
    pub conv1: M,
    /// `[d_model]`
    pub conv1_bias: Vec<f32>,
    /// `[d_model, 3 · d_model]`: over three neighbouring frames.
    pub conv2: M,
    /// `[d_model]`
    pub conv2_bias: Vec<f32>,
    /// `[n_audio_ctx, d_model]`
    pub positions: Vec<f32>,
    /// First to last.
    pub blocks: Vec<Block<M>>,
    /// After the last block.
    pub norm: Norm,
}

/// Weights of the decoder.
#[derive(Debug)]
pub struct Decoder<M = Matrix> {
    /// `[n_vocab, d_model]`; also the output projection.
    pub embedding: M,
    /// `[n_text_ctx, d_model]`
    pub positions: Vec<f32>,
    /// First to last.
    pub blocks: Vec<DecoderBlock<M>>,
    /// After the last block.
    pub norm: Norm,
}

/// Self attention and perceptron: all of an encoder block, most of a decoder block.
#[derive(Debug)]
pub struct Block<M = Matrix> {
    /// Before the attention.
    pub attention_norm: Norm,
    /// `[3 · d_model, d_model]`: queries, keys, values.
    pub qkv: Linear<M>,
    /// `[d_model, d_model]`
    pub out: Linear<M>,
    /// Before the perceptron.
    pub mlp_norm: Norm,
    /// `[4 · d_model, d_model]`
    pub fc1: Linear<M>,
    /// `[d_model, 4 · d_model]`
    pub fc2: Linear<M>,
}

/// A decoder block.
#[derive(Debug)]
pub struct DecoderBlock<M = Matrix> {
    /// What it shares with encoder blocks.
    pub own: Block<M>,
    /// Before the cross attention.
    pub cross_norm: Norm,
    /// `[d_model, d_model]`
    pub cross_q: Linear<M>,
    /// `[2 · d_model, d_model]`: keys, values of the audio.
    pub cross_kv: Linear<M>,
    /// `[d_model, d_model]`
    pub cross_out: Linear<M>,
}

/// Gain and offset of a layer norm.
#[derive(Debug)]
pub struct Norm {
    /// Gain.
    pub weight: Vec<f32>,
    /// Offset.
    pub bias: Vec<f32>,
}

/// `y = W x + b`.
#[derive(Debug)]
pub struct Linear<M = Matrix> {
    /// `[out, in]`
    pub weight: M,
    /// `[out]`
    pub bias: Vec<f32>,
}

/// A matrix `[rows, cols]`, row-major, in the form it is kept in memory.
#[derive(Clone, Debug)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    values: Values,
}

/// Elements of a [`Matrix`].
#[derive(Clone, Debug)]
pub enum Values {
    /// As they are.
    F32(Vec<f32>),
    /// Half precision; computed with in single precision.
    F16(Vec<f16>),
    /// `value = q / scale[row]`, `q` in −127 … 127.
    Int8 {
        /// Quantised values.
        q: Vec<i8>,
        /// One per row.
        scale: Vec<f32>,
    },
}

impl Matrix {
    /// # Panics
    /// The values don't fill the shape; they come from a tensor of that shape.
    pub fn new(rows: usize, cols: usize, values: Values) -> Self {
        let len = match &values {
            Values::F32(values) => values.len(),
            Values::F16(values) => values.len(),
            Values::Int8 { q, .. } => q.len(),
        };
        assert_eq!(len, rows * cols, "values of a {rows} x {cols} matrix");
        if let Values::Int8 { scale, .. } = &values {
            assert_eq!(scale.len(), rows, "one scale per row");
        }
        Self { rows, cols, values }
    }

    /// Rows (outputs of a linear layer).
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns (inputs of a linear layer).
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The elements.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// One row as f32.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        let range = row * self.cols..(row + 1) * self.cols;
        match &self.values {
            Values::F32(values) => out.copy_from_slice(&values[range]),
            Values::F16(values) => values[range].convert_to_f32_slice(out),
            Values::Int8 { q, scale } => {
                out.iter_mut().zip(&q[range]).for_each(|(out, &q)| *out = f32::from(q) / scale[row])
            }
        }
    }

    /// The elements, by value.
    pub(crate) fn into_values(self) -> Values {
        self.values
    }

    /// This matrix with `below` under it; `None` if widths or forms differ.
    pub(crate) fn stack(mut self, below: Self) -> Option<Self> {
        if self.cols != below.cols {
            return None;
        }
        match (&mut self.values, below.values) {
            (Values::F32(top), Values::F32(rest)) => top.extend(rest),
            (Values::F16(top), Values::F16(rest)) => top.extend(rest),
            (Values::F32(top), Values::F16(rest)) => top.extend(rest.into_iter().map(f16::to_f32)),
            (Values::F16(top), Values::F32(rest)) => {
                self.values = Values::F32(top.iter().map(|v| v.to_f32()).chain(rest).collect());
            }
            (Values::Int8 { q, scale }, Values::Int8 { q: q2, scale: scale2 }) => {
                q.extend(q2);
                scale.extend(scale2);
            }
            _ => return None,
        }
        self.rows += below.rows;
        Some(self)
    }
}

fn expect(what: &str, got: (usize, usize), wanted: (usize, usize)) -> Result<(), String> {
    if got == wanted {
        Ok(())
    } else {
        Err(format!("{what} is {} x {}, but {} x {} is needed", got.0, got.1, wanted.0, wanted.1))
    }
}

impl Linear {
    fn check(&self, what: &str, rows: usize, cols: usize) -> Result<(), String> {
        expect(what, (self.weight.rows, self.weight.cols), (rows, cols))?;
        expect(&format!("the bias of {what}"), (self.bias.len(), 1), (rows, 1))
    }
}

impl Norm {
    fn check(&self, what: &str, d: usize) -> Result<(), String> {
        expect(what, (self.weight.len(), self.bias.len()), (d, d))
    }
}

impl Block {
    fn check(&self, d: usize) -> Result<(), String> {
        let hidden = self.fc1.weight.rows;
        self.attention_norm.check("a norm before attention", d)?;
        self.qkv.check("a projection to queries, keys and values", 3 * d, d)?;
        self.out.check("a projection behind attention", d, d)?;
        self.mlp_norm.check("a norm before a perceptron", d)?;
        self.fc1.check("a perceptron's first layer", hidden, d)?;
        self.fc2.check("a perceptron's second layer", d, hidden)
    }
}

impl Encoder {
    /// Whether all shapes belong together, so that the network's loops can rely on it.
    pub(crate) fn check(&self, dims: &Dims) -> Result<(), String> {
        let d = dims.d_model;
        expect("conv1", (self.conv1.rows, self.conv1.cols), (d, 3 * dims.n_mels))?;
        expect("conv2", (self.conv2.rows, self.conv2.cols), (d, 3 * d))?;
        expect("the convolutions' biases", (self.conv1_bias.len(), self.conv2_bias.len()), (d, d))?;
        expect("the encoder's positions", (self.positions.len(), 1), (dims.n_audio_ctx * d, 1))?;
        self.norm.check("the encoder's last norm", d)?;
        self.blocks.iter().try_for_each(|block| block.check(d))
    }
}

impl Decoder {
    /// Whether all shapes belong together, so that the network's loops can rely on it.
    pub(crate) fn check(&self, dims: &Dims) -> Result<(), String> {
        let d = dims.d_model;
        expect("the token embedding", (self.embedding.rows, self.embedding.cols), (dims.n_vocab, d))?;
        expect("the decoder's positions", (self.positions.len(), 1), (dims.n_text_ctx * d, 1))?;
        self.norm.check("the decoder's last norm", d)?;
        self.blocks.iter().try_for_each(|block| {
            block.own.check(d)?;
            block.cross_norm.check("a norm before cross attention", d)?;
            block.cross_q.check("a projection to queries", d, d)?;
            block.cross_kv.check("a projection to the audio's keys and values", 2 * d, d)?;
            block.cross_out.check("a projection behind cross attention", d, d)
        })
    }
}
