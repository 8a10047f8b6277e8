//! The last product of a recogniser, outside of the graph: the best class of each row is found as scores come up.

use syrinx_plugin_common::kernels::on_threads;

use super::linear::Linear;
use crate::asr::ctc;

/// Rows whose scores are in memory at a time, per thread.
const BLOCK: usize = 48;

/// From hidden states to scores of classes.
#[derive(Debug)]
pub struct Head {
    product: Linear,
    threads: usize,
}

impl Head {
    /// What the output of a graph is called that goes into its head.
    pub const INPUT: &str = "hidden";

    pub(super) fn new(product: Linear, threads: usize) -> Self {
        Self { product, threads }
    }

    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.product.outputs()
    }

    /// Values of a hidden state.
    #[must_use]
    pub fn width(&self) -> usize {
        self.product.inputs()
    }

    /// Scores of all classes: `[rows, classes]`.
    #[must_use]
    pub fn scores(&self, hidden: &[f32]) -> Vec<f32> {
        let rows = hidden.len() / self.width().max(1);
        let mut scores = vec![0.0; rows * self.classes()];
        let parallel = |count: usize, job: &(dyn Fn(usize) + Sync)| on_threads(self.threads, count, job);
        // Rows are as long as the product's inputs.
        let _fits = self.product.run(&hidden[..rows * self.width()], &mut scores, &parallel);
        scores
    }

    /// The best class of each row, other than `banned`.
    #[must_use]
    pub fn best(&self, hidden: &[f32], banned: Option<usize>) -> Vec<usize> {
        let mut best = Vec::with_capacity(hidden.len() / self.width().max(1));
        for block in hidden.chunks((BLOCK * self.width() * self.threads.max(1)).max(1)) {
            let scores = self.scores(block);
            best.extend(scores.chunks_exact(self.classes().max(1)).map(|row| ctc::best_but(row, banned)));
        }
        best
    }
}
