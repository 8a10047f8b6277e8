//! Tokens and audio features to next-token logits, with everything computed before kept.

use super::attention::{self, Heads, Watched};
use super::cache::{AudioLayer, Lineage, SelfLayer};
use super::linear::{Into, Workspace, linear, project};
use super::session::{ModelError, TokenModel};
use super::{AudioFeatures, WhisperModel};
use crate::kernels;

/// A decoding run over one window; see [`TokenModel`].
#[derive(Debug)]
pub struct Session<'m> {
    model: &'m WhisperModel,
    audio: &'m AudioFeatures,
    lineage: Lineage,
    layers: Vec<SelfLayer>,
    work: Work,
}

/// Buffers of a step.
#[derive(Debug, Default)]
struct Work {
    /// The residual stream, `[rows, d]`.
    x: Vec<f32>,
    normed: Vec<f32>,
    qkv: Vec<f32>,
    query: Vec<f32>,
    mixed: Vec<f32>,
    inner: Vec<f32>,
    /// Rows whose logits are wanted.
    chosen: Vec<f32>,
    space: Workspace,
}

/// Cross-attention scores to be kept: (layer, head) pairs and, for each, `[tokens, frames]` before the softmax.
pub(super) struct Watch {
    pub(super) heads: Vec<(usize, usize)>,
    pub(super) scores: Vec<Vec<f32>>,
}

impl<'m> Session<'m> {
    pub(super) fn new(model: &'m WhisperModel, audio: &'m AudioFeatures) -> Self {
        let dims = model.dims();
        let layers = (0..dims.decoder_layers).map(|_| SelfLayer::new(dims.d_model)).collect();
        Self { model, audio, lineage: Lineage::new(dims.n_text_ctx), layers, work: Work::default() }
    }

    /// Checks a call's arguments; returns the number of tokens per beam.
    fn check(&self, tokens: &[u32], positions: &[usize]) -> Result<usize, ModelError> {
        let (dims, beams) = (self.model.dims(), self.lineage.beams());
        let n = tokens.len() / beams;
        if n == 0 || !tokens.len().is_multiple_of(beams) {
            return Err(ModelError::shape(
                "the number of tokens",
                tokens.len(),
                format!("a multiple of the {beams} beams"),
            ));
        }
        let wanted = self.lineage.fed() + n;
        if wanted > dims.n_text_ctx {
            return Err(ModelError::ContextOverflow { wanted, context: dims.n_text_ctx });
        }
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= dims.n_vocab) {
            return Err(ModelError::UnknownToken { token, vocab: dims.n_vocab });
        }
        if let Some(&position) = positions.iter().find(|&&position| position >= n) {
            return Err(ModelError::shape("a position", position, format!("below the number of tokens per beam, {n}")));
        }
        Ok(n)
    }

    pub(super) fn forward_watched(
        &mut self,
        tokens: &[u32],
        positions: &[usize],
        logits: &mut Vec<f32>,
        mut watch: Option<&mut Watch>,
    ) -> Result<(), ModelError> {
        let n = self.check(tokens, positions)?;
        let Self { model, audio, lineage, layers, work } = self;
        let (dims, weights, team) = (model.dims(), &model.weights.decoder, &model.team);
        let (d, rows) = (dims.d_model, tokens.len());
        let heads = Heads::new(d, dims.decoder_heads);
        let first = lineage.fed();
        lineage.feed(n);
        logits.resize(lineage.beams() * positions.len() * dims.n_vocab, 0.0);

        team.run(|| {
            work.x.resize(rows * d, 0.0);
            for ((row, x), &token) in work.x.chunks_exact_mut(d).enumerate().zip(tokens) {
                let position = first + row % n;
                weights.embedding.row(token as usize, x);
                x.iter_mut().zip(&weights.positions[position * d..]).for_each(|(x, p)| *x += p);
            }
            for (index, ((block, layer), audio)) in
                weights.blocks.iter().zip(layers.iter_mut()).zip(&audio.layers).enumerate()
            {
                let own = &block.own;
                norm(&own.attention_norm, &work.x, &mut work.normed);
                work.qkv.resize(rows * 3 * d, 0.0);
                linear(team, &own.qkv, &work.normed, &mut work.qkv, Into::Replace, &mut work.space);
                layer.append(&work.qkv);
                work.mixed.resize(rows * d, 0.0);
                attention::causal(team, heads, lineage, layer, n, &work.qkv, &mut work.mixed);
                linear(team, &own.out, &work.mixed, &mut work.x, Into::Add, &mut work.space);

                norm(&block.cross_norm, &work.x, &mut work.normed);
                work.query.resize(rows * d, 0.0);
                linear(team, &block.cross_q, &work.normed, &mut work.query, Into::Replace, &mut work.space);
                let watched = watch.as_deref_mut().map(|watch| watch.layer(index));
                attention::cross(team, heads, audio, &work.query, &mut work.mixed, watched);
                linear(team, &block.cross_out, &work.mixed, &mut work.x, Into::Add, &mut work.space);

                norm(&own.mlp_norm, &work.x, &mut work.normed);
                work.inner.resize(rows * own.fc1.weight.rows(), 0.0);
                linear(team, &own.fc1, &work.normed, &mut work.inner, Into::Replace, &mut work.space);
                kernels::gelu(&mut work.inner);
                linear(team, &own.fc2, &work.inner, &mut work.x, Into::Add, &mut work.space);
            }
            // Logits are the dearest matrix of all: only for the rows that are asked for.
            work.chosen.clear();
            for beam in 0..lineage.beams() {
                for position in positions {
                    let row = beam * n + position;
                    work.chosen.extend_from_slice(&work.x[row * d..(row + 1) * d]);
                }
            }
            norm(&weights.norm, &work.chosen, &mut work.normed);
            project(team, &weights.embedding, None, &work.normed, logits, Into::Replace, &mut work.space);
        });
        Ok(())
    }
}

impl TokenModel for Session<'_> {
    fn vocab_size(&self) -> usize {
        self.model.dims().n_vocab
    }

    fn context(&self) -> usize {
        self.model.dims().n_text_ctx
    }

    fn beams(&self) -> usize {
        self.lineage.beams()
    }

    fn fed(&self) -> usize {
        self.lineage.fed()
    }

    fn forward(&mut self, tokens: &[u32], positions: &[usize], logits: &mut Vec<f32>) -> Result<(), ModelError> {
        self.forward_watched(tokens, positions, logits, None)
    }

    fn reorder(&mut self, source: &[usize]) -> Result<(), ModelError> {
        let beams = self.lineage.beams();
        if source.is_empty() {
            return Err(ModelError::shape("the number of beams", 0, "at least 1"));
        }
        if let Some(beam) = source.iter().find(|&&beam| beam >= beams) {
            return Err(ModelError::shape("a beam to continue", beam, format!("below {beams}")));
        }
        self.lineage.reorder(source);
        Ok(())
    }
}

impl Watch {
    fn layer(&mut self, layer: usize) -> Watched<'_> {
        let watched = self.heads.iter().zip(&mut self.scores).filter(|((l, _), _)| *l == layer);
        Watched { heads: watched.map(|(&(_, head), scores)| (head, scores.as_mut_slice())).collect() }
    }
}

fn norm(norm: &crate::weights::Norm, x: &[f32], out: &mut Vec<f32>) {
    out.resize(x.len(), 0.0);
    kernels::layer_norm(x, &norm.weight, &norm.bias, out);
}

/// The audio's keys and values for every layer.
pub(super) fn audio_layers(model: &WhisperModel, hidden: &[f32]) -> Vec<AudioLayer> {
    let dims = model.dims();
    let frames = hidden.len() / dims.d_model;
    let mut space = Workspace::default();
    let mut kv = vec![0.0; frames * 2 * dims.d_model];
    let blocks = &model.weights.decoder.blocks;
    blocks
        .iter()
        .map(|block| {
            linear(&model.team, &block.cross_kv, hidden, &mut kv, Into::Replace, &mut space);
            AudioLayer::new(&kv, frames, dims.decoder_heads, model.half_audio)
        })
        .collect()
}
