//! The stages that need no large weights, on a minute of noise: `cargo bench -p syrinx-plugin-funasr`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use syrinx_plugin_common::onnx::{Runtime, SessionOptions, find_library};
use syrinx_plugin_funasr::accelerate::NetworkOptions;
use syrinx_plugin_funasr::asr::{cif, ctc};
use syrinx_plugin_funasr::config::{FrontendConfig, ModelFiles};
use syrinx_plugin_funasr::frontend::Frontend;
use syrinx_plugin_funasr::kernels::{
    Attention, ByteMatrix, Columns, Finish, FloatMatrix, Isa, Keys, Memory, one_after_the_other,
};
use syrinx_plugin_funasr::speakers::cluster::cluster;
use syrinx_plugin_funasr::vad::{EndSilence, Vad};
use syrinx_registry::{Catalogue, FetchOptions, Silent, Store};

/// Samples of a minute.
const MINUTE: usize = 16_000 * 60;

/// Values in −1…1.
fn noise(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as f32 / 32_768.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Products of 250 frames (15 s), as an encoder layer of Paraformer-large has them.
fn products(criterion: &mut Criterion) {
    let isa = Isa::best();
    for (inputs, outputs) in [(512, 1536), (512, 512), (512, 2048), (2048, 512)] {
        let (x, w) = (noise(250 * inputs), noise(inputs * outputs));
        let mut y = vec![0.0; 250 * outputs];
        let floats = FloatMatrix::of_columns(isa, &w, outputs);
        criterion.bench_function(&format!("floats, {inputs} to {outputs}"), |b| {
            b.iter(|| floats.product(black_box(&x), &mut y, Finish::default(), &one_after_the_other));
        });
        let bytes = ByteMatrix::quantized(isa, &w, outputs).expect("they fit");
        criterion.bench_function(&format!("bytes, {inputs} to {outputs}"), |b| {
            b.iter(|| bytes.product(black_box(&x), &mut y, Finish::default(), &one_after_the_other));
        });
    }
    let [q, k, v] = [1, 2, 3].map(|seed| noise(250 * 512 + seed)[seed..].to_vec());
    let mut out = vec![0.0; 250 * 512];
    let attention = Attention { isa, heads: 4, scale: 0.088 };
    let added = Keys { bias: &[0.0], width: 1, rows: 1 };
    criterion.bench_function("attention", |b| {
        let parts = [&q, &k, &v].map(|values| Columns::all(values, 512));
        b.iter(|| attention.run(black_box(parts), added, &mut out, &one_after_the_other));
    });
    let memory = Memory::new(isa, &noise(512 * 11), 512, 5).expect("it fits");
    let mask = vec![1.0; 250];
    let signal = Columns::all(&q, 512);
    criterion.bench_function("memory", |b| {
        b.iter(|| memory.run(black_box(signal), &mask, &mut out, &one_after_the_other));
    });
}

fn stages(criterion: &mut Criterion) {
    let samples: Vec<f32> = noise(MINUTE).iter().map(|sample| sample * 0.1).collect();
    let frontend = Frontend::load(&FrontendConfig::default(), None).expect("no files are needed");
    criterion.bench_function("features of a minute", |b| b.iter(|| frontend.features(black_box(&samples))));

    let store = Store::default_location().expect("the store");
    let library = store.fetch_runtime("onnxruntime", &FetchOptions::default(), &Silent).expect("ONNX Runtime");
    let runtime = Runtime::load(&find_library(None, Some(&library)).expect("a library")).expect("it loads");
    let asset = Catalogue::builtin().asset("fsmn-vad").expect("it is listed");
    let directory = store.fetch_asset(&asset, &FetchOptions::default(), &Silent).expect("it can be fetched");
    let files = ModelFiles::open(&directory).expect("a directory");
    let session = SessionOptions { threads: 1, ..SessionOptions::default() };
    let options = NetworkOptions { session, ..NetworkOptions::default() };
    let vad = Vad::load(&runtime, &files, false, &options).expect("it loads");
    criterion.bench_function("voice activity of a minute", |b| {
        b.iter(|| vad.segments(black_box(&samples), vad.options().clone(), EndSilence::Fixed(800.0)));
    });

    let (frames, width) = (1000, 512); // a minute of encoder frames, Paraformer-large
    let hidden = noise(frames * width);
    let alphas: Vec<f32> = noise(frames).iter().map(|value| value.abs() * 0.5).collect();
    criterion.bench_function("tokens of a minute's frames", |b| {
        b.iter(|| cif::by_steps(black_box(&hidden), width, &alphas, 1.0));
    });

    let classes = 25_055; // SenseVoice
    let scores = noise(250 * classes);
    let labels: Vec<u32> = (1..=60).collect();
    criterion.bench_function("best classes of 15 s", |b| {
        b.iter(|| black_box(&scores).chunks_exact(classes).map(ctc::best).collect::<Vec<_>>());
    });
    criterion.bench_function("alignment of 15 s", |b| {
        b.iter(|| ctc::Emissions::new(black_box(&scores), classes, &labels, 0, false).align());
    });

    let embeddings: Vec<Vec<f32>> = (0..2000)
        .map(|i| {
            let centre = noise(192);
            noise(192 + i)[i..]
                .iter()
                .zip(&centre)
                .enumerate()
                .map(|(j, (a, b))| a * 0.3 + b * ((i % 4 == j % 4) as u8 as f32))
                .collect()
        })
        .collect();
    criterion.bench_function("speakers of 25 minutes", |b| b.iter(|| cluster(black_box(&embeddings), None)));
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = products, stages
}
criterion_main!(benches);
