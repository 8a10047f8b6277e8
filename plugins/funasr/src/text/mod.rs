//! From tokens to text, and the tags in it.

pub mod rich;
pub mod sentence;
pub mod sentencepiece;
pub mod tokens;
