//! Who speaks: stretches of speech are cut into chunks, chunks become embeddings ([`embedder`]), embeddings become speakers
//! ([`cluster`]), and chunks become turns ([`turns`]).

pub mod chunk;
pub mod cluster;
mod eigen;
pub mod embedder;
mod kmeans;
pub mod turns;
