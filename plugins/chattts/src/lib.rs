//! ChatTTS conversational speech for Syrinx, on libtorch.

pub mod speaker;
pub mod text;
