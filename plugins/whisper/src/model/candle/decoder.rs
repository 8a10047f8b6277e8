//! Tokens and audio to next-token logits.

use candle_core::{DType, Result, Tensor};

use super::encoder::keys_and_values;
use super::layers::{Heads, Linear, Norm, Perceptron, Target, mix};
use super::plan::{Group, Plan, Run};
use super::rows::Buffers;
use crate::weights;

/// The decoder's weights.
#[derive(Debug)]
pub(super) struct Decoder {
    target: Target,
    heads: Heads,
    /// Numbers of the keys and values of a row's heads, `[2, 1, heads, 1]`.
    sides: Tensor,
    /// `[n_vocab, d_model]`; also the output projection. Not bfloat16: logits need the digits more than the range.
    embedding: Tensor,
    /// `[n_text_ctx, d_model]`
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
}

#[derive(Debug)]
struct Block {
    norm: Norm,
    /// Queries, scaled.
    query: Linear,
    key_value: Linear,
    out: Linear,
    cross_norm: Norm,
    /// Queries to the audio, scaled.
    cross_query: Linear,
    /// Of the audio.
    cross_key_value: Linear,
    cross_out: Linear,
    perceptron: Perceptron,
}

/// A step's numbers on the device.
pub(super) struct Step<'a> {
    pub(super) plan: &'a Plan,
    /// `[rows]` each
    pub(super) tokens: Tensor,
    pub(super) positions: Tensor,
    /// First of the rows that the step's keys and values get.
    pub(super) first: usize,
    /// For each group.
    pub(super) histories: Vec<History>,
    /// Rows of the matrix whose logits are wanted.
    pub(super) chosen: Tensor,
}

/// What the beams of a group look back at.
pub(super) struct History {
    /// Keys' and values' places in the buffer of rows cut into heads, `[2 · beams · heads · longest]`.
    places: Tensor,
    /// Added to the scores, `[beams, 1, n, longest]`; none where every token sees all.
    mask: Option<Tensor>,
}

/// Cross-attention scores before the softmax that are to be kept: (layer, head) pairs, and their `[tokens, frames]`.
pub(super) struct Watch<'a> {
    pub(super) heads: &'a [(usize, usize)],
    pub(super) scores: Vec<Option<Tensor>>,
}

impl Decoder {
    pub(super) fn new(target: &Target, weights: weights::Decoder, heads: usize) -> Result<Self> {
        let d = weights.embedding.cols();
        let heads = Heads::new(d, heads);
        let precise = match target.dtype {
            DType::BF16 => Target { dtype: DType::F16, ..target.clone() },
            _ => target.clone(),
        };
        // One block after the other leaves the host's memory.
        let blocks = weights.blocks.into_iter().map(|block| Block::new(target, &block, heads, d));
        Ok(Self {
            target: target.clone(),
            heads,
            sides: Tensor::arange(0, 2 * heads.count as u32, &target.device)?.reshape((2, 1, heads.count, 1))?,
            embedding: precise.whole(&weights.embedding)?,
            positions: target.tensor(&weights.positions, &[weights.positions.len() / d, d])?,
            blocks: blocks.collect::<Result<_>>()?,
            norm: Norm::new(target, &weights.norm)?,
        })
    }

    /// Computes the audio's keys and values from encoder output, `[windows, frames, d_model]`, and writes them to `slots` of the
    /// buffers, one for each window: keys of layer `l` at `2 l`, values behind them.
    pub(super) fn hear(&self, hidden: &Tensor, audio: &Buffers, slots: &[usize]) -> Result<()> {
        let (windows, frames, _) = hidden.dims3()?;
        let hidden = hidden.flatten_to(1)?;
        for (index, block) in self.blocks.iter().enumerate() {
            let kv = keys_and_values(&block.cross_key_value.forward(&hidden)?, self.heads, windows, frames)?;
            for (side, all) in kv.iter().enumerate() {
                let missing = audio.layer(0).dim(2)? - frames;
                let all = if missing == 0 { all.clone() } else { all.pad_with_zeros(2, 0, missing)? };
                for (window, &slot) in slots.iter().enumerate() {
                    audio.write(2 * index + side, slot, &all.narrow(0, window, 1)?)?;
                }
            }
        }
        Ok(())
    }

    /// The tables of a group, from the rows that each of its beams consists of, those of this step included.
    pub(super) fn history(&self, group: &Group, beams: &[Vec<u32>]) -> Result<History> {
        let (longest, n) = (group.longest, group.n);
        // A row is the keys of all heads, then their values.
        let per_row = 2 * self.heads.count as u32;
        let mut table = Vec::with_capacity(beams.len() * longest);
        for rows in beams {
            table.extend(rows.iter().map(|row| row * per_row));
            // Any row will do, the mask hides it.
            table.resize(table.len() + longest - rows.len(), rows[0] * per_row);
        }
        let rows = Tensor::from_vec(table, (1, beams.len(), 1, longest), &self.target.device)?;
        let places = rows.broadcast_add(&self.sides)?.flatten_all()?;

        let sees_all = n == 1 && beams.iter().all(|rows| rows.len() == longest);
        let mask = match sees_all {
            true => None,
            false => {
                let mut mask = vec![0.0_f32; beams.len() * n * longest];
                for (rows, mask) in beams.iter().zip(mask.chunks_exact_mut(n * longest)) {
                    for (token, mask) in mask.chunks_exact_mut(longest).enumerate() {
                        mask[rows.len() - (n - 1 - token)..].fill(f32::NEG_INFINITY);
                    }
                }
                Some(self.target.tensor(&mask, &[beams.len(), 1, n, longest])?)
            }
        };
        Ok(History { places, mask })
    }

    /// Logits at the chosen rows, `[chosen, n_vocab]`. The step's keys and values are in `rows` afterwards.
    pub(super) fn forward(
        &self,
        step: &Step<'_>,
        rows: &Buffers,
        audio: &Buffers,
        mut watch: Option<&mut Watch<'_>>,
    ) -> Result<Tensor> {
        let plan = step.plan;
        let embedded = self.embedding.index_select(&step.tokens, 0)?.to_dtype(self.target.dtype)?;
        let mut x = (embedded + self.positions.index_select(&step.positions, 0)?)?;
        for (index, block) in self.blocks.iter().enumerate() {
            let normed = block.norm.forward(&x)?;
            let queries = block.query.forward(&normed)?;
            rows.write(index, step.first, &block.key_value.forward(&normed)?)?;
            let groups = plan.groups.iter().zip(&step.histories);
            let mixed = groups.map(|(group, history)| self.own(group, history, rows.layer(index), &queries));
            x = (x + block.out.forward(&joined(mixed)?)?)?;

            let queries = block.cross_query.forward(&block.cross_norm.forward(&x)?)?;
            let sides = (audio.layer(2 * index), audio.layer(2 * index + 1));
            let mixed = plan.runs.iter().map(|run| self.cross(run, sides, &queries, index, watch.as_deref_mut()));
            x = (x + block.cross_out.forward(&joined(mixed)?)?)?;

            x = block.perceptron.forward(&x)?;
        }
        let chosen = self.norm.forward(&x.index_select(&step.chosen, 0)?)?;
        chosen.to_dtype(self.embedding.dtype())?.matmul(&self.embedding.t()?)
    }

    /// Attention of a group's tokens to those of their own beams.
    fn own(&self, group: &Group, history: &History, rows: &Tensor, queries: &Tensor) -> Result<Tensor> {
        let heads = self.heads;
        let queries = heads.split(&queries.narrow(0, group.rows.start, group.rows.len())?, group.beams, group.n)?;
        let seen = rows.reshape(((), heads.size))?.index_select(&history.places, 0)?;
        let seen = seen.reshape((2, group.beams, heads.count, group.longest, heads.size))?;
        let scores = queries.matmul(&seen.get(0)?.t()?)?;
        let scores = match &history.mask {
            Some(mask) => scores.broadcast_add(mask)?,
            None => scores,
        };
        heads.join(&mix(&scores, &seen.get(1)?)?)
    }

    /// Attention of a run's tokens to their audio.
    fn cross(
        &self,
        run: &Run,
        (keys, values): (&Tensor, &Tensor),
        queries: &Tensor,
        layer: usize,
        watch: Option<&mut Watch<'_>>,
    ) -> Result<Tensor> {
        let windows = run.slots.len();
        let of_run = |side: &Tensor| {
            let side = side.narrow(0, run.slots.start, windows)?;
            match side.dim(2)? {
                frames if frames == run.frames => Ok(side),
                _ => side.narrow(2, 0, run.frames)?.contiguous(),
            }
        };
        let queries = queries.narrow(0, run.rows.start, run.rows.len())?;
        let queries = self.heads.split(&queries, windows, run.rows.len() / windows)?;
        let scores = queries.matmul(&of_run(keys)?.t()?)?;
        if let Some(watch) = watch {
            for (&(_, head), kept) in watch.heads.iter().zip(&mut watch.scores).filter(|((l, _), _)| *l == layer) {
                *kept = Some(scores.get(0)?.get(head)?);
            }
        }
        self.heads.join(&mix(&scores, &of_run(values)?)?)
    }
}

impl Block {
    fn new(target: &Target, block: &weights::DecoderBlock, heads: Heads, d: usize) -> Result<Self> {
        Ok(Self {
            norm: Norm::new(target, &block.own.attention_norm)?,
            query: Linear::rows(target, &block.own.qkv, 0..d, heads.scale())?,
            key_value: Linear::rows(target, &block.own.qkv, d..3 * d, 1.0)?,
            out: Linear::new(target, &block.own.out)?,
            cross_norm: Norm::new(target, &block.cross_norm)?,
            cross_query: Linear::rows(target, &block.cross_q, 0..d, heads.scale())?,
            cross_key_value: Linear::new(target, &block.cross_kv)?,
            cross_out: Linear::new(target, &block.cross_out)?,
            perceptron: Perceptron::new(target, &block.own)?,
        })
    }
}

/// Parts one below the other.
fn joined(parts: impl Iterator<Item = Result<Tensor>>) -> Result<Tensor> {
    let parts = parts.collect::<Result<Vec<_>>>()?;
    match &parts[..] {
        [part] => Ok(part.clone()),
        parts => Tensor::cat(parts, 0),
    }
}

/// A tensor's numbers in the host's memory, in single precision.
pub(super) fn fetch(tensor: &Tensor) -> Result<Vec<f32>> {
    let tensor = tensor.flatten_all()?;
    match tensor.dtype() {
        // Widened here: half as many bytes to move.
        DType::F16 => {
            use half::slice::HalfFloatSliceExt as _;
            Ok(tensor.to_vec1::<half::f16>()?.to_f32_vec())
        }
        _ => tensor.to_dtype(DType::F32)?.to_vec1(),
    }
}
