//! Windows that are decoded side by side against the same windows one by one, on a small model of random weights.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use syrinx_plugin_whisper::frontend::{MelExtractor, WINDOW_SAMPLES};
#[cfg(feature = "candle")]
use syrinx_plugin_whisper::model::DeviceName;
use syrinx_plugin_whisper::model::{AudioFeatures, Batch, ComputeType, Feed, LoadOptions, Place, WhisperModel};
use syrinx_plugin_whisper::scheduler::Scheduler;
use syrinx_plugin_whisper::search::{Recorded, SplitMix};
use syrinx_plugin_whisper::sound::Sound;
use syrinx_plugin_whisper::tokenizer::Tokenizer;
use syrinx_plugin_whisper::window::{self, DecodeError, WindowOptions};

struct Model {
    network: Arc<WhisperModel>,
    scheduler: Scheduler,
    tokenizer: Tokenizer,
}

fn load(place: Place, compute_type: ComputeType) -> Model {
    let dir: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kits/whisper/models/rand-v2-hf");
    let options = LoadOptions { threads: 2, compute_type, place };
    let network = WhisperModel::load(&dir, &options).expect("the kit has the model");
    let tokenizer = Tokenizer::load(&dir, network.dims().n_vocab, Some(true)).expect("and its vocabulary");
    let network = Arc::new(network);
    Model { scheduler: Scheduler::new(Arc::clone(&network)), network, tokenizer }
}

/// Windows of noise, each of another loudness and length.
fn audio(model: &Model, count: usize) -> Vec<Arc<AudioFeatures>> {
    use syrinx_plugin_whisper::search::Uniform;
    let extractor = MelExtractor::new(model.network.dims().n_mels);
    let windows = (1..=count).map(|number| {
        let mut chance = SplitMix::new(number as u64);
        let samples: Vec<f32> =
            (0..16_000 * number).map(|_| (chance.next() as f32 - 0.5) * 0.2 * number as f32).collect();
        let features = extractor.listen(Sound::whole(&samples), WINDOW_SAMPLES).expect("long enough");
        model.network.encode(&features.window(0, features.content_frames())).expect("a window")
    });
    windows.collect()
}

fn check(place: Place, compute_type: ComputeType, options: &WindowOptions, count: usize) {
    let model = load(place, compute_type);
    let audio = audio(&model, count);
    let no_chance = || Recorded::new(Vec::new());
    let together =
        window::decode_all(&model.scheduler, &model.tokenizer, &audio, options, &mut no_chance(), &|| false).unwrap();
    assert_eq!(together.len(), count);
    for (audio, together) in audio.iter().zip(together) {
        let mut session = model.network.session(audio);
        let alone = window::decode(&mut session, &model.tokenizer, options, &mut no_chance(), &|| false).unwrap();
        assert_eq!(together.tokens, alone.tokens);
        assert!((together.avg_logprob - alone.avg_logprob).abs() < 1e-3, "{together:?} {alone:?}");
        assert!((together.no_speech_prob - alone.no_speech_prob).abs() < 1e-4);
    }
}

#[test]
fn side_by_side_finds_what_one_by_one_does() {
    let greedy = WindowOptions { sample_len: Some(40), ..WindowOptions::default() };
    check(Place::Native, ComputeType::Float32, &greedy, 3);
    check(Place::Native, ComputeType::Float32, &WindowOptions { beam_size: Some(5), ..greedy.clone() }, 6);
    check(Place::Native, ComputeType::Int8, &greedy, 3);
    #[cfg(feature = "candle")]
    {
        let candle = Place::Candle(DeviceName::Cpu);
        check(candle, ComputeType::Float32, &greedy, 3);
        check(candle, ComputeType::Float32, &WindowOptions { beam_size: Some(5), ..greedy.clone() }, 6);
    }
}

#[test]
fn nothing_and_a_stopped_job_end_at_once() {
    let model = load(Place::Native, ComputeType::Float32);
    let options = WindowOptions::default();
    let mut chance = Recorded::new(Vec::new());
    let none = window::decode_all(&model.scheduler, &model.tokenizer, &[], &options, &mut chance, &|| false);
    assert_eq!(none, Ok(Vec::new()));
    let audio = audio(&model, 2);
    let stopped = window::decode_all(&model.scheduler, &model.tokenizer, &audio, &options, &mut chance, &|| true);
    assert_eq!(stopped, Err(DecodeError::Stopped));
}

/// Logits of a session's prompt and its next step, alone or next to a session that is fed so many tokens.
fn logits(model: &Model, audio: &[Arc<AudioFeatures>], company: usize) -> Vec<f32> {
    let (mut own, mut other) = (model.network.session(&audio[0]), model.network.session(&audio[1]));
    let (mut batch, mut all, mut logits, mut ignored) = (Batch::default(), Vec::new(), Vec::new(), Vec::new());
    let many = vec![3; company];
    for tokens in [vec![5, 7, 9], vec![11]] {
        let mut feeds = vec![Feed { session: &mut own, tokens: &tokens, positions: &[0], logits: &mut logits }];
        if company > 0 {
            feeds.push(Feed { session: &mut other, tokens: &many, positions: &[0], logits: &mut ignored });
        }
        batch.forward(&model.network, &mut feeds).unwrap();
        all.extend_from_slice(&logits);
    }
    all
}

#[test]
fn logits_do_not_depend_on_the_company() {
    for (compute_type, margin) in [(ComputeType::Int8, 0.0), (ComputeType::Float32, 1e-4)] {
        let model = load(Place::Native, compute_type);
        let audio = audio(&model, 2);
        let alone = logits(&model, &audio, 0);
        for company in [1, 4, 40] {
            let beside = logits(&model, &audio, company);
            let worst = alone.iter().zip(&beside).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
            assert!(worst <= margin, "{compute_type:?}: {worst} next to {company} rows");
        }
    }
}
