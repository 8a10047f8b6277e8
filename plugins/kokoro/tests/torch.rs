//! The torch network on the kit's tiny checkpoint: what accelerators run does the same as our own kernels, seeds are obeyed, bad files and
//! inputs are refused.

use std::path::{Path, PathBuf};

use candle_core::DType;
use syrinx_plugin_kokoro::network::{Device, find_network};
use syrinx_plugin_kokoro::torch::{Harmonics, Noise, Spoken, TorchError, TorchNetwork, TorchOptions};

/// Ids of "hˈI wˈɜɹld." with pads.
const IDS: [i64; 12] = [0, 50, 156, 25, 16, 65, 156, 87, 123, 54, 46, 0];

/// Bins of the transforms.
const BINS: usize = 11;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kits/kokoro/models/tiny-kokoro")
}

fn load(options: TorchOptions) -> TorchNetwork {
    TorchNetwork::load(&find_network(&directory(), None, Device::Cpu).unwrap(), options).unwrap()
}

fn style() -> Vec<f32> {
    (0..256).map(|at| (at as f32 * 0.7).sin() * 0.2).collect()
}

/// Speaks with a harmonic source that doesn't depend on the last bit of the pitch.
fn speak(network: &TorchNetwork) -> Spoken {
    let silent = network.run(&IDS, &style(), 1.0, Harmonics::Noise(Noise::Silence)).unwrap();
    let frames: i64 = silent.frames.iter().sum();
    let spectrum_frames = frames as usize * 120 + 1;
    let wave =
        |scale: f32| (0..BINS * spectrum_frames).map(|at| (at as f32 * 0.37).sin() * scale).collect::<Vec<f32>>();
    network.run(&IDS, &style(), 1.0, Harmonics::Spectrum(&wave(0.5), &wave(3.0))).unwrap()
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let mean = |x: &[f32]| x.iter().map(|x| f64::from(*x)).sum::<f64>() / x.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a) - mean_a, f64::from(*b) - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    ab / (aa * bb).sqrt()
}

#[test]
fn accelerators_run_the_same() {
    let ours = speak(&load(TorchOptions::default()));
    let plain = speak(&load(TorchOptions { kernels: false, ..TorchOptions::default() }));
    assert_eq!(ours.frames, plain.frames);
    assert!(correlation(&ours.samples, &plain.samples) > 0.99999);
    // The types that only accelerators are offered.
    for (dtype, least) in [(DType::F16, 0.999), (DType::BF16, 0.97)] {
        let half = speak(&load(TorchOptions { dtype, ..TorchOptions::default() }));
        assert_eq!(ours.frames, half.frames, "durations are computed in float32");
        let found = correlation(&ours.samples, &half.samples);
        assert!(found > least, "{dtype:?}: {found}");
    }
}

#[test]
fn a_seed_makes_the_noise() {
    let network = load(TorchOptions::default());
    let speak = |seed: u64| network.speak(&IDS, &style(), 1.0, seed).unwrap();
    let (first, again, other) = (speak(7), speak(7), speak(8));
    assert_eq!(first, again);
    assert_ne!(first.samples, other.samples);
    assert_eq!(first.durations, other.durations);
    assert_eq!(first.samples.len() as i64, first.durations.unwrap().iter().sum::<i64>() * 600);
}

#[test]
fn threads_and_speed() {
    let one = load(TorchOptions { threads: 1, ..TorchOptions::default() });
    let two = load(TorchOptions { threads: 2, ..TorchOptions::default() });
    let normal = one.speak(&IDS, &style(), 1.0, 0).unwrap();
    assert_eq!(normal, two.speak(&IDS, &style(), 1.0, 0).unwrap());
    assert!(one.speak(&IDS, &style(), 0.25, 0).unwrap().samples.len() > 2 * normal.samples.len());
}

#[test]
fn what_does_not_fit_is_refused() {
    let network = load(TorchOptions::default());
    let error = |ids: &[i64], style: &[f32]| network.speak(ids, style, 1.0, 0).err();
    assert!(matches!(error(&[0; 513], &style()), Some(TorchError::TooLong { ids: 513, positions: 512 })));
    for id in [-1, 178] {
        assert!(matches!(error(&[0, id, 0], &style()), Some(TorchError::Id(found)) if found == id));
    }
    assert!(matches!(error(&IDS, &[0.0; 255]), Some(TorchError::Shape(_))));

    let directory = std::env::temp_dir().join(format!("syrinx-kokoro-torch-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let broken = directory.join("kokoro-v1_0.pth");
    std::fs::write(&broken, b"no checkpoint").unwrap();
    let load = || TorchNetwork::load(&broken, TorchOptions::default()).err();
    assert!(matches!(load(), Some(TorchError::Config(_))), "config.json is missing");
    std::fs::copy(self::directory().join("config.json"), directory.join("config.json")).unwrap();
    assert!(matches!(load(), Some(TorchError::Checkpoint(_))));
    std::fs::remove_dir_all(directory).unwrap();
}
