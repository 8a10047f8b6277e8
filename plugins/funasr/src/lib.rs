//! Paraformer and SenseVoice speech recognition for Syrinx, on ONNX Runtime.
//!
//! The rooms, in the order that data flows: [`options`] of a launch and of a request, [`frontend`] for features, [`vad`] for stretches of
//! speech, [`asr`] for what is said in them (with [`network`] for graphs of torch checkpoints), [`text`] for units and tags,
//! [`punctuation`] for marks, [`speakers`] for who speaks, [`compose`] for the transcript; [`accelerate`] and
//! [`kernels`] for networks to be fast. [`pipeline`] is the way through them, [`model`]
//! what is loaded.

pub mod accelerate;
pub mod asr;
pub mod compose;
pub mod config;
pub mod error;
pub mod frontend;
pub mod kernels;
pub mod model;
pub mod network;
pub mod options;
mod pipeline;
mod plan;
pub mod punctuation;
pub mod speakers;
pub mod text;
pub mod vad;

use syrinx_plugin_api::{Error, Host, LoadRequest, Manifest, Model, Plugin, export_plugin};
use syrinx_plugin_common::options::schema_of;

use crate::model::{Funasr, RUNTIME};
use crate::options::LaunchOptions;

/// The plugin of the family.
#[derive(Clone, Copy, Debug, Default)]
pub struct FunasrPlugin;

impl Plugin for FunasrPlugin {
    fn manifest(&self) -> Manifest {
        Manifest {
            name: "funasr".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: env!("CARGO_PKG_DESCRIPTION").to_owned(),
            license: env!("CARGO_PKG_LICENSE").to_owned(),
            runtimes: vec![RUNTIME.to_owned()],
            launch_options: schema_of::<LaunchOptions>(),
            ..Manifest::default()
        }
    }

    fn load(&self, request: LoadRequest, host: Host) -> Result<Box<dyn Model>, Error> {
        Ok(Box::new(Funasr::load(&request, &host)?))
    }
}

export_plugin!(|| FunasrPlugin);
