//! ChatTTS conversational speech for Syrinx, on libtorch.

pub mod config;
#[cfg(feature = "torch")]
pub mod engine;
pub mod error;
pub mod generate;
#[cfg(feature = "torch")]
pub mod network;
pub mod speaker;
pub mod text;
