//! Text to phonemes, one front end per group of languages, each the way the Python package `misaki` 0.9.4 does it:
//! [`english`] (dictionaries and a part-of-speech tagger), [`mandarin`] (jieba's words, pypinyin's readings),
//! [`japanese`] (MeCab's words in UniDic), and [`espeak`] for Spanish, French, Hindi, Italian and Brazilian Portuguese.
//!
//! Kokoro was trained on exactly these phonemes, so a difference from the reference is a difference in speech.

pub mod english;
mod error;
pub mod espeak;
pub mod japanese;
pub mod mandarin;
mod sorted;
mod unicode;

pub use self::error::G2pError;
