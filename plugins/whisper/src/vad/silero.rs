//! Silero VAD, version 6, 16 kHz: the probability that somebody speaks, for each frame of 512 samples.
//!
//! A small network (309 633 weights, 0.7 million multiplications a frame): spectrum of four short windows → four convolutions → an LSTM over
//! the frames → a linear layer. It is computed here, with the weights of the official ONNX graph, so that it needs no other runtime and
//! no memory that grows with the file.
//!
//! Source: the graph `silero_vad_v6.onnx` of faster-whisper 1.2.1, and its caller `faster_whisper/vad.py: SileroVADModel`.

use std::path::Path;

use syrinx_plugin_common::checkpoint::{CheckpointError, Tensors};
use thiserror::Error;

use super::FRAME_SAMPLES;
use crate::kernels::{self, Finish, Panels, Rows, Target};
use crate::sound::Sound;

/// Samples of the frame before that a frame begins with.
const CONTEXT: usize = 64;
/// Samples of a spectrum's window.
const WINDOW: usize = 256;
/// Samples between windows.
const HOP: usize = 128;
/// Windows of a frame; the last one mirrors its end.
const WINDOWS: usize = 4;
/// Bins of a spectrum.
const BINS: usize = WINDOW / 2 + 1;
/// Time steps that a convolution sees.
const TAPS: usize = 3;
/// Strides of the convolutions.
const STRIDES: [usize; 4] = [1, 2, 2, 1];
/// Width of the LSTM.
const HIDDEN: usize = 128;
/// Frames that are computed at once, up to the LSTM.
const BLOCK: usize = 128;

/// Why there is no voice activity detection.
#[derive(Debug, Error)]
pub enum SileroError {
    /// The weights can't be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// It is an ONNX graph, but another one.
    #[error("{path} is not Silero VAD 6 for 16 kHz: {tensor} has {got} values, not {wanted}")]
    OtherGraph {
        /// The file.
        path: String,
        /// Name of a weight.
        tensor: &'static str,
        /// Its size in the file.
        got: usize,
        /// Its size in Silero VAD.
        wanted: usize,
    },
}

/// The network. Shared by all jobs.
#[derive(Debug)]
pub struct Silero {
    /// Real parts, then imaginary parts: `[2 · 129, 256]`
    basis: Panels<f32>,
    convolutions: Vec<Convolution>,
    /// Gates in the order input, output, forget, cell: `[4 · 128, 128]`
    input: Panels<f32>,
    /// Likewise.
    recurrent: Panels<f32>,
    /// `[4 · 128]`
    gate_bias: Vec<f32>,
    /// `[128]`
    output: Vec<f32>,
    output_bias: f32,
}

/// A convolution over time, three taps, padded with a step of zeros at either end, and its rectifier.
#[derive(Debug)]
struct Convolution {
    /// `[out, 3 · in]`, taps slowest.
    weight: Panels<f32>,
    bias: Vec<f32>,
    stride: usize,
}

impl Silero {
    /// Reads the weights out of the official graph.
    ///
    /// # Errors
    /// The file can't be read, or is another graph.
    pub fn load(path: &Path) -> Result<Self, SileroError> {
        let tensors = Tensors::onnx(path)?;
        let read = |tensor: &'static str, wanted: usize| {
            let values = tensors.get(tensor)?.to_f32()?;
            if values.len() == wanted {
                return Ok(values);
            }
            Err(SileroError::OtherGraph { path: path.display().to_string(), tensor, got: values.len(), wanted })
        };
        let shapes = [
            ("encoder.conv_layers.0.weight", "encoder.conv_layers.0.bias", BINS, 128),
            ("encoder.conv_layers.1.weight", "encoder.conv_layers.1.bias", 128, 64),
            ("encoder.conv_layers.2.weight", "encoder.conv_layers.2.bias", 64, 64),
            ("encoder.conv_layers.3.weight", "encoder.conv_layers.3.bias", 64, HIDDEN),
        ];
        let mut convolutions = Vec::with_capacity(shapes.len());
        for ((weight, bias, inputs, outputs), stride) in shapes.into_iter().zip(STRIDES) {
            let weight = Panels::new(&taps_first(&read(weight, outputs * inputs * TAPS)?, inputs), TAPS * inputs);
            convolutions.push(Convolution { weight, bias: read(bias, outputs)?, stride });
        }
        // Two biases, of the input and of the recurrence, that are added.
        let biases = read("onnx::LSTM_211", 2 * 4 * HIDDEN)?;
        let gate_bias = biases[..4 * HIDDEN].iter().zip(&biases[4 * HIDDEN..]).map(|(a, b)| a + b).collect();
        Ok(Self {
            basis: Panels::new(&read("encoder.feature_extractor.forward_basis_buffer", 2 * BINS * WINDOW)?, WINDOW),
            convolutions,
            input: Panels::new(&read("onnx::LSTM_209", 4 * HIDDEN * HIDDEN)?, HIDDEN),
            recurrent: Panels::new(&read("onnx::LSTM_210", 4 * HIDDEN * HIDDEN)?, HIDDEN),
            gate_bias,
            output: read("decoder.conv1d.weight", HIDDEN)?,
            output_bias: read("decoder.conv1d.bias", 1)?[0],
        })
    }

    /// The probability of speech for each 512 samples of `sound`, the last ones filled up with zeros (as the reference does, a frame
    /// of zeros follows when there is nothing to fill up).
    ///
    /// `is_stopped` is asked every few seconds of audio; the answer is `None` then.
    pub fn probabilities(&self, sound: &Sound<'_>, is_stopped: &dyn Fn() -> bool) -> Option<Vec<f32>> {
        let frames = sound.len() / FRAME_SAMPLES + 1;
        let mut state = LstmState::default();
        let mut probabilities = Vec::with_capacity(frames);
        let mut work = Work::default();
        // The block's samples, preceded by the last ones before it.
        let mut samples = vec![0.0; CONTEXT + BLOCK * FRAME_SAMPLES];
        for first in (0..frames).step_by(BLOCK) {
            if is_stopped() {
                return None;
            }
            let count = BLOCK.min(frames - first);
            let start = first * FRAME_SAMPLES;
            let there = (count * FRAME_SAMPLES).min(sound.len().saturating_sub(start));
            samples.copy_within(BLOCK * FRAME_SAMPLES.., 0);
            sound.read(start, &mut samples[CONTEXT..CONTEXT + there]);
            let end = CONTEXT + count * FRAME_SAMPLES;
            samples[CONTEXT + there..end].fill(0.0);
            if first + count == frames {
                // A side effect of the reference: the end of the last frame is lost.
                samples[end - CONTEXT..end].fill(0.0);
            }
            self.block(&samples[..end], count, &mut state, &mut work, &mut probabilities);
        }
        Some(probabilities)
    }

    fn block(
        &self,
        samples: &[f32],
        count: usize,
        state: &mut LstmState,
        work: &mut Work,
        probabilities: &mut Vec<f32>,
    ) {
        work.windows.clear(); // [count, 4, 256]
        for frame in 0..count {
            let frame = &samples[frame * FRAME_SAMPLES..][..CONTEXT + FRAME_SAMPLES];
            for window in 0..WINDOWS {
                let inside = &frame[window * HOP..frame.len().min(window * HOP + WINDOW)];
                work.windows.extend_from_slice(inside);
                // Mirrored at the last sample, which is not repeated.
                work.windows.extend(frame.iter().rev().skip(1).take(WINDOW - inside.len()));
            }
        }
        multiply(&work.windows, &self.basis, None, &mut work.columns); // [count · 4, 2 · 129]
        work.steps.clear(); // [count · 4, 129]
        for spectrum in work.columns.chunks_exact(2 * BINS) {
            let (real, imaginary) = spectrum.split_at(BINS);
            work.steps.extend(real.iter().zip(imaginary).map(|(re, im)| (re * re + im * im).sqrt()));
        }
        for convolution in &self.convolutions {
            convolution.forward(count, &mut work.steps, &mut work.columns);
        }
        multiply(&work.steps, &self.input, Some(&self.gate_bias), &mut work.columns); // [count, 4 · 128]
        for gates in work.columns.chunks_exact_mut(4 * HIDDEN) {
            state.step(gates, &self.recurrent);
            let speech: f32 = state.hidden.iter().zip(&self.output).map(|(h, w)| h.max(0.0) * w).sum();
            probabilities.push(sigmoid(speech + self.output_bias));
        }
    }
}

/// Buffers of a block.
#[derive(Default)]
struct Work {
    windows: Vec<f32>,
    /// `[frames, steps, channels]`
    steps: Vec<f32>,
    columns: Vec<f32>,
}

impl Convolution {
    /// `steps` is `[frames, in steps, in]` and becomes `[frames, out steps, out]`; `columns` is work space.
    fn forward(&self, frames: usize, steps: &mut Vec<f32>, columns: &mut Vec<f32>) {
        let inputs = self.weight.cols() / TAPS;
        let length = steps.len() / frames / inputs;
        columns.clear(); // [frames, out steps, 3 · in]
        for frame in steps.chunks_exact(length * inputs) {
            for step in (0..length).step_by(self.stride) {
                for tap in 0..TAPS {
                    match (step + tap).checked_sub(1).filter(|step| *step < length) {
                        Some(step) => columns.extend_from_slice(&frame[step * inputs..(step + 1) * inputs]),
                        None => columns.resize(columns.len() + inputs, 0.0),
                    }
                }
            }
        }
        multiply(columns, &self.weight, Some(&self.bias), steps);
        steps.iter_mut().for_each(|value| *value = value.max(0.0));
    }
}

/// What goes from frame to frame.
struct LstmState {
    hidden: [f32; HIDDEN],
    cell: [f32; HIDDEN],
}

impl Default for LstmState {
    fn default() -> Self {
        Self { hidden: [0.0; HIDDEN], cell: [0.0; HIDDEN] }
    }
}

impl LstmState {
    /// `gates` holds the input's part of the four gates.
    fn step(&mut self, gates: &mut [f32], recurrent: &Panels<f32>) {
        let hidden = Rows { values: &self.hidden, stride: HIDDEN, count: 1 };
        let target = Target { start: gates.as_mut_ptr(), stride: gates.len() };
        // SAFETY: the gates are the outputs of the matrix.
        unsafe {
            kernels::product(hidden, recurrent, 0..recurrent.count(), target, Finish { add: true, ..Finish::PLAIN });
        }
        let (input, rest) = gates.split_at(HIDDEN);
        let (output, rest) = rest.split_at(HIDDEN);
        let (forget, candidate) = rest.split_at(HIDDEN);
        for i in 0..HIDDEN {
            self.cell[i] = sigmoid(forget[i]) * self.cell[i] + sigmoid(input[i]) * candidate[i].tanh();
            self.hidden[i] = sigmoid(output[i]) * self.cell[i].tanh();
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// `[out, in, taps]` to `[out, taps, in]`
fn taps_first(weight: &[f32], inputs: usize) -> Vec<f32> {
    let outputs = weight.chunks_exact(inputs * TAPS);
    outputs.flat_map(|row| (0..TAPS).flat_map(move |tap| row.iter().skip(tap).step_by(TAPS).copied())).collect()
}

/// `y = x Wᵀ (+ bias)` for `x` of `[rows, inputs]` and `W` of `[outputs, inputs]`.
fn multiply(x: &[f32], weight: &Panels<f32>, bias: Option<&[f32]>, y: &mut Vec<f32>) {
    let (inputs, outputs) = (weight.cols(), weight.rows());
    let x = Rows { values: x, stride: inputs, count: x.len() / inputs };
    y.resize(x.count * outputs, 0.0);
    let target = Target { start: y.as_mut_ptr(), stride: outputs };
    // SAFETY: y is [rows, outputs] and ours.
    unsafe { kernels::product(x, weight, 0..weight.count(), target, Finish { bias, ..Finish::PLAIN }) };
}
