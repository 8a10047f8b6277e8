//! Requests through the plugin's own door, on real weights: side by side, with every parameter that changes what is said, and wrong ones.

#[path = "../kit/audio.rs"]
#[allow(dead_code, reason = "only the decoding of clips is used")]
mod audio;

mod bad_input;
mod door;
mod logprobs;
mod parameters;
mod side_by_side;
