//! How far the smaller precisions are from float32; on a card with `SYRINX_KIT_DEVICE=cuda:0`, as the kit.

use syrinx_plugin_chattts::config::ModelFiles;
use syrinx_plugin_chattts::generate::Kind;
use syrinx_plugin_chattts::network::{LanguageModel, Place, Precision, Rows, Steps, Synthesizer, Utterance, values};
use syrinx_plugin_common::kits;

fn files() -> ModelFiles {
    let kit = kits::folder("chattts").expect("it is in the project");
    ModelFiles::open(&kit.join("models/tiny-a")).expect("the tiny model")
}

fn at(precision: Precision) -> Place {
    let device = std::env::var("SYRINX_KIT_DEVICE").ok();
    Place::find(device.as_deref(), Some(precision)).expect("the device computes in it")
}

fn is_on_card() -> bool {
    at(Precision::Float32) != Place::EXACT
}

/// The precisions of the device other than float32, each with the most that predictions may differ by.
fn smaller() -> [(Precision, f64); 2] {
    let other = if is_on_card() { (Precision::Float16, 0.005) } else { (Precision::Int8, 0.02) };
    [(Precision::BFloat16, if is_on_card() { 0.03 } else { 0.01 }), other]
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
    for (precision, most) in smaller() {
        let distance = distance(&logits(precision), &exact);
        assert!(distance < most, "{precision}: {distance}");
    }
}

/// Rows of different lengths, whose attention is masked, get what float32 gives each row alone.
#[test]
fn rows_beside_longer_ones_get_what_they_get_alone() {
    const LENGTHS: [usize; 3] = [5, 40, 13];
    const STEPS: usize = 12;
    // Logits of every step, of each of the rows with these numbers.
    let logits = |precision: Precision, numbers: &[usize]| -> Vec<Vec<f32>> {
        let model = LanguageModel::load(&files(), at(precision)).expect("it loads");
        let vocabulary = model.embed.vocabulary();
        let mut rows = Rows::default();
        for &number in numbers {
            let entries: Vec<_> =
                (0..LENGTHS[number]).map(|at| vocabulary.text((at * 17 + number * 5) as i64)).collect();
            let emb = model.embed.forward(&entries).expect("embeddings");
            let _ = model.gpt.admit(&mut rows, &emb).expect("hidden states");
        }
        let mut heard = vec![Vec::new(); numbers.len()];
        for step in 0..STEPS {
            let entries: Vec<_> =
                numbers.iter().map(|number| vocabulary.text((step * 13 + number * 7) as i64)).collect();
            let emb = model.embed.forward(&entries).expect("embeddings");
            let hidden = model.gpt.step(&mut rows, &emb).expect("hidden states");
            let logits = values(&model.embed.logits(&hidden, Kind::Code).expect("logits")).expect("values");
            let width = logits.len() / numbers.len();
            for (row, part) in heard.iter_mut().zip(logits.chunks(width)) {
                row.extend_from_slice(part);
            }
        }
        heard
    };
    let alone: Vec<_> = (0..LENGTHS.len()).map(|number| logits(Precision::Float32, &[number]).remove(0)).collect();
    for (precision, most) in [(Precision::Float32, 1e-4)].into_iter().chain(smaller()) {
        for (number, row) in logits(precision, &[0, 1, 2]).iter().enumerate() {
            let distance = distance(row, &alone[number]);
            assert!(distance < most, "{precision}, row {number}: {distance}");
        }
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
    if !is_on_card() {
        assert_eq!(sound(Precision::Int8), exact, "decoder and vocoder are exact then");
    }
}
