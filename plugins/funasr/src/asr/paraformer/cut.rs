//! A torch checkpoint as graphs that are cut where tokens are made of frames.

use std::path::Path;

use syrinx_plugin_common::onnx::{Input, Runtime, Session};

use super::seaco::Seaco;
use super::{Decoded, FrameWeights, Hotwords, no_words, text_ids};
use crate::accelerate::{self, Head, NetworkOptions, Use};
use crate::asr::batch::{self, Batch};
use crate::asr::hotwords::Embedder;
use crate::asr::timestamps::FIRING;
use crate::asr::{cif, ctc};
use crate::config::{ModelConfig, PredictorConfig, RecognizerConfig};
use crate::error::FunasrError;
use crate::network::add_positions;
use crate::network::paraformer::{Checkpoint, Kind};

/// The graphs, and what the predictor between them is set to.
#[derive(Debug)]
pub(super) struct Cut {
    encoder: Session,
    decoder: Session,
    /// The decoder's last product, where it could be taken out of its graph.
    head: Option<Head>,
    seaco: Option<Seaco>,
    kind: Kind,
    predictor: PredictorConfig,
    d_model: usize,
}

impl Cut {
    pub(super) fn load(
        runtime: &Runtime,
        path: &Path,
        checkpoint: &Checkpoint,
        config: ModelConfig<RecognizerConfig>,
        options: &NetworkOptions,
    ) -> Result<Self, FunasrError> {
        let session = |model: Vec<u8>| accelerate::session(runtime, path, Some(&model), options);
        let seaco = if checkpoint.kind.is_seaco {
            Some(Seaco {
                decoder: session(checkpoint.seaco_graph(&config)?)?,
                filter: checkpoint.filter_graph(&config).ok().map(session).transpose()?,
                no_bias: config.model_conf.no_bias,
            })
        } else {
            None
        };
        let graph = checkpoint.decoder_graph(&config)?;
        let decoder = accelerate::network(runtime, path, Some(&graph), options, Use::Recognition("logits"))?;
        Ok(Self {
            encoder: session(checkpoint.encoder_graph(&config)?)?,
            decoder: decoder.session,
            head: decoder.head,
            seaco,
            kind: checkpoint.kind,
            predictor: config.predictor_conf,
            d_model: checkpoint.d_model,
        })
    }

    pub(super) fn run(
        &self,
        batch: &Batch,
        hotwords: Option<&Hotwords>,
        embedder: Option<&Embedder>,
    ) -> Result<Vec<Decoded>, FunasrError> {
        let (count, frames, width) = (batch.len(), batch.frames, self.d_model);
        let mut speech = batch.data.clone();
        for row in speech.chunks_exact_mut((frames * batch.dim).max(1)) {
            add_positions(row, batch.dim, width);
        }
        let mask = batch.mask();
        let (speech_shape, mask_shape) = ([count, frames, batch.dim], [count, frames]);
        let mask = Input::F32 { shape: &mask_shape, data: &mask };
        let mut wanted = vec!["encoder_out", "alphas"];
        if self.kind.has_timestamps {
            wanted.push("us_alphas");
        }
        let inputs = [("speech", Input::F32 { shape: &speech_shape, data: &speech }), ("mask", mask)];
        let encoded = self.encoder.run(&inputs, &wanted)?;
        let encoder_out = encoded.f32("encoder_out")?; // [batch, frames, width]
        let alphas = encoded.f32("alphas")?; // [batch, frames]

        let mut tokens = Vec::with_capacity(count);
        let mut decoded = Vec::with_capacity(count);
        for (i, &length) in batch.lengths.iter().enumerate() {
            let hidden = &encoder_out[i * frames * width..(i * frames + length) * width];
            let predicted =
                predict(&self.predictor, hidden, width, &alphas[i * frames..], length, self.kind.has_timestamps);
            let weights = if self.kind.has_timestamps {
                let times = self.predictor.upsample_times;
                let fine = &encoded.f32("us_alphas")?[i * frames * times..(i * frames + length) * times];
                upsampled(&self.predictor, fine, predicted.count)
            } else {
                FrameWeights { alphas: predicted.alphas, peaks: predicted.peaks, upsampling: 1 }
            };
            tokens.push(predicted.tokens);
            decoded.push(Decoded { ids: Vec::new(), weights: Some(weights) });
        }
        let lengths: Vec<usize> = tokens.iter().map(|tokens| tokens.len() / width).collect();
        let most = lengths.iter().copied().max().unwrap_or(0);
        if most == 0 {
            return Ok(decoded);
        }
        let mut embeds = vec![0.0; count * most * width];
        for (row, tokens) in embeds.chunks_exact_mut(most * width).zip(&tokens) {
            row[..tokens.len()].copy_from_slice(tokens);
        }
        let token_mask = batch::mask(&lengths, most);
        let shapes = ([count, most, width], [count, most], [count, frames, width]);
        let embeds = Input::F32 { shape: &shapes.0, data: &embeds };
        let token_mask = Input::F32 { shape: &shapes.1, data: &token_mask };
        let memory = Input::F32 { shape: &shapes.2, data: encoder_out };
        let mut inputs =
            vec![("acoustic_embeds", embeds), ("token_mask", token_mask), ("encoder_out", memory), ("mask", mask)];
        let (words, words_shape, scale);
        if self.kind.is_contextual {
            let embeddings = match hotwords {
                Some(hotwords) => &hotwords.embeddings,
                None => &no_words(embedder)?,
            };
            scale = [hotwords.map_or(1.0, |hotwords| hotwords.scale)];
            words = embeddings.repeated(count);
            words_shape = [count, embeddings.words, width];
            inputs.push(("bias_embed", Input::F32 { shape: &words_shape, data: &words }));
            inputs.push(("clas_scale", Input::F32 { shape: &[1], data: &scale }));
        }
        let scores = if self.head.is_some() { Head::INPUT } else { "logits" };
        let wanted: &[&str] = if self.kind.is_seaco { &[scores, "states"] } else { &[scores] };
        let outputs = self.decoder.run(&inputs, wanted)?;
        let logits = outputs.f32(scores)?; // [batch, tokens, classes], or what goes into the head
        let classes = logits.len() / (count * most);
        let biased = match (&self.seaco, hotwords) {
            (Some(seaco), Some(hotwords)) => {
                let hidden = Input::F32 { shape: &shapes.0, data: outputs.f32("states")? };
                Some(seaco.run(embeds, hidden, token_mask, count, hotwords)?)
            }
            _ => None,
        };
        for (i, (decoded, &length)) in decoded.iter_mut().zip(&lengths).enumerate() {
            let rows = &logits[i * most * classes..(i * most + length) * classes];
            let heard = match &self.head {
                Some(head) => head.best(rows, None),
                None => rows.chunks_exact(classes).map(ctc::best).collect(),
            };
            decoded.ids = text_ids(heard.into_iter().enumerate().map(|(t, heard)| match (&biased, &self.seaco) {
                (Some(wanted), Some(seaco)) if wanted[i * most + t] != seaco.no_bias => wanted[i * most + t],
                _ => heard,
            }));
        }
        Ok(decoded)
    }
}

/// What the predictor makes of the frames of one utterance.
#[derive(Clone, Debug, Default)]
pub struct Predicted {
    /// Number of tokens.
    pub count: usize,
    /// Their embeddings: `[count, width]`.
    pub tokens: Vec<f32>,
    /// Weights of frames, the tail behind them.
    pub alphas: Vec<f32>,
    /// Their sums.
    pub peaks: Vec<f32>,
}

/// Makes tokens of `length` frames `hidden` by their weights `raw`, step by step in models with a second head.
#[must_use]
pub fn predict(
    config: &PredictorConfig,
    hidden: &[f32],
    width: usize,
    raw: &[f32],
    length: usize,
    by_steps: bool,
) -> Predicted {
    let alphas = cif::sharpen(raw, length, config.smooth_factor, config.noise_threshold, config.tail_threshold);
    let count = cif::token_count(&alphas);
    let mut fired = if by_steps {
        cif::by_steps(hidden, width, &alphas, config.threshold as f32)
    } else {
        cif::by_prefix_sums(hidden, width, &alphas)
    };
    fired.tokens.resize(count * width, 0.0);
    Predicted { count, tokens: fired.tokens, alphas, peaks: fired.peaks }
}

/// The second head's weights, scaled to as many tokens as there are.
#[must_use]
pub fn upsampled(config: &PredictorConfig, raw: &[f32], tokens: usize) -> FrameWeights {
    let mut alphas = cif::sharpen(raw, raw.len(), config.smooth_factor2, config.noise_threshold2, 0.0);
    let sum: f64 = alphas.iter().map(|&alpha| f64::from(alpha)).sum();
    if sum > 0.0 {
        let factor = tokens as f32 / sum as f32;
        alphas.iter_mut().for_each(|alpha| *alpha *= factor);
    }
    let peaks = cif::peaks(&alphas, FIRING);
    FrameWeights { alphas, peaks, upsampling: config.upsample_times }
}
