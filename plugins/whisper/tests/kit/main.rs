//! Every reference case of the Whisper kit against the plugin. See `syrinx_plugin_common::kits` for the command line.

mod audio;
mod decode;
mod longform;
mod models;
mod network;
mod timing;
mod tokenizer;
mod vad;
mod writers;

use std::process::ExitCode;
use std::sync::LazyLock;

use syrinx_plugin_common::kits::{self, Op};
use syrinx_plugin_whisper::model::Place;

/// What the networks of the cases run on.
static PLACE: LazyLock<Place> = LazyLock::new(|| Place::Native);

fn main() -> ExitCode {
    let ops: Vec<Op> =
        [audio::OPS, decode::OPS, longform::OPS, network::OPS, timing::OPS, tokenizer::OPS, vad::OPS, writers::OPS]
            .concat();
    kits::main("whisper", &ops, INFORMATIVE)
}

/// Ops that describe other implementations of Whisper.
const INFORMATIVE: &[(&str, &str)] = &[
    ("hf.*", "how the transformers pipeline behaves"),
    ("xi.*", "how Xinference behaves today"),
    ("ct2.generate", "how CTranslate2's own search behaves"),
];
