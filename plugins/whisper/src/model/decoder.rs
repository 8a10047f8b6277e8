//! Tokens and audio features to next-token logits, with everything computed before kept.

use std::sync::Arc;

use super::attention::{self, Heads, Watched};
use super::cache::{AudioLayer, Lineage, SelfLayer};
use super::encoder;
use super::linear::{Into, Workspace, linear, project};
use super::native::{Audio, Model};
use super::session::{ModelError, TokenModel, check_feed, check_reorder};
use crate::kernels;

/// A decoding run over one window; see [`TokenModel`].
#[derive(Debug)]
pub(super) struct Session {
    model: Arc<Model>,
    audio: Arc<Audio>,
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
    /// Logits of several sessions.
    logits: Vec<f32>,
    space: Workspace,
}

/// Cross-attention scores to be kept: (layer, head) pairs and, for each, `[tokens, frames]` before the softmax.
pub(super) struct Watch {
    pub(super) heads: Vec<(usize, usize)>,
    pub(super) scores: Vec<Vec<f32>>,
}

impl Session {
    pub(super) fn new(model: Arc<Model>, audio: Arc<Audio>) -> Self {
        let dims = model.dims();
        let context = dims.n_text_ctx;
        let layers = (0..dims.decoder_layers).map(|_| SelfLayer::new(dims.d_model)).collect();
        Self { model, audio, lineage: Lineage::new(context), layers, work: Work::default() }
    }

    pub(super) fn forward_watched(
        &mut self,
        tokens: &[u32],
        positions: &[usize],
        logits: &mut Vec<f32>,
        watch: Option<&mut Watch>,
    ) -> Result<(), ModelError> {
        let model = Arc::clone(&self.model);
        let mut work = std::mem::take(&mut self.work);
        let done = forward(&model, &mut [Feed { session: self, tokens, positions, logits }], &mut work, watch);
        self.work = work;
        done
    }
}

/// What one session is fed in a step of a [`Batch`]; see [`TokenModel::forward`].
#[derive(Debug)]
pub(super) struct Feed<'s> {
    /// The session.
    pub(super) session: &'s mut Session,
    /// `[beams, n]`
    pub(super) tokens: &'s [u32],
    /// Indices into the `n` tokens.
    pub(super) positions: &'s [usize],
    /// `[beams, positions, vocabulary]`, overwritten.
    pub(super) logits: &'s mut Vec<f32>,
}

/// Steps of several sessions of one model at once: each weight is read once for all of them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    work: Work,
}

impl Batch {
    /// Feeds each session its tokens. Sessions may have different lengths, numbers of beams and numbers of tokens.
    ///
    /// # Errors
    /// As [`TokenModel::forward`]; all sessions are unchanged then.
    pub(super) fn forward(&mut self, model: &Model, feeds: &mut [Feed<'_>]) -> Result<(), ModelError> {
        forward(model, feeds, &mut self.work, None)
    }
}

fn forward(
    model: &Model,
    feeds: &mut [Feed<'_>],
    work: &mut Work,
    mut watch: Option<&mut Watch>,
) -> Result<(), ModelError> {
    for feed in feeds.iter() {
        check_feed(feed.session, feed.tokens, feed.positions)?;
    }
    let (dims, weights, team) = (model.dims(), &model.weights.decoder, &model.team);
    let d = dims.d_model;
    let rows: usize = feeds.iter().map(|feed| feed.tokens.len()).sum();
    let heads = Heads::new(d, dims.decoder_heads);

    team.run(|| {
        work.x.resize(rows * d, 0.0);
        let mut x_rows = work.x.chunks_exact_mut(d);
        for feed in feeds.iter_mut() {
            let (first, n) = (feed.session.lineage.fed(), feed.tokens.len() / feed.session.lineage.beams());
            feed.session.lineage.feed(n);
            for ((row, &token), x) in feed.tokens.iter().enumerate().zip(x_rows.by_ref()) {
                let position = first + row % n;
                weights.embedding.row(token as usize, x);
                x.iter_mut().zip(&weights.positions[position * d..]).for_each(|(x, p)| *x += p);
            }
        }
        for (index, block) in weights.blocks.iter().enumerate() {
            let own = &block.own;
            norm(&own.attention_norm, &work.x, &mut work.normed);
            work.qkv.resize(rows * 3 * d, 0.0);
            linear(team, &own.qkv, &work.normed, &mut work.qkv, Into::Replace, &mut work.space);
            work.mixed.resize(rows * d, 0.0);
            let mut from = 0;
            for feed in feeds.iter_mut() {
                let of_feed = from..from + feed.tokens.len();
                from = of_feed.end;
                let Session { lineage, layers, .. } = &mut *feed.session;
                let qkv = &work.qkv[of_feed.start * 3 * d..of_feed.end * 3 * d];
                layers[index].append(qkv);
                let mixed = &mut work.mixed[of_feed.start * d..of_feed.end * d];
                attention::causal(
                    team,
                    heads,
                    lineage,
                    &layers[index],
                    feed.tokens.len() / lineage.beams(),
                    qkv,
                    mixed,
                );
            }
            linear(team, &own.out, &work.mixed, &mut work.x, Into::Add, &mut work.space);

            norm(&block.cross_norm, &work.x, &mut work.normed);
            work.query.resize(rows * d, 0.0);
            linear(team, &block.cross_q, &work.normed, &mut work.query, Into::Replace, &mut work.space);
            let mut from = 0;
            for feed in feeds.iter() {
                let of_feed = from * d..(from + feed.tokens.len()) * d;
                from += feed.tokens.len();
                let watched = watch.as_deref_mut().map(|watch| watch.layer(index));
                let audio = &feed.session.audio.layers[index];
                attention::cross(team, heads, audio, &work.query[of_feed.clone()], &mut work.mixed[of_feed], watched);
            }
            linear(team, &block.cross_out, &work.mixed, &mut work.x, Into::Add, &mut work.space);

            norm(&own.mlp_norm, &work.x, &mut work.normed);
            work.inner.resize(rows * own.fc1.weight.rows(), 0.0);
            linear(team, &own.fc1, &work.normed, &mut work.inner, Into::Replace, &mut work.space);
            kernels::gelu(&mut work.inner);
            linear(team, &own.fc2, &work.inner, &mut work.x, Into::Add, &mut work.space);
        }
        // Logits are the dearest matrix of all: only for the rows that are asked for.
        work.chosen.clear();
        let mut from = 0;
        for feed in feeds.iter() {
            let beams = feed.session.lineage.beams();
            let n = feed.tokens.len() / beams;
            for beam in 0..beams {
                for position in feed.positions {
                    let row = from + beam * n + position;
                    work.chosen.extend_from_slice(&work.x[row * d..(row + 1) * d]);
                }
            }
            from += feed.tokens.len();
        }
        norm(&weights.norm, &work.chosen, &mut work.normed);
        let all = work.chosen.len() / d * dims.n_vocab;
        let project = |logits: &mut Vec<f32>, normed: &[f32], space: &mut Workspace| {
            logits.resize(all, 0.0);
            project(team, &weights.embedding, None, normed, logits, Into::Replace, space);
        };
        if let [feed] = feeds {
            return project(feed.logits, &work.normed, &mut work.space);
        }
        project(&mut work.logits, &work.normed, &mut work.space);
        let mut rest = work.logits.as_slice();
        for feed in feeds.iter_mut() {
            let count = feed.session.lineage.beams() * feed.positions.len() * dims.n_vocab;
            let (logits, after) = rest.split_at(count);
            feed.logits.clear();
            feed.logits.extend_from_slice(logits);
            rest = after;
        }
    });
    Ok(())
}

impl TokenModel for Session {
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
        check_reorder(self.lineage.beams(), source)?;
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
pub(super) fn audio_layers(model: &Model, hidden: &[f32], work: &mut encoder::Work) -> Vec<AudioLayer> {
    let dims = model.dims();
    let frames = hidden.len() / dims.d_model;
    let encoder::Work { wide, kv, space, .. } = work;
    let rows = wide.room(frames * 2 * dims.d_model);
    let blocks = model.weights.decoder.blocks.iter();
    blocks
        .map(|block| {
            linear(&model.team, &block.cross_kv, hidden, rows, Into::Replace, space);
            AudioLayer::new(&model.team, rows, frames, dims.decoder_heads, model.half_audio, kv)
        })
        .collect()
}
