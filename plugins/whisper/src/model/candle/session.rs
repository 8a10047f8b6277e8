//! Decoding runs, one by one and side by side.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::decoder::{Step, Watch, fetch};
use super::plan::{Plan, Share};
use super::{Audio, Model, Pools};
use crate::model::cache::Lineage;
use crate::model::session::{ModelError, TokenModel, check_feed, check_reorder};

/// A decoding run over one window; see [`TokenModel`].
#[derive(Debug)]
pub(in crate::model) struct Session {
    model: Arc<Model>,
    audio: Arc<Audio>,
    lineage: Lineage,
    /// Rows of keys and values that it was given.
    rows: Vec<Range<usize>>,
}

/// What one session is fed in a step; see [`TokenModel::forward`].
pub(in crate::model) struct Feed<'s> {
    pub(in crate::model) session: &'s mut Session,
    pub(in crate::model) tokens: &'s [u32],
    pub(in crate::model) positions: &'s [usize],
    pub(in crate::model) logits: &'s mut Vec<f32>,
}

impl Session {
    pub(in crate::model) fn new(model: Arc<Model>, audio: Arc<Audio>) -> Self {
        let lineage = Lineage::new(model.dims().n_text_ctx);
        Self { model, audio, lineage, rows: Vec::new() }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut pools = self.model.pools();
        self.rows.drain(..).for_each(|rows| pools.rows.give(rows));
    }
}

impl Feed<'_> {
    fn share(&self) -> Share {
        let lineage = &self.session.lineage;
        Share {
            beams: lineage.beams(),
            n: self.tokens.len() / lineage.beams(),
            fed: lineage.fed(),
            slot: self.session.audio.slot(),
            frames: self.session.audio.frames,
        }
    }
}

/// Feeds several sessions at once, in any order.
pub(super) fn forward(
    model: &Model,
    feeds: &mut [Feed<'_>],
    watch: Option<&mut Watch<'_>>,
) -> std::result::Result<(), ModelError> {
    for feed in feeds.iter() {
        check_feed(feed.session, feed.tokens, feed.positions)?;
        if !std::ptr::eq(model, Arc::as_ptr(&feed.session.model)) {
            return Err(ModelError::foreign());
        }
    }
    if feeds.is_empty() {
        return Ok(());
    }
    let shares: Vec<Share> = feeds.iter().map(Feed::share).collect();
    let plan = Plan::new(&shares);
    let mut pools = model.pools();
    let rows = pools.rows.take(plan.rows)?;
    let logits = match compute(model, feeds, &shares, &plan, rows.start, &pools, watch) {
        Ok(logits) => logits,
        Err(error) => {
            // No session has heard of them yet.
            pools.rows.give(rows);
            return Err(error.into());
        }
    };
    drop(pools);

    let (mut first, mut rest) = (rows.start, logits.as_slice());
    for &at in &plan.order {
        let Feed { session, positions, logits, .. } = &mut feeds[at];
        let share = &shares[at];
        session.rows.push(first..first + share.rows());
        session.lineage.feed_from(first as u32, share.n);
        first += share.rows();
        let (own, after) = rest.split_at(share.beams * positions.len() * model.dims().n_vocab);
        logits.clear();
        logits.extend_from_slice(own);
        rest = after;
    }
    Ok(())
}

/// The logits of all chosen rows, in the order of the plan.
fn compute(
    model: &Model,
    feeds: &[Feed<'_>],
    shares: &[Share],
    plan: &Plan,
    first: usize,
    pools: &Pools,
    watch: Option<&mut Watch<'_>>,
) -> Result<Vec<f32>> {
    let (mut tokens, mut positions, mut chosen) = (Vec::new(), Vec::new(), Vec::new());
    // The rows of each beam, those of this step included.
    let mut beams: Vec<Vec<u32>> = Vec::new();
    for &at in &plan.order {
        let (feed, share) = (&feeds[at], &shares[at]);
        for beam in 0..share.beams {
            let row = tokens.len() + beam * share.n;
            chosen.extend(feed.positions.iter().map(|&position| (row + position) as u32));
            let new = first + row..first + row + share.n;
            let before = feed.session.lineage.rows(beam).iter().copied();
            beams.push(before.chain(new.map(|row| row as u32)).collect());
            positions.extend((share.fed..share.fed + share.n).map(|position| position as u32));
        }
        tokens.extend_from_slice(feed.tokens);
    }
    let mut rest = &beams[..];
    let mut histories = Vec::with_capacity(plan.groups.len());
    for group in &plan.groups {
        let (own, after) = rest.split_at(group.beams);
        histories.push(model.decoder.history(group, own)?);
        rest = after;
    }
    let device = &model.target.device;
    let numbers = |numbers: Vec<u32>| {
        let count = numbers.len();
        Tensor::from_vec(numbers, count, device)
    };
    if chosen.is_empty() {
        // Something has to be multiplied; nobody gets it.
        chosen.push(0);
    }
    let step = Step {
        plan,
        tokens: numbers(tokens)?,
        positions: numbers(positions)?,
        first,
        histories,
        chosen: numbers(chosen)?,
    };
    model.team.run(|| fetch(&model.decoder.forward(&step, &pools.rows, &pools.audio, watch)?))
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

    fn forward(
        &mut self,
        tokens: &[u32],
        positions: &[usize],
        logits: &mut Vec<f32>,
    ) -> std::result::Result<(), ModelError> {
        let model = Arc::clone(&self.model);
        forward(&model, &mut [Feed { session: self, tokens, positions, logits }], None)
    }

    fn reorder(&mut self, source: &[usize]) -> std::result::Result<(), ModelError> {
        check_reorder(self.lineage.beams(), source)?;
        self.lineage.reorder(source);
        Ok(())
    }
}
