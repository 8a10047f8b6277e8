//! Every reference case of the ChatTTS kit against the plugin. See `syrinx_plugin_common::kits` for the command line.

mod speaker;
mod text;

use std::process::ExitCode;

use syrinx_plugin_common::kits::{self, Op};

fn main() -> ExitCode {
    let ops: Vec<Op> = [speaker::OPS, text::OPS].concat();
    kits::main("chattts", &ops, &[])
}
