//! What really crosses the boundary: layout-checked trait objects, JSON documents and slices of samples.
//!
//! Nothing in here is for authors. The rules that keep old plugins loading:
//!
//! * A method is only ever added at the end of a trait, after the one marked `last_prefix_field`, with a default
//!   body; the mark never moves. Then the minor version of this crate goes up.
//! * A document (manifest, card, request, event, error) only ever gains members that have a default.
//! * Anything else is a new major version, and the exported symbol changes its name.

#![allow(non_camel_case_types)] // abi_stable's convention: `X_Ref`, `X_TO`

#[cfg(not(feature = "test-abi-1-0"))]
#[allow(non_local_definitions)] // the way `sabi_trait` writes its impls
mod current;
#[cfg(not(feature = "test-abi-1-0"))]
pub use current::*;

#[cfg(feature = "test-abi-1-0")]
#[allow(non_local_definitions)]
mod v1_0;
#[cfg(feature = "test-abi-1-0")]
pub use v1_0::*;

use abi_stable::{library::RootModule, sabi_types::VersionStrings, std_types::RBox, RMut, StableAbi};

/// A plugin as the host holds it.
pub type RawPluginBox = RawPlugin_TO<'static, RBox<()>>;
/// A loaded model as the host holds it.
pub type RawModelBox = RawModel_TO<'static, RBox<()>>;
/// Host services as a model holds them.
pub type RawHostBox = RawHost_TO<'static, RBox<()>>;
/// Incremental input, lent for one job.
pub type RawAudioRef<'a> = RawAudio_TO<'a, RMut<'a, ()>>;
/// Where a transcription job pushes, lent for that job.
pub type RawTranscriptSinkRef<'a> = RawTranscriptSink_TO<'a, RMut<'a, ()>>;
/// Where a speech job pushes, lent for that job.
pub type RawPcmSinkRef<'a> = RawPcmSink_TO<'a, RMut<'a, ()>>;

/// Answer of a sink: go on. Plain bytes, because an unknown enum value from the other side would be undefined.
pub const FLOW_CONTINUE: u8 = 0;
/// Answer of a sink: nobody wants the rest.
pub const FLOW_STOP: u8 = 1;

/// Name of the static that every plugin exports.
pub const EXPORTED_SYMBOL: &str = "syrinx_plugin_v1";

/// The version that this copy of the crate speaks.
pub const ABI_VERSION: &str = if cfg!(feature = "test-abi-1-0") {
    "1.0.0"
} else if cfg!(feature = "test-abi-2-0") {
    "2.0.0"
} else {
    env!("CARGO_PKG_VERSION")
};

/// The root module of a plugin library.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModule_Ref)))]
#[sabi(missing_field(panic))]
pub struct PluginModule {
    /// Only in a test: a layout that no host expects.
    #[cfg(feature = "test-abi-broken-layout")]
    pub surprise: u64,
    /// Makes the plugin object.
    #[sabi(last_prefix_field)]
    pub create: extern "C" fn() -> RawPluginBox,
}

impl RootModule for PluginModule_Ref {
    abi_stable::declare_root_module_statics! {PluginModule_Ref}
    const BASE_NAME: &'static str = "syrinx_plugin";
    const NAME: &'static str = "syrinx_plugin";
    const VERSION_STRINGS: VersionStrings = VersionStrings::new(ABI_VERSION);
}
