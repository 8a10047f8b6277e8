//! The network's two hot loops at the official sizes, on weights of a model directory.
//!
//! `SYRINX_BENCH_WHISPER=DIR cargo bench -p syrinx-plugin-whisper`: DIR is a Whisper model directory in any layout (tiny.en or base are
//! meant). Without it nothing is measured.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{Bencher, BenchmarkId, Criterion};
use syrinx_plugin_whisper::frontend::{MelExtractor, SAMPLE_RATE, WINDOW_FRAMES};
use syrinx_plugin_whisper::model::{ComputeType, LoadOptions, TokenModel, WhisperModel};
use syrinx_plugin_whisper::scheduler::Scheduler;

/// Tokens fed before a step is measured: a typical sentence.
const PREFIX: usize = 32;

fn frontend(criterion: &mut Criterion) {
    let audio: Vec<f32> = (0..30 * SAMPLE_RATE).map(|i| (i as f32 * 0.05).sin() * 0.3).collect();
    let extractor = MelExtractor::new(80);
    criterion.bench_function("log-mel of 30 s", |bench| bench.iter(|| black_box(extractor.extract(&audio, 0))));
}

fn network(criterion: &mut Criterion, dir: &Path) {
    for (name, compute_type) in [("float32", ComputeType::Float32), ("int8", ComputeType::Int8)] {
        for threads in [1, 2] {
            let model = WhisperModel::load(dir, &LoadOptions { threads, compute_type, ..LoadOptions::default() })
                .unwrap_or_else(|error| panic!("SYRINX_BENCH_WHISPER: {error}"));
            let model = Arc::new(model);
            let label = format!("{name}, {threads} threads");
            let mel = vec![0.1; model.dims().n_mels * WINDOW_FRAMES];
            let mut group = criterion.benchmark_group("encoder");
            group.sample_size(10);
            group.bench_function(&label, |bench| bench.iter(|| black_box(model.encode(&mel))));
            group.finish();

            let Ok(audio) = model.encode(&mel) else { return };
            // What a job alone pays for being able to share: the difference to the group below.
            let scheduler = Scheduler::new(Arc::clone(&model));
            let mut group = criterion.benchmark_group("scheduled decode step");
            for beams in [1, 5] {
                group.bench_function(BenchmarkId::new(&label, format!("{beams} beams")), |bench| {
                    steps(bench, beams, || scheduler.session(&audio));
                });
            }
            group.finish();
            let mut group = criterion.benchmark_group("decode step");
            for beams in [1, 5] {
                group.bench_function(BenchmarkId::new(&label, format!("{beams} beams")), |bench| {
                    steps(bench, beams, || model.session(&audio));
                });
            }
            group.finish();
        }
    }
}

/// Steps of one session, a new one when the context is full.
fn steps<S: TokenModel>(bench: &mut Bencher<'_>, beams: usize, start: impl Fn() -> S) {
    let mut logits = Vec::new();
    let mut session = start();
    bench.iter(|| {
        if session.fed() == 0 || session.fed() + 1 > session.context() {
            session = start();
            let fed = session.forward(&[100; PREFIX], &[PREFIX - 1], &mut logits);
            assert!(fed.and_then(|()| session.reorder(&vec![0; beams])).is_ok());
        }
        assert!(session.forward(&vec![100; beams], &[0], &mut logits).is_ok());
        black_box(&logits);
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    frontend(&mut criterion);
    if let Some(dir) = std::env::var_os("SYRINX_BENCH_WHISPER") {
        network(&mut criterion, &PathBuf::from(dir));
    }
    criterion.final_summary();
}
