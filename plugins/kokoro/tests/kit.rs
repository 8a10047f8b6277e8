//! Replays the reference kit's cases against this plugin:
//! `cargo test --release -p syrinx-plugin-kokoro --test kit -- [--dir DIR] [--op GLOB] [--case GLOB]`.

#[path = "kit/front.rs"]
mod front;
#[path = "kit/g2p.rs"]
#[expect(
    clippy::print_stdout,
    clippy::type_complexity,
    reason = "it reports shares of equal lines; its record is one-off"
)]
mod g2p;
#[path = "kit/logmel.rs"]
mod logmel;
#[path = "kit/network.rs"]
mod network;

use std::process::ExitCode;

use syrinx_plugin_common::kits::{self, Op};

const OPS: &[Op] = &[
    Op::new("kokoro.balanced_split", front::balanced_split),
    Op::new("kokoro.chunk_en", front::chunk_en),
    Op::new("kokoro.chunk_other", front::chunk_other),
    Op::new("kokoro.en_tagger", g2p::en_tagger),
    Op::new("kokoro.g2p", g2p::g2p),
    Op::new("kokoro.generate_from_tokens", front::generate_from_tokens),
    Op::new("kokoro.join_timestamps", front::join_timestamps),
    Op::new("kokoro.lang_code", front::lang_code),
    // The level of int8 audio is judged by the tolerance's `rms_rel`, its peak is told for orientation.
    Op::new("kokoro.num2words", g2p::num2words),
    Op::new("kokoro.onnx", network::onnx).remarks(&["expect.rms", "expect.peak", "expect.samples"]),
    Op::new("kokoro.pcm16", front::pcm),
    Op::new("kokoro.phonemes_to_ids", front::phonemes_to_ids),
    Op::new("kokoro.voice_blend", front::voice_blend),
    Op::new("kokoro.voice_select", front::voice_select),
    Op::new("kokoro.waterfall_last", front::waterfall_last),
];

/// What the kit tells about parts that this plugin does not have: it runs the ONNX exports, not the torch checkpoint, and
/// has a front end for English only.
const INFORMATIVE: &[(&str, &str)] = &[
    ("kokoro.plbert", TORCH),
    ("kokoro.text_encoder", TORCH),
    ("kokoro.duration", TORCH),
    ("kokoro.align", TORCH),
    ("kokoro.f0n", TORCH),
    ("kokoro.decoder_pre", TORCH),
    ("kokoro.source", TORCH),
    ("kokoro.stft", TORCH),
    ("kokoro.generator", TORCH),
    ("kokoro.istft", TORCH),
    ("kokoro.forward", TORCH),
    ("kokoro.forward_har", TORCH),
    ("kokoro.e2e", TORCH),
    ("kokoro.dequant_check", TORCH),
    ("kokoro.g2p/g2p_es", LANGUAGE),
    ("kokoro.g2p/g2p_fr", LANGUAGE),
    ("kokoro.g2p/g2p_hi", LANGUAGE),
    ("kokoro.g2p/g2p_it", LANGUAGE),
    ("kokoro.g2p/g2p_ja", LANGUAGE),
    ("kokoro.g2p/g2p_pt_br", LANGUAGE),
    ("kokoro.g2p/g2p_zh", LANGUAGE),
];

const TORCH: &str = "a stage of the torch network; this plugin runs ONNX exports of it as a whole (op kokoro.onnx)";

const LANGUAGE: &str = "a language whose texts this plugin does not turn into phonemes yet";

fn main() -> ExitCode {
    kits::main("kokoro", OPS, INFORMATIVE)
}
