//! Replays the reference kit's cases against this plugin:
//! `cargo test --release -p syrinx-plugin-kokoro --test kit -- [--dir DIR] [--op GLOB] [--case GLOB]`.

#[path = "kit/dequantise.rs"]
mod dequantise;
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
#[path = "kit/torch.rs"]
mod torch;

use std::process::ExitCode;

use syrinx_plugin_common::kits::{self, Op};

const OPS: &[Op] = &[
    Op::new("kokoro.align", torch::align),
    Op::new("kokoro.balanced_split", front::balanced_split),
    Op::new("kokoro.chunk_en", front::chunk_en),
    Op::new("kokoro.chunk_other", front::chunk_other),
    Op::new("kokoro.decoder_pre", torch::decoder_pre),
    // Digests tell the values exactly; sums of magnitudes, and the last bit of a norm, depend on the order of summation.
    Op::new("kokoro.dequant_check", dequantise::check)
        .remarks(&["expect.tensors.*.abs_sum", "expect.tensors.*weight_g.sha256"]),
    Op::new("kokoro.duration", torch::duration),
    Op::new("kokoro.e2e", torch::end_to_end),
    Op::new("kokoro.en_tagger", g2p::en_tagger),
    Op::new("kokoro.f0n", torch::f0n),
    Op::new("kokoro.forward", torch::forward),
    Op::new("kokoro.forward_har", torch::forward_har),
    Op::new("kokoro.generate_from_tokens", front::generate_from_tokens),
    Op::new("kokoro.generator", torch::generator),
    Op::new("kokoro.istft", torch::istft),
    Op::new("kokoro.join_timestamps", front::join_timestamps),
    Op::new("kokoro.lang_code", front::lang_code),
    Op::new("kokoro.num2words", g2p::num2words),
    // The level of int8 audio is judged by the tolerance's `rms_rel`, its peak is told for orientation.
    Op::new("kokoro.onnx", network::onnx).remarks(&["expect.rms", "expect.peak", "expect.samples"]),
    Op::new("kokoro.pcm16", front::pcm),
    Op::new("kokoro.phonemes_to_ids", front::phonemes_to_ids),
    Op::new("kokoro.plbert", torch::plbert),
    Op::new("kokoro.source", torch::source),
    Op::new("kokoro.stft", torch::stft),
    Op::new("kokoro.text_encoder", torch::text_encoder),
    Op::new("kokoro.voice_blend", front::voice_blend),
    Op::new("kokoro.voice_select", front::voice_select),
    Op::new("kokoro.waterfall_last", front::waterfall_last),
    // Text to phonemes, a file a language. Judged by the share of equal lines, in the op.
    Op::new("g2p.en_gb", g2p::english).remarks(&["expect.lines"]),
    Op::new("g2p.en_tags", g2p::english_tags).remarks(&["expect.lines"]),
    Op::new("g2p.en_us", g2p::english).remarks(&["expect.lines"]),
    Op::new("g2p.es", g2p::through_espeak).remarks(&["expect.lines"]),
    Op::new("g2p.fr", g2p::through_espeak).remarks(&["expect.lines"]),
    Op::new("g2p.hi", g2p::through_espeak).remarks(&["expect.lines"]),
    Op::new("g2p.it", g2p::through_espeak).remarks(&["expect.lines"]),
    Op::new("g2p.ja", g2p::japanese).remarks(&["expect.lines"]),
    Op::new("g2p.pt_br", g2p::through_espeak).remarks(&["expect.lines"]),
    Op::new("g2p.zh", g2p::mandarin).remarks(&["expect.lines"]),
];

fn main() -> ExitCode {
    // The kit calls no op informative.
    kits::main("kokoro", OPS, &[])
}
