//! Speed of the torch network on any device.
//!
//! `cargo xtask plugin kokoro --cuda --example kokoro_speed -- DIRECTORY [DEVICE [DTYPE]]`
//!
//! DIRECTORY holds a checkpoint in the torch layout, DEVICE and DTYPE are those of the launch options (`cpu`, `f32`). What is spoken has no
//! meaning: phonemes in the order of the vocabulary. Prints medians after a warm-up.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use candle_core::DType;
use syrinx_plugin_kokoro::network::{Device, find_network};
use syrinx_plugin_kokoro::torch::{TorchNetwork, TorchOptions};

/// Phonemes of a text, from a clause to the longest piece.
const LENGTHS: [usize; 3] = [25, 100, 200];
/// Texts that are measured.
const TEXTS: usize = 9;
/// Samples per second.
const RATE: f64 = 24_000.0;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = PathBuf::from(arguments.first().ok_or("which directory?")?);
    let place: Device = arguments.get(1).map_or("cpu", String::as_str).parse()?;
    let dtype = match arguments.get(2).map_or("f32", String::as_str) {
        "f32" => DType::F32,
        "f16" => DType::F16,
        "bf16" => DType::BF16,
        other => return Err(format!("`{other}` is no dtype: f32, f16, bf16").into()),
    };
    let started = Instant::now();
    let options = TorchOptions { device: place.candle()?, dtype, ..TorchOptions::default() };
    let network = TorchNetwork::load(&find_network(&directory, None, place)?, options)?;
    println!("{place} in {dtype:?}: loaded in {:.2} s", started.elapsed().as_secs_f64());
    // Half of it is the decoder's, half the prosody's.
    let style: Vec<f32> = (0..256).map(|at| (at as f32 * 0.7).sin() * 0.2).collect();
    for length in LENGTHS {
        let ids: Vec<i64> = [0].into_iter().chain((0..length as i64).map(|at| 43 + at % 100)).chain([0]).collect();
        let started = Instant::now();
        network.speak(&ids, &style, 1.0, 1)?;
        let first = started.elapsed().as_secs_f64();
        let mut taken = Vec::with_capacity(TEXTS);
        let mut seconds = 0.0;
        for seed in 0..TEXTS {
            let started = Instant::now();
            let spoken = network.speak(&ids, &style, 1.0, seed as u64)?;
            taken.push(started.elapsed().as_secs_f64());
            seconds = spoken.samples.len() as f64 / RATE;
        }
        taken.sort_by(f64::total_cmp);
        let median = taken[TEXTS / 2];
        println!(
            "{length:4} phonemes, {seconds:5.1} s of sound: {:8.2} ms (first {:.0} ms), real-time factor {:.5}",
            median * 1e3,
            first * 1e3,
            median / seconds
        );
    }
    Ok(())
}
