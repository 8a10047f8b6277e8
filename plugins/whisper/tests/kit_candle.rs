//! The reference cases of the network and of what is decided upon its logits, with the network on candle: the code that accelerators run,
//! on the processor, at the tolerances of the kit. `SYRINX_KIT_DEVICE=cuda:0` runs them on a card. Everything else doesn't know the backend;
//! see the runner `kit`.

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
use std::sync::LazyLock;

use syrinx_plugin_common::kits::{self, Op};
use syrinx_plugin_whisper::model::Place;

/// What the networks of the cases run on.
static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let device = std::env::var("SYRINX_KIT_DEVICE").ok();
    Place::find(device.as_deref(), Some("candle")).unwrap_or_else(|error| panic!("SYRINX_KIT_DEVICE: {error}"))
});

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
