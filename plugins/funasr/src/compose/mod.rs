//! Results of stretches of speech put together: which stretches are recognised ([`merge`]), how their texts join ([`surface`]), what
//! sentences they make ([`sentences`]), and the transcript that grows out of them ([`transcript`]).

pub mod merge;
pub mod sentences;
pub mod surface;
pub mod transcript;
