//! What it costs to push samples from a plugin into the host. Target: below 1 µs for a chunk of 4096 samples.
//!
//! A plain loop: the figure is stable to a few per cent, which is all that the target asks for.

use std::{
    hint::black_box,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use syrinx_plugin_api::{
    Flow, LoadRequest, Object, ReceivePcm, SpeechSettings,
    host_side::{LoadedModel, PluginLibrary},
};
use syrinx_tests::{fixtures, services::Services};

const CHUNK: usize = 4096; // samples
const PUSHES: u32 = 200_000;
const ROUNDS: usize = 5;
const TARGET: Duration = Duration::from_micros(1);

/// Looks at the slice, as cheaply as can be.
struct Glance(u64);

impl ReceivePcm for Glance {
    fn push(&mut self, samples: &[f32]) -> Flow {
        self.0 += black_box(samples).len() as u64;
        Flow::Continue
    }
}

/// Best time of one push.
fn measure(model: &LoadedModel) -> Duration {
    let mut parameters = Object::new();
    parameters.insert("pushes".into(), PUSHES.into());
    parameters.insert("chunk".into(), CHUNK.into());
    let settings = SpeechSettings { text: "a".into(), parameters, ..SpeechSettings::default() };
    (0..ROUNDS)
        .map(|_| {
            let mut sink = Glance(0);
            let started = Instant::now();
            model.synthesize(&settings, &[], &mut sink).expect("the beeper speaks");
            let elapsed = started.elapsed();
            assert_eq!(sink.0, u64::from(PUSHES) * CHUNK as u64);
            elapsed / PUSHES
        })
        .min()
        .unwrap_or_default()
}

#[allow(clippy::print_stdout)] // its purpose
fn main() -> ExitCode {
    let library = PluginLibrary::open(&fixtures::plain_beeper()).expect("the beeper opens");
    let model = library.load(&LoadRequest::default(), Arc::new(Services::default())).expect("the beeper loads");
    let best = measure(&model);
    println!("one push of {CHUNK} samples across the ABI: {} ns (target {} ns)", best.as_nanos(), TARGET.as_nanos());
    if best < TARGET { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
