//! Replays the reference kit's cases against this plugin:
//! `cargo test --release -p syrinx-plugin-chattts --features torch --test kit -- [--dir DIR] [--op GLOB] [--case GLOB]`.

#[cfg(feature = "torch")]
mod generate;
#[cfg(feature = "torch")]
mod infer;
#[cfg(feature = "torch")]
mod models;
#[cfg(feature = "torch")]
mod network;
#[cfg(feature = "torch")]
mod sound;
mod speaker;
#[cfg(feature = "torch")]
mod stream;
mod text;

use std::process::ExitCode;

use syrinx_plugin_common::kits::{self, Op};

fn main() -> ExitCode {
    let ops: Vec<Op> = [speaker::OPS, text::OPS].concat();
    #[cfg(feature = "torch")]
    let ops = [&ops, generate::OPS, infer::OPS, network::OPS, sound::OPS, stream::OPS].concat();
    kits::main("chattts", &ops, INFORMATIVE)
}

/// Ops that describe something else than what is followed.
#[cfg(feature = "torch")]
const INFORMATIVE: &[(&str, &str)] =
    &[("gfsq.variant_new_library", "how later releases of vector_quantize_pytorch compute")];

/// What needs libtorch.
#[cfg(not(feature = "torch"))]
const INFORMATIVE: &[(&str, &str)] = &[
    ("decode*", WITHOUT),
    ("dvae.*", WITHOUT),
    ("embed.*", WITHOUT),
    ("gfsq.*", WITHOUT),
    ("gpt.*", WITHOUT),
    ("infer", WITHOUT),
    ("post.*", WITHOUT),
    ("sampler.*", WITHOUT),
    ("speaker.apply", WITHOUT),
    ("stream.*", WITHOUT),
    ("vocos.*", WITHOUT),
];

#[cfg(not(feature = "torch"))]
const WITHOUT: &str = "needs the feature torch";
