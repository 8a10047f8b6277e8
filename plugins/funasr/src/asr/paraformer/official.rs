//! An official export: everything in one graph.

use std::path::{Path, PathBuf};

use syrinx_plugin_common::onnx::{Input, Runtime, Session};

use super::{Decoded, FrameWeights, Hotwords, greedy, no_words, text_ids};
use crate::accelerate::{self, Head, Loops, NetworkOptions, Use};
use crate::asr::batch::Batch;
use crate::asr::hotwords::Embedder;
use crate::error::FunasrError;
use crate::network::paraformer::Kind;

/// What the export calls the scores of tokens.
const LOGITS: &str = "logits";

/// The graph, and what its inputs and outputs are called.
#[derive(Debug)]
pub(super) struct Official {
    session: Session,
    /// The last product, where it could be taken out of the graph; `logits` is then what goes into it.
    head: Option<Head>,
    /// What became of the loops that make tokens.
    loops: Loops,
    speech: String,
    lengths: String,
    /// Input for hot words, if the graph has one.
    pub(super) words: Option<String>,
    logits: String,
    token_num: String,
    /// Outputs with weights and sums for times.
    weights: Option<[String; 2]>,
}

impl Official {
    pub(super) fn load(runtime: &Runtime, path: &Path, options: &NetworkOptions) -> Result<Self, FunasrError> {
        let network = accelerate::network(runtime, path, None, options, Use::Recognition(LOGITS))?;
        let (session, head) = (network.session, network.head);
        let input = |i: usize| session.inputs().get(i).map(|port| port.name.clone());
        let output = |i: usize| session.outputs().get(i).map(|port| port.name.clone());
        let needs = |name: Option<String>| {
            name.ok_or_else(|| {
                FunasrError::layout(path, "speech and speech_lengths to logits and token_num are expected")
            })
        };
        let (speech, lengths, words) = (needs(input(0))?, needs(input(1))?, input(2));
        if words.as_deref() == Some("language") {
            return Err(FunasrError::layout(path, "it is SenseVoice, but config.yaml says Paraformer"));
        }
        let (logits, token_num) = (needs(output(0))?, needs(output(1))?);
        let weights = output(2).zip(output(3)).map(|(alphas, peaks)| [alphas, peaks]);
        let loops = network.loops;
        Ok(Self { speech, lengths, words, logits, token_num, weights, session, head, loops })
    }

    /// Whether utterances have to be recognised one at a time: the network that tells times reads backwards, so that padding would change
    /// what it says unless it knows lengths.
    pub(super) fn is_alone(&self) -> bool {
        self.weights.is_some() && self.loops != Loops::Replaced
    }

    pub(super) fn kind(&self) -> Kind {
        let (has_timestamps, has_words) = (self.weights.is_some(), self.words.is_some());
        Kind { has_timestamps, is_contextual: has_words && !has_timestamps, is_seaco: has_words && has_timestamps }
    }

    pub(super) fn run(
        &self,
        batch: &Batch,
        hotwords: Option<&Hotwords>,
        embedder: Option<&Embedder>,
    ) -> Result<Vec<Decoded>, FunasrError> {
        let count = batch.len();
        let shape = [count, batch.frames, batch.dim];
        let lengths: Vec<i32> = batch.lengths.iter().map(|&length| length as i32).collect();
        let mut inputs = vec![
            (self.speech.as_str(), Input::F32 { shape: &shape, data: &batch.data }),
            (self.lengths.as_str(), Input::I32 { shape: &shape[..1], data: &lengths }),
        ];
        let (words, words_shape);
        if let Some(port) = &self.words {
            let embeddings = match hotwords {
                Some(hotwords) => &hotwords.embeddings,
                None => &no_words(embedder)?,
            };
            words = embeddings.repeated(count);
            words_shape = [count, embeddings.words, embeddings.width];
            inputs.push((port, Input::F32 { shape: &words_shape, data: &words }));
        }
        let mut wanted = vec![self.logits.as_str(), self.token_num.as_str()];
        wanted.extend(self.weights.iter().flatten().map(String::as_str));
        let outputs = self.session.run(&inputs, &wanted)?;
        let token_num = outputs.integers(&self.token_num)?;
        let logits = outputs.f32(&self.logits)?; // [batch, tokens, classes], or what goes into the head
        let logits_shape = outputs.shape(&self.logits)?;
        let [_, rows, classes] = logits_shape[..] else {
            return Err(FunasrError::layout(&PathBuf::from(&self.logits), "an output of three dimensions is expected"));
        };
        let mut decoded = Vec::with_capacity(count);
        for (i, &length) in batch.lengths.iter().enumerate() {
            let tokens = usize::try_from(token_num.get(i).copied().unwrap_or(0)).unwrap_or(0).min(rows);
            let row = &logits[i * rows * classes..(i + 1) * rows * classes];
            let ids = match &self.head {
                Some(head) => text_ids(head.best(&row[..tokens * classes], None)),
                None => greedy(row, classes, tokens),
            };
            let weights = match &self.weights {
                Some([alphas, peaks]) => {
                    let upsampling = outputs.f32(alphas)?.len() / (count * batch.frames).max(1);
                    // What belongs to padding would shift the last times.
                    let row = |values: &[f32]| {
                        let width = batch.frames * upsampling;
                        values[i * width..i * width + length * upsampling].to_vec()
                    };
                    Some(FrameWeights {
                        alphas: row(outputs.f32(alphas)?),
                        peaks: row(outputs.f32(peaks)?),
                        upsampling,
                    })
                }
                None => None,
            };
            decoded.push(Decoded { ids, weights });
        }
        Ok(decoded)
    }
}
