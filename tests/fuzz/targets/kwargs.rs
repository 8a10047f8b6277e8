#![no_main]

#[path = "../contained.rs"]
mod contained;

libfuzzer_sys::fuzz_target!(init: contained::allow(), |data: &[u8]| syrinx::fuzzing::kwargs(data));
