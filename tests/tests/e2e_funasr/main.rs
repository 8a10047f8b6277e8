//! FunASR through the server: the reference's tiny recognisers, found, launched and asked the way the released ones are, with the real voice
//! activity detector.

mod bad_input;
mod door;
mod formats;
#[path = "../../../plugins/funasr/tests/made/mod.rs"]
mod made;
mod parameters;
mod table;
