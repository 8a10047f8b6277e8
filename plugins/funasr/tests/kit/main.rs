//! Replays the reference kit's cases against this plugin:
//! `cargo test --release -p syrinx-plugin-funasr --test kit -- [--dir DIR] [--op GLOB] [--case GLOB]`.

mod asr;
mod compose;
mod front;
mod models;
mod network;
mod punctuation;
mod speakers;
mod text;
mod vad;

use std::process::ExitCode;

use syrinx_plugin_common::kits::{self, Op};

fn main() -> ExitCode {
    let ops: Vec<Op> =
        [asr::OPS, compose::OPS, front::OPS, network::OPS, punctuation::OPS, speakers::OPS, text::OPS, vad::OPS]
            .concat();
    kits::main("funasr", &ops, INFORMATIVE)
}

/// Ops that describe the other implementation where it differs from the one that is followed.
const INFORMATIVE: &[(&str, &str)] = &[
    ("asr.timestamp_lfr6_onnx", "how the funasr_onnx package reads times"),
    ("hotword.proc_onnx", "how the funasr_onnx package spells hot words"),
    ("punc.generate_onnx", "how the funasr_onnx package writes marks"),
    ("punc.postprocess_onnx", "how the funasr_onnx package writes marks"),
    ("punc.realtime/punc_realtime_onnx", "how the funasr_onnx package masks words"),
];
