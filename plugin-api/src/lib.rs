//! The stable ABI between the Syrinx host and its model plugins: the only thing that the two share.
//!
//! A plugin is a `cdylib` that brings one family of speech models. Its author writes safe Rust: implements [`Plugin`]
//! and [`Model`], and exports with [`export_plugin!`]. The complete smallest one:
//!
//! ```
//! use syrinx_plugin_api::{export_plugin, Ability, Error, Flow, Host, LoadRequest, Manifest, Model, ModelCard, PcmSink,
//!                         Plugin, SpeechRequest};
//!
//! /// Says everything with a tone of 440 Hz, 50 ms a character.
//! struct Beeper;
//!
//! impl Plugin for Beeper {
//!     fn manifest(&self) -> Manifest {
//!         Manifest { name: "beeper".into(), version: env!("CARGO_PKG_VERSION").into(), ..Manifest::default() }
//!     }
//!
//!     fn load(&self, _request: LoadRequest, _host: Host) -> Result<Box<dyn Model>, Error> {
//!         Ok(Box::new(Beeper))
//!     }
//! }
//!
//! impl Model for Beeper {
//!     fn card(&self) -> ModelCard {
//!         ModelCard {
//!             abilities: vec![Ability::Speak, Ability::SpeakWithoutClip],
//!             output_sample_rate: Some(24_000),
//!             max_concurrency: 4,
//!             streams: true,
//!             device: "cpu".into(),
//!             dtype: "float32".into(),
//!             ..ModelCard::default()
//!         }
//!     }
//!
//!     fn synthesize(&self, request: SpeechRequest<'_>, sink: &mut PcmSink<'_>) -> Result<(), Error> {
//!         let mut phase = 0.0_f32;
//!         for _character in request.settings.text.chars() {
//!             let beep: Vec<f32> = (0..1200)
//!                 .map(|_| {
//!                     phase += std::f32::consts::TAU * 440.0 / 24_000.0;
//!                     0.3 * phase.sin()
//!                 })
//!                 .collect();
//!             if sink.push(&beep) == Flow::Stop {
//!                 break;
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//!
//! export_plugin!(|| Beeper);
//! # fn main() {}
//! ```
//!
//! # The way of a job
//!
//! One call per job, then pushes into a sink. The sink's answer is flow control, see [`Flow`]. Samples cross as slices,
//! without a copy; everything else (manifest, card, settings, events, errors) crosses as a JSON document, so that it can
//! grow. Authors see typed structs on their side.
//!
//! # Versions
//!
//! This crate's version is the ABI version. The major number must be the host's; minor numbers may differ in both
//! directions: documents ignore members that they don't know and fill in those that are missing, and a method that the
//! other side doesn't have falls back to its default. Compilers may differ, too: nothing of Rust's own unstable ABI
//! crosses. What doesn't fit is refused when the plugin is opened, with a message that names both versions.
//!
//! # Failures
//!
//! A panic in a plugin becomes an [`Error`] of the job that it happened in. (It needs `panic = "unwind"`, the default.
//! Aborts, stack overflows and faults in native code can't be caught in-process.)

pub mod abi;
mod audio;
mod describe;
mod error;
mod event;
#[doc(hidden)]
pub mod export;
mod host;
#[cfg(feature = "host")]
pub mod host_side;
mod plugin;
mod request;
mod sink;

pub use audio::AudioInput;
pub use describe::{Ability, Device, Granularity, Manifest, ModelCard, Object, Voice};
pub use error::{Error, ErrorKind};
pub use event::{Segment, SpeechEvent, TokenLogprob, TranscriptEvent, Word};
pub use host::{Detached, Host, Level, MetricKind};
pub use plugin::{Model, Plugin};
pub use request::{Clip, LoadRequest, SpeechRequest, SpeechSettings, Task, TranscribeRequest, TranscribeSettings};
pub use sink::{Flow, PcmSink, ReceivePcm, ReceiveTranscript, TranscriptSink};
