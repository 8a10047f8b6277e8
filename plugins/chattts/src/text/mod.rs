//! From what the user wrote to token ids, in the order that text flows: [`reading`] writes numbers and signs as words, [`split`] cuts parts,
//! the [`Normalizer`] leaves only what the model knows, [`prompt`] adds control tokens, the [`Tokenizer`] makes ids.

mod characters;
mod error;
mod homophones;
mod language;
mod normalizer;
pub mod prompt;
pub mod reading;
mod split;
mod tags;
mod tokenizer;

pub use error::TextError;
pub use homophones::Homophones;
pub use language::{Language, detect};
pub use normalizer::{NormalizeOptions, Normalized, Normalizer, Rules};
pub use split::split;
pub use tags::{Tagged, cut_tags};
pub use tokenizer::{Encoded, Tokenizer};
