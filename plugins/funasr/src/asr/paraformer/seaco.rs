//! SeACo's decoder over hot words, of a torch checkpoint.

use syrinx_plugin_common::onnx::{Input, Session};

use super::{Hotwords, MOST_SEACO_WORDS};
use crate::asr::ctc;
use crate::error::FunasrError;

/// SeACo's own graphs.
#[derive(Debug)]
pub(super) struct Seaco {
    pub(super) decoder: Session,
    /// Chooses among many words; models with few layers have none.
    pub(super) filter: Option<Session>,
    pub(super) no_bias: usize,
}

impl Seaco {
    /// The best class of every token in the light of hot words: `[batch, tokens]`.
    pub(super) fn run(
        &self,
        embeds: Input<'_>,
        hidden: Input<'_>,
        token_mask: Input<'_>,
        count: usize,
        hotwords: &Hotwords,
    ) -> Result<Vec<usize>, FunasrError> {
        let mut embeddings = &hotwords.embeddings;
        let chosen;
        if embeddings.words > MOST_SEACO_WORDS
            && let Some(filter) = &self.filter
        {
            let words = embeddings.repeated(count);
            let shape = [count, embeddings.words, embeddings.width];
            let words = Input::F32 { shape: &shape, data: &words };
            let inputs = [("hidden", hidden), ("token_mask", token_mask), ("bias_embed", words)];
            let outputs = filter.run(&inputs, &["scores"])?;
            chosen = embeddings.select(&most_attended(&outputs.f32("scores")?[..embeddings.words]));
            embeddings = &chosen;
        }
        let words = embeddings.repeated(count);
        let shape = [count, embeddings.words, embeddings.width];
        let words = Input::F32 { shape: &shape, data: &words };
        let inputs =
            [("acoustic_embeds", embeds), ("hidden", hidden), ("token_mask", token_mask), ("bias_embed", words)];
        let outputs = self.decoder.run(&inputs, &["hotword_logits"])?;
        let logits = outputs.f32("hotword_logits")?;
        let classes = outputs.shape("hotword_logits")?.last().copied().unwrap_or(0);
        Ok(logits.chunks_exact(classes.max(1)).map(ctc::best).collect())
    }
}

/// The words that get the most attention, and "no hot word", which is the last.
fn most_attended(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order.truncate(MOST_SEACO_WORDS.min(scores.len().saturating_sub(1)));
    order.push(scores.len() - 1);
    order
}
