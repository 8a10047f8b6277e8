//! A job's side of the scheduler.

use super::{Fed, Network, Scheduler, Step, Steps};
use crate::model::{ModelError, TokenModel};

/// A job's place among those that take steps together. While it holds logits the others wait for it a little; once it is dropped they don't.
pub struct Lane<'s, N: Network> {
    scheduler: &'s Scheduler<N>,
    /// The turn that the logits at hand are from.
    round: Option<u64>,
}

impl<'s, N: Network> Lane<'s, N> {
    pub(super) fn new(scheduler: &'s Scheduler<N>) -> Self {
        Self { scheduler, round: None }
    }

    /// Feeds sessions what their steps say, together with what other jobs hand in, and gives the steps back with their logits.
    ///
    /// # Errors
    /// A step that doesn't fit its session: nothing is fed then. The network failed: the sessions are of no use then.
    pub fn feed(&mut self, steps: &mut Vec<Step<N::Session>>) -> Result<(), ModelError> {
        for step in &*steps {
            N::check(&step.session, &step.tokens, &step.positions)?;
        }
        if steps.is_empty() {
            return Ok(());
        }
        let given = std::mem::take(steps);
        let round = self.round.take();
        let fed: Fed<N> = self.scheduler.submit(|desk, seat| {
            desk.steps.push(Steps { steps: given, seat });
            if let Some(round) = round {
                desk.is_back(round);
            }
        });
        *steps = fed.steps;
        self.round = Some(fed.round?);
        Ok(())
    }
}

impl<N: Network> Drop for Lane<'_, N> {
    fn drop(&mut self) {
        if let Some(round) = self.round {
            let mut desk = self.scheduler.desk();
            desk.is_back(round);
            self.scheduler.ring(&desk);
        }
    }
}

/// One session whose steps share their turns with those of other jobs.
pub struct SharedSession<'s, N: Network> {
    lane: Lane<'s, N>,
    /// Always one; a list because that is what is handed in.
    steps: Vec<Step<N::Session>>,
}

impl<'s, N: Network> SharedSession<'s, N> {
    pub(super) fn new(lane: Lane<'s, N>, session: N::Session) -> Self {
        Self { lane, steps: vec![Step::new(session)] }
    }

    fn session(&self) -> &N::Session {
        &self.steps[0].session
    }
}

impl<N: Network> TokenModel for SharedSession<'_, N> {
    fn vocab_size(&self) -> usize {
        self.session().vocab_size()
    }

    fn context(&self) -> usize {
        self.session().context()
    }

    fn beams(&self) -> usize {
        self.session().beams()
    }

    fn fed(&self) -> usize {
        self.session().fed()
    }

    fn forward(&mut self, tokens: &[u32], positions: &[usize], logits: &mut Vec<f32>) -> Result<(), ModelError> {
        let step = &mut self.steps[0];
        tokens.clone_into(&mut step.tokens);
        positions.clone_into(&mut step.positions);
        std::mem::swap(&mut step.logits, logits);
        let fed = self.lane.feed(&mut self.steps);
        std::mem::swap(&mut self.steps[0].logits, logits);
        fed
    }

    fn reorder(&mut self, source: &[usize]) -> Result<(), ModelError> {
        self.steps[0].session.reorder(source)
    }
}
