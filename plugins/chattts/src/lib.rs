//! ChatTTS conversational speech for Syrinx, on libtorch.
//!
//! The rooms, in the order that data flows: [`options`] of a request, [`text`] and [`pieces`] for what is said, [`speaker`] for who says it,
//! [`generate`] for how tokens are drawn, `engine` for the rows of all requests, `network` for the networks. `pipeline` is the way through
//! them, `model` what is loaded. What is on libtorch needs the feature `torch`.

pub mod config;
#[cfg(feature = "torch")]
pub mod engine;
pub mod error;
pub mod generate;
#[cfg(feature = "torch")]
pub mod model;
#[cfg(feature = "torch")]
pub mod network;
pub mod options;
pub mod pieces;
#[cfg(feature = "torch")]
mod pipeline;
pub mod speaker;
pub mod text;

use syrinx_plugin_api::{Error, Host, LoadRequest, Manifest, Model, Plugin, export_plugin};
use syrinx_plugin_common::options::schema_of;

use crate::options::LaunchOptions;

/// Name of the runtime that is linked.
pub const RUNTIME: &str = "libtorch";

/// The plugin of the family.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChatTtsPlugin;

impl Plugin for ChatTtsPlugin {
    fn manifest(&self) -> Manifest {
        let description = "ChatTTS: conversational speech with laughter and pauses, on libtorch";
        let missing = "; runtime missing: run `cargo xtask plugin chattts`";
        let has_torch = cfg!(feature = "torch");
        Manifest {
            name: "chattts".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: format!("{description}{}", if has_torch { "" } else { missing }),
            license: env!("CARGO_PKG_LICENSE").to_owned(),
            runtimes: has_torch.then(|| RUNTIME.to_owned()).into_iter().collect(),
            launch_options: schema_of::<LaunchOptions>(),
            ..Manifest::default()
        }
    }

    #[cfg(feature = "torch")]
    fn load(&self, request: LoadRequest, host: Host) -> Result<Box<dyn Model>, Error> {
        Ok(Box::new(model::ChatTts::load(&request, &host)?))
    }

    #[cfg(not(feature = "torch"))]
    fn load(&self, _request: LoadRequest, _host: Host) -> Result<Box<dyn Model>, Error> {
        let message = "runtime missing: this build of the plugin is without libtorch; run `cargo xtask plugin chattts`, which fetches libtorch and builds it";
        Err(Error::out_of_resources(message))
    }
}

export_plugin!(|| ChatTtsPlugin);
