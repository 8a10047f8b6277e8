//! Kokoro text to speech for Syrinx, on ONNX Runtime and candle.
//!
//! The rooms, in the order that data flows: [`options`] and [`markup`] of a request, [`language`] and [`g2p`] (through
//! [`front_ends`]) for phonemes, [`chunk`] for pieces, [`vocab`] and [`voices`] for the network's inputs, [`network`] for the
//! network ([`session`] and [`accelerate`] for ONNX graphs, [`torch`] for the official checkpoint, [`kernels`] for both), [`joint`] for one sound out of many, [`timestamps`] for captions. [`pipeline`] is the way through them,
//! [`model`] what is loaded.

pub mod accelerate;
pub mod chunk;
pub mod config;
pub mod front_ends;
pub mod g2p;
pub mod joint;
pub mod kernels;
pub mod language;
pub mod markup;
pub mod model;
pub mod network;
pub mod options;
pub mod pcm;
pub mod pipeline;
pub mod session;
pub mod timestamps;
pub mod torch;
pub mod vocab;
pub mod voices;

use syrinx_plugin_api::{Error, Host, LoadRequest, Manifest, Model, Plugin, export_plugin};
use syrinx_plugin_common::options::schema_of;

use crate::model::{Kokoro, RUNTIME};
use crate::options::LaunchOptions;

/// The plugin of the family.
#[derive(Clone, Copy, Debug, Default)]
pub struct KokoroPlugin;

impl Plugin for KokoroPlugin {
    fn manifest(&self) -> Manifest {
        Manifest {
            name: "kokoro".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: "Kokoro 82M: text to speech with 54 voices, on ONNX Runtime and candle".to_owned(),
            license: env!("CARGO_PKG_LICENSE").to_owned(),
            runtimes: vec![RUNTIME.to_owned()],
            launch_options: schema_of::<LaunchOptions>(),
            ..Manifest::default()
        }
    }

    fn load(&self, request: LoadRequest, host: Host) -> Result<Box<dyn Model>, Error> {
        Ok(Box::new(Kokoro::load(&request, &host)?))
    }
}

export_plugin!(|| KokoroPlugin);
