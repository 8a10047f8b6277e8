//! CAM++: what a voice sounds like, as a vector.

use syrinx_plugin_common::dsp::{Fbank, FbankOptions};
use syrinx_plugin_common::onnx::{Input, Runtime, Session};

use super::chunk::CHUNK;
use crate::accelerate::{self, NetworkOptions};
use crate::config::ModelFiles;
use crate::error::FunasrError;
use crate::network::campplus;

/// Frames whose mean is the context of each. Source: FunASR `models/campplus/components.py: seg_pooling`.
const SEGMENT: usize = 100;
/// Chunks that are embedded together.
const BATCH: usize = 16;
/// Names of exports of the community.
const GRAPHS: [&str; 3] = ["campplus", "campplus_cn_common", "model"];

/// A loaded speaker encoder.
#[derive(Debug)]
pub struct Embedder {
    session: Session,
    fbank: Fbank,
    /// Whether the graph is made of the checkpoint, and takes the context as a matrix.
    is_own: bool,
}

impl Embedder {
    /// Loads a release.
    ///
    /// # Errors
    /// Files are missing or something else.
    pub fn load(runtime: &Runtime, files: &ModelFiles, options: &NetworkOptions) -> Result<Self, FunasrError> {
        let fbank = Fbank::new(&FbankOptions::default());
        if let Some(path) = files.checkpoint() {
            let session = accelerate::session(runtime, &path, Some(&campplus::graph(&path)?), options)?;
            return Ok(Self { session, fbank, is_own: true });
        }
        let path = GRAPHS.iter().find_map(|base| files.graph(base, false)).ok_or_else(|| FunasrError::Missing {
            directory: files.directory().to_owned(),
            what: "speaker encoder",
            needed: "campplus_cn_common.bin or campplus.onnx".to_owned(),
        })?;
        Ok(Self { session: accelerate::session(runtime, &path, None, options)?, fbank, is_own: false })
    }

    /// Embeds `count` feature matrices of the same length: `[count, width]`.
    ///
    /// # Errors
    /// The run fails.
    pub fn embed_features(&self, features: &[f32], count: usize) -> Result<Vec<f32>, FunasrError> {
        let mels = self.fbank.n_mels();
        let frames = features.len() / (count * mels).max(1);
        let shape = [count, frames, mels];
        let input = self.session.inputs()[0].name.clone();
        let output = self.session.outputs()[0].name.clone();
        let mut inputs = vec![(input.as_str(), Input::F32 { shape: &shape, data: features })];
        let halved = frames.div_ceil(2);
        let (context, context_shape) = (context(halved), [halved, halved]);
        let unbias = [halved as f32 / (halved.max(2) - 1) as f32];
        if self.is_own {
            inputs.push(("context", Input::F32 { shape: &context_shape, data: &context }));
            inputs.push(("unbias", Input::F32 { shape: &[1], data: &unbias }));
        }
        let outputs = self.session.run(&inputs, &[&output])?;
        Ok(outputs.f32(&output)?.to_vec())
    }

    /// Embeds chunks of samples; shorter ones are padded with zeros.
    ///
    /// # Errors
    /// The run fails.
    pub fn embed(&self, chunks: &[&[f32]]) -> Result<Vec<Vec<f32>>, FunasrError> {
        let mut embeddings = Vec::with_capacity(chunks.len());
        for group in chunks.chunks(BATCH) {
            let mut batch = Vec::new();
            for samples in group {
                if samples.len() < CHUNK {
                    let mut padded = samples.to_vec();
                    padded.resize(CHUNK, 0.0);
                    batch.extend(features(&self.fbank, &padded));
                } else {
                    batch.extend(features(&self.fbank, samples));
                }
            }
            let flat = self.embed_features(&batch, group.len())?;
            let width = flat.len() / group.len();
            embeddings.extend(flat.chunks_exact(width.max(1)).map(<[f32]>::to_vec));
        }
        Ok(embeddings)
    }
}

/// Log mel energies without their mean over time: `[frames, mels]`.
///
/// Source: FunASR `models/campplus/utils.py: extract_feature`.
#[must_use]
pub fn features(fbank: &Fbank, samples: &[f32]) -> Vec<f32> {
    let mut features = fbank.compute(samples);
    let mels = fbank.n_mels();
    let frames = (features.len() / mels).max(1) as f64;
    for mel in 0..mels {
        let sum: f64 = features.iter().skip(mel).step_by(mels).map(|&value| f64::from(value)).sum();
        let mean = (sum / frames) as f32;
        features.iter_mut().skip(mel).step_by(mels).for_each(|value| *value -= mean);
    }
    features
}

/// The matrix whose product with channels over time is, at each frame, their mean over all frames plus their mean over the frame's segment:
/// `[frames, frames]`.
fn context(frames: usize) -> Vec<f32> {
    let mut matrix = vec![1.0 / frames as f32; frames * frames];
    for to in 0..frames {
        let start = to / SEGMENT * SEGMENT;
        let end = (start + SEGMENT).min(frames);
        for from in start..end {
            matrix[from * frames + to] += 1.0 / (end - start) as f32;
        }
    }
    matrix
}
