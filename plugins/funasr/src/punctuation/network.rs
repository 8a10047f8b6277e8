//! The network that gives every word the class of the mark after it.

use syrinx_plugin_common::onnx::{Input, Runtime, Session};

use crate::accelerate::{self, NetworkOptions};
use crate::asr::ctc;
use crate::config::{ModelFiles, PunctuationConfig};
use crate::error::FunasrError;
use crate::network::punctuation;

/// The class of the model that punctuates text as it arrives.
const REALTIME: &str = "CTTransformerStreaming";

/// The loaded network.
#[derive(Debug)]
pub struct PunctuationNetwork {
    session: Session,
    inputs: Vec<String>,
    logits: String,
}

impl PunctuationNetwork {
    /// Loads the ONNX release, or makes a graph of the torch release.
    ///
    /// # Errors
    /// There is neither, or it is something else.
    pub fn load(
        runtime: &Runtime,
        files: &ModelFiles,
        quantized: bool,
        options: &NetworkOptions,
    ) -> Result<Self, FunasrError> {
        let (session, path) = match files.graph("model", quantized) {
            Some(path) => (accelerate::session(runtime, &path, None, options)?, path),
            None => {
                let path = files.checkpoint().ok_or_else(|| FunasrError::Missing {
                    directory: files.directory().to_owned(),
                    what: "punctuation model",
                    needed: "model.onnx, model_quant.onnx or model.pt".to_owned(),
                })?;
                let config = files.config::<PunctuationConfig>()?;
                let is_realtime = config.model.as_deref() == Some(REALTIME);
                let graph = punctuation::graph(&path, &config, is_realtime)?;
                (accelerate::session(runtime, &path, Some(&graph), options)?, path)
            }
        };
        let inputs: Vec<String> = session.inputs().iter().map(|port| port.name.clone()).collect();
        let logits = session.outputs().first().map(|port| port.name.clone());
        let Some(logits) = logits.filter(|_| matches!(inputs.len(), 1..=4)) else {
            let reason = format!("inputs, text_lengths and maybe two masks are expected, not {}", inputs.join(", "));
            return Err(FunasrError::layout(&path, reason));
        };
        Ok(Self { session, inputs, logits })
    }

    /// Whether it masks what comes later.
    #[must_use]
    pub fn is_realtime(&self) -> bool {
        self.inputs.iter().any(|name| name.ends_with("masks"))
    }

    /// The class of each word; the first `carried` ones are of an earlier text.
    ///
    /// # Errors
    /// The run fails.
    pub fn classify(&self, ids: &[i32], carried: usize) -> Result<Vec<usize>, FunasrError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let count = ids.len();
        let length = [count as i32];
        let (shape, square) = ([1, count], [1, 1, count, count]);
        // Lower triangle: it reproduces the torch module. The official tools feed the corner to both inputs.
        let masks = self.is_realtime().then(|| {
            let causal = (0..count * count).map(|i| f32::from(u8::from(i % count <= i / count))).collect();
            (corner_mask(count, carried), causal)
        });
        let (corner, causal): (Vec<f32>, Vec<f32>) = masks.unwrap_or_default();
        let mut inputs = vec![(self.inputs[0].as_str(), Input::I32 { shape: &shape, data: ids })];
        for name in &self.inputs[1..] {
            let input = match name.as_str() {
                "vad_masks" | "vad_mask" => Input::F32 { shape: &square, data: &corner },
                "sub_masks" => Input::F32 { shape: &square, data: &causal },
                _ => Input::I32 { shape: &[1], data: &length },
            };
            inputs.push((name, input));
        }
        let outputs = self.session.run(&inputs, &[&self.logits])?;
        let logits = outputs.f32(&self.logits)?; // [1, words, classes]
        Ok(logits.chunks_exact((logits.len() / count).max(1)).map(ctc::best).collect())
    }
}

/// 0 where a carried word, except for the last one, would see words of the new text: `[words, words]`.
///
/// Source: FunASR `models/transformer/utils/mask.py: vad_mask`.
fn corner_mask(count: usize, carried: usize) -> Vec<f32> {
    let mut mask = vec![1.0; count * count];
    if carried > 0 && carried < count {
        for row in mask.chunks_exact_mut(count).take(carried - 1) {
            row[carried..].fill(0.0);
        }
    }
    mask
}
