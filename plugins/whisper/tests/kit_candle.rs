//! The reference cases of the network and of what is decided upon its logits, with the network on candle: the code that accelerators run,
//! on the processor, at the tolerances of the kit. Everything else doesn't know the backend; see the runner `kit`.

#[path = "kit/audio.rs"]
#[allow(dead_code, reason = "the cases of the front end are run elsewhere")]
mod audio;
#[path = "kit/decode.rs"]
mod decode;
#[path = "kit/models.rs"]
#[allow(dead_code, reason = "the cases of voice activity are run elsewhere")]
mod models;
#[path = "kit/network.rs"]
mod network;
#[path = "kit/timing.rs"]
mod timing;

use std::process::ExitCode;

use syrinx_plugin_common::kits::{self, Op};
use syrinx_plugin_whisper::model::{DeviceName, Place};

/// What the networks of the cases run on.
const PLACE: Place = Place::Candle(DeviceName::Cpu);

fn main() -> ExitCode {
    let ops: Vec<Op> = [decode::OPS, network::OPS, timing::OPS].concat();
    kits::main(
        "whisper",
        &ops,
        &ELSEWHERE.map(|ops| (ops, "the runner `kit` is for it: the backend makes no difference")),
    )
}

/// Ops without a network, or with one among much else.
const ELSEWHERE: [&str; 12] = [
    "audio.*",
    "frontend.*",
    "tokenizer.*",
    "transcribe*",
    "segments.*",
    "utils.*",
    "vad.*",
    "writer*",
    "normalizer.*",
    "hf.*",
    "xi.*",
    "ct2.generate",
];
