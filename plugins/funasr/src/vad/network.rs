//! The FSMN that tells silence from speech, frame by frame, with a memory of the frames before.

use std::path::Path;

use syrinx_plugin_common::onnx::{Input, Runtime, Session};

use crate::accelerate::{self, NetworkOptions};
use crate::config::{EncoderConfig, ModelFiles, VadConfig};
use crate::error::FunasrError;
use crate::frontend::Features;
use crate::network::fsmn;

/// The loaded network.
#[derive(Debug)]
pub struct VadNetwork {
    session: Session,
    features: String,
    caches: Vec<String>,
    scores: String,
    new_caches: Vec<String>,
    /// `[1, width, frames, 1]`
    cache_shape: [usize; 4],
}

/// What the network remembers of one recording.
#[derive(Clone, Debug)]
pub struct VadMemory {
    caches: Vec<Vec<f32>>,
}

impl VadNetwork {
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
        let config = files.config::<VadConfig>()?.encoder_conf;
        if let Some(path) = files.graph("model", quantized) {
            return Self::of(accelerate::session(runtime, &path, None, options)?, &path, &config);
        }
        let Some(path) = files.checkpoint() else {
            return Err(FunasrError::Missing {
                directory: files.directory().to_owned(),
                what: "voice activity detector",
                needed: "model.onnx, model_quant.onnx or model.pt".to_owned(),
            });
        };
        let graph = fsmn::graph(&path, &config)?;
        Self::of(accelerate::session(runtime, &path, Some(&graph), options)?, &path, &config)
    }

    fn of(session: Session, path: &Path, config: &EncoderConfig) -> Result<Self, FunasrError> {
        let names = |ports: &[syrinx_plugin_common::onnx::Port]| -> Vec<String> {
            ports.iter().map(|port| port.name.clone()).collect()
        };
        let (inputs, outputs) = (names(session.inputs()), names(session.outputs()));
        let layers = config.fsmn_layers;
        if inputs.len() != layers + 1 || outputs.len() != layers + 1 {
            let reason = format!(
                "{} inputs and {} outputs, where config.yaml promises one and a cache for each of {layers} layers",
                inputs.len(),
                outputs.len()
            );
            return Err(FunasrError::layout(path, reason));
        }
        let frames = config.lorder.saturating_sub(1) * config.lstride;
        Ok(Self {
            session,
            features: inputs[0].clone(),
            caches: inputs[1..].to_vec(),
            scores: outputs[0].clone(),
            new_caches: outputs[1..].to_vec(),
            cache_shape: [1, config.proj_dim, frames, 1],
        })
    }

    /// A memory of nothing.
    #[must_use]
    pub fn memory(&self) -> VadMemory {
        VadMemory { caches: vec![vec![0.0; self.cache_shape.iter().product()]; self.caches.len()] }
    }

    /// Probability of silence, frame by frame: the sum over the classes `silences`.
    ///
    /// # Errors
    /// The run fails, or the network has no such class.
    pub fn silence(
        &self,
        features: &Features,
        silences: &[usize],
        memory: &mut VadMemory,
    ) -> Result<Vec<f32>, FunasrError> {
        if features.frames == 0 {
            return Ok(Vec::new());
        }
        let shape = [1, features.frames, features.dim];
        let mut inputs = vec![(self.features.as_str(), Input::F32 { shape: &shape, data: &features.data })];
        for (name, cache) in self.caches.iter().zip(&memory.caches) {
            inputs.push((name, Input::F32 { shape: &self.cache_shape, data: cache }));
        }
        let mut wanted = vec![self.scores.as_str()];
        wanted.extend(self.new_caches.iter().map(String::as_str));
        let outputs = self.session.run(&inputs, &wanted)?;
        for (name, cache) in self.new_caches.iter().zip(&mut memory.caches) {
            let new = outputs.f32(name)?;
            if new.len() != cache.len() {
                return Err(syrinx_plugin_common::onnx::OnnxError::Output {
                    name: name.clone(),
                    reason: format!("{} values, where config.yaml promises {}", new.len(), cache.len()),
                }
                .into());
            }
            cache.copy_from_slice(new);
        }
        let scores = outputs.f32(&self.scores)?; // [1, frames, classes]
        let classes = scores.len() / features.frames;
        let of_row = |row: &[f32]| silences.iter().map(|&class| row.get(class).copied().unwrap_or(0.0)).sum();
        Ok(scores.chunks_exact(classes.max(1)).map(of_row).collect())
    }
}
