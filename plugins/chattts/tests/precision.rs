//! How far the smaller precisions are from float32.

use std::path::{Path, PathBuf};

use syrinx_plugin_chattts::config::ModelFiles;
use syrinx_plugin_chattts::generate::Kind;
use syrinx_plugin_chattts::network::{LanguageModel, Place, Precision, Rows, Steps, Synthesizer, Utterance, values};
use tch::Device;

fn files() -> ModelFiles {
    let root = std::env::var_os("SYRINX_KITS").map(PathBuf::from);
    let kits = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kits"));
    ModelFiles::open(&kits.join("chattts/models/tiny-a")).expect("the tiny model")
}

fn at(precision: Precision) -> Place {
    Place { device: Device::Cpu, precision }
}

/// Size of the difference relative to the size.
fn distance(got: &[f32], want: &[f32]) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|value| f64::from(value * value)).sum::<f64>();
    assert_eq!(got.len(), want.len());
    (square(&mut got.iter().zip(want).map(|(got, want)| got - want)) / square(&mut want.iter().copied())).sqrt()
}

#[test]
fn smaller_weights_change_predictions_little() {
    let logits = |precision: Precision| {
        let model = LanguageModel::load(&files(), at(precision)).expect("it loads");
        let vocabulary = model.embed.vocabulary();
        let entries: Vec<_> = (0..40).map(|at| vocabulary.text(at * 17)).collect();
        let mut rows = Rows::default();
        let emb = model.embed.forward(&entries).expect("embeddings");
        let hidden = model.gpt.admit(&mut rows, &emb).expect("hidden states");
        values(&model.embed.logits(&hidden, Kind::Code).expect("logits")).expect("values")
    };
    let exact = logits(Precision::Float32);
    for (precision, most) in [(Precision::BFloat16, 0.01), (Precision::Int8, 0.02)] {
        let distance = distance(&logits(precision), &exact);
        assert!(distance < most, "{precision}: {distance}");
    }
}

#[test]
fn smaller_weights_change_sound_little() {
    let sound = |precision: Precision| {
        let synthesizer = Synthesizer::load(&files(), at(precision)).expect("it loads");
        let width = synthesizer.decoder().width() as usize;
        let states: Vec<f32> = (0..60 * width).map(|i| ((i * 7919) % 2003) as f32 / 1001.5 - 1.0).collect();
        synthesizer.push(&mut Utterance::default(), Steps::Hidden(&states), true).expect("samples")
    };
    let exact = sound(Precision::Float32);
    let distance = distance(&sound(Precision::BFloat16), &exact);
    assert!(distance < 0.1, "{distance}");
    assert_eq!(sound(Precision::Int8), exact, "decoder and vocoder are exact then");
}
