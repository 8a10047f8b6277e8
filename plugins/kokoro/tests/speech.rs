//! The whole pipeline on the real int8 weights: what a caller hears, when, and what is refused. The files come from the
//! store, which fetches what is missing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::json;
use syrinx_plugin_api::{
    Detached, Error, ErrorKind, Host, LoadRequest, Model, Object, Plugin, SpeechRequest, SpeechSettings,
};
use syrinx_plugin_common::testing::HeardSpeech;
use syrinx_plugin_kokoro::KokoroPlugin;
use syrinx_plugin_kokoro::accelerate::accelerate;
use syrinx_plugin_kokoro::kernels::Isa;
use syrinx_plugin_kokoro::model::Kokoro;
use syrinx_plugin_kokoro::network::{Device, find_network};
use syrinx_plugin_kokoro::session::SAMPLE_RATE;
use syrinx_registry::{Catalogue, FetchOptions, Silent, Store};

fn request() -> (LoadRequest, Host) {
    let store = Store::default_location().unwrap();
    let entry = Catalogue::builtin().model("Kokoro-82M").unwrap().clone();
    let files = store.fetch(&entry, &FetchOptions::default(), &Silent).unwrap();
    let library = store.fetch_runtime("onnxruntime", &FetchOptions::default(), &Silent).unwrap();
    let request = LoadRequest {
        model: files.name.clone(),
        model_dir: files.dir.clone(),
        assets: files.assets.clone(),
        threads: 1,
        ..LoadRequest::default()
    };
    let runtime_libraries = BTreeMap::from([("onnxruntime".to_owned(), library)]);
    (request, Host::detached(Detached { runtime_libraries, ..Detached::default() }))
}

fn model() -> &'static Kokoro {
    static MODEL: OnceLock<Kokoro> = OnceLock::new();
    MODEL.get_or_init(|| {
        let (request, host) = request();
        Kokoro::load(&request, &host).unwrap()
    })
}

fn seconds(heard: &HeardSpeech) -> f32 {
    heard.samples.len() as f32 / SAMPLE_RATE as f32
}

/// Lengths of silences within, in seconds, from 50 ms up.
fn silences(heard: &HeardSpeech) -> Vec<f32> {
    const FRAME: usize = 240;
    let loud: Vec<bool> = heard.samples.chunks(FRAME).map(|frame| frame.iter().any(|x| x.abs() > 1e-3)).collect();
    let first = loud.iter().position(|loud| *loud).unwrap_or(0);
    let last = loud.iter().rposition(|loud| *loud).unwrap_or(0);
    let runs = loud[first..=last].chunk_by(|a, b| a == b).filter(|run| !run[0]);
    runs.map(|run| (run.len() * FRAME) as f32 / SAMPLE_RATE as f32).filter(|seconds| *seconds >= 0.05).collect()
}

fn speak_with(
    text: &str,
    voice: Option<&str>,
    speed: f32,
    parameters: serde_json::Value,
) -> Result<HeardSpeech, Error> {
    let parameters: Object = parameters.as_object().cloned().unwrap_or_default();
    let settings = SpeechSettings {
        text: text.into(),
        voice: voice.map(str::to_owned),
        speed,
        parameters,
        ..SpeechSettings::default()
    };
    HeardSpeech::of(model(), SpeechRequest { settings, clips: Vec::new() }, None)
}

fn speak(text: &str) -> HeardSpeech {
    speak_with(text, Some("af_heart"), 1.0, json!({})).unwrap()
}

#[test]
fn pieces_are_joined_with_natural_pauses_and_without_clicks() {
    // The first sentence is a piece of its own, so there is a joint.
    let heard = speak(
        "The weather today is partly cloudy with a chance of showers in the evening. Please turn left at the next \
         traffic light, and then drive straight on until you see the old church.",
    );
    assert!((6.0..14.0).contains(&seconds(&heard)), "{}", seconds(&heard));
    assert!(silences(&heard).iter().any(|pause| (0.5..0.9).contains(pause)), "{:?}", silences(&heard));
    assert!(silences(&heard).iter().all(|pause| *pause < 1.0), "{:?}", silences(&heard));
    assert!(heard.samples.iter().all(|sample| sample.is_finite()));

    // A click is a burst above the voice's range. Around each joint there is next to nothing up there, compared with speech.
    let joints = joints(&heard.samples);
    assert!(joints.len() >= 4, "where the lead-in ends, around the pause, where the lead-out starts: {joints:?}");
    let frames = heard.samples.chunks_exact(CLICK_WINDOW);
    let loudest = frames.map(high_frequencies).fold(0.0, f32::max);
    let click = |samples: &[f32], joint: usize| {
        let start = joint.saturating_sub(CLICK_WINDOW / 2).min(samples.len() - CLICK_WINDOW);
        high_frequencies(&samples[start..start + CLICK_WINDOW]) / loudest
    };
    for joint in &joints {
        let found = click(&heard.samples, *joint);
        assert!(found < AUDIBLE_CLICK, "{found} at {joint}");
    }
    // The measure hears a step of a fiftieth of full scale.
    let mut clicking = heard.samples.clone();
    clicking[joints[1]..joints[1] + 120].iter_mut().for_each(|sample| *sample += 0.02);
    assert!(click(&clicking, joints[1]) > AUDIBLE_CLICK);
}

/// Samples of the window in which clicks are looked for: 20 ms.
const CLICK_WINDOW: usize = 480;

/// Power above [`CLICK_BAND`] in a window, as a share of the loudest window's, from which on a click is heard: -60 dB.
const AUDIBLE_CLICK: f32 = 1e-6;

/// In bins of [`CLICK_WINDOW`]: 4 kHz.
const CLICK_BAND: usize = 80;

/// Where digital silence of 20 ms or more begins or ends.
fn joints(samples: &[f32]) -> Vec<usize> {
    let mut joints = Vec::new();
    let mut start = 0;
    for run in samples.chunk_by(|a, b| (*a == 0.0) == (*b == 0.0)) {
        let end = start + run.len();
        if run[0] == 0.0 && run.len() >= CLICK_WINDOW {
            joints.extend([start, end].into_iter().filter(|joint| (1..samples.len()).contains(joint)));
        }
        start = end;
    }
    joints
}

/// Power above [`CLICK_BAND`], under a Hann window.
fn high_frequencies(window: &[f32]) -> f32 {
    let hann = |at: usize| 0.5 - 0.5 * (std::f32::consts::TAU * at as f32 / window.len() as f32).cos();
    let mut values: Vec<f32> = window.iter().enumerate().map(|(at, sample)| sample * hann(at)).collect();
    let transform = realfft::RealFftPlanner::<f32>::new().plan_fft_forward(values.len());
    let mut spectrum = transform.make_output_vec();
    transform.process(&mut values, &mut spectrum).unwrap();
    spectrum[CLICK_BAND..].iter().map(|bin| bin.norm_sqr()).sum()
}

#[test]
fn a_caller_who_leaves_stops_the_work() {
    let text = "This is a sentence that is spoken on its own. ".repeat(30);
    let settings = SpeechSettings { text, voice: Some("af_heart".into()), ..SpeechSettings::default() };
    let heard = HeardSpeech::of(model(), SpeechRequest { settings, clips: Vec::new() }, Some(2)).unwrap();
    assert_eq!(heard.pushes, 2);
    assert!(seconds(&heard) < 5.0);
}

#[test]
fn speed_and_pauses_are_obeyed() {
    let normal = seconds(&speak("Good morning to all of you."));
    let slow = seconds(&speak_with("Good morning to all of you.", Some("af_heart"), 0.5, json!({})).unwrap());
    let fast = seconds(&speak_with("Good morning to all of you.", Some("af_heart"), 4.0, json!({})).unwrap());
    assert!(slow > 1.5 * normal && fast < 0.6 * normal, "{slow} {normal} {fast}");
    let paused = speak("Good morning. [pause:2s] Good night.");
    assert!(silences(&paused).iter().any(|pause| (1.95..2.2).contains(pause)), "{:?}", silences(&paused));
}

#[test]
fn requests_at_once_hear_the_same() {
    let alone = speak("Nobody knows where the treasure is hidden.");
    let together: Vec<HeardSpeech> = std::thread::scope(|scope| {
        let jobs: Vec<_> =
            (0..3).map(|_| scope.spawn(|| speak("Nobody knows where the treasure is hidden."))).collect();
        jobs.into_iter().map(|job| job.join().unwrap()).collect()
    });
    for heard in together {
        assert_eq!(heard.samples, alone.samples);
    }
}

#[test]
fn voices_blends_and_aliases() {
    let blend = speak_with("Good morning!", Some("af_heart(2)+af_bella(1)"), 1.0, json!({})).unwrap();
    assert!(seconds(&blend) > 0.5);
    let error = speak_with("Hi.", Some("af_nobody"), 1.0, json!({})).err().unwrap();
    assert_eq!((error.kind, error.field.as_deref()), (ErrorKind::InvalidInput, Some("voice")));
    assert!(error.message.contains("af_heart") && error.message.contains("zm_yunyang"), "{}", error.message);
    for path in ["../voices/af_heart", "/etc/passwd", "af_heart.pt"] {
        assert_eq!(speak_with("Hi.", Some(path), 1.0, json!({})).err().unwrap().kind, ErrorKind::InvalidInput);
    }
    let card = model().card();
    assert_eq!(card.voices.len(), 54);
    assert_eq!(card.voice_aliases.len(), 13);
    assert!(card.voice_aliases.values().all(|voice| card.voices.iter().any(|known| known.id == *voice)));
    assert_eq!(card.default_voice.as_deref(), Some("af_alloy"));
    assert_eq!(card.dtype, "int8");
    speak_with("Hi there.", Some("echo"), 1.0, json!({})).unwrap();
}

#[test]
fn languages_follow_the_voice() {
    // A Japanese voice: phonemes are spoken, and text.
    let phonemes = "konnʲiʨihˈa.";
    assert!(seconds(&speak_with(phonemes, Some("jf_alpha"), 1.0, json!({"phonemes": true})).unwrap()) > 0.5);
    assert!(seconds(&speak_with("ignored", Some("jf_alpha"), 1.0, json!({"phonemes": phonemes})).unwrap()) > 0.5);
    assert!(seconds(&speak_with("こんにちは。", Some("jf_alpha"), 1.0, json!({})).unwrap()) > 0.5);
    let chinese = speak_with("今天天气很好。[pause:1s]我们去公园吧。", None, 1.0, json!({"lang_code": "zh"})).unwrap();
    assert!(silences(&chinese).iter().any(|pause| (0.95..1.2).contains(pause)), "{:?}", silences(&chinese));
    // Symbols without a sound are left out, and the caller hears of each once.
    let unknown = speak_with("hˈI 中, hˈI 中国.", Some("af_heart"), 1.0, json!({"phonemes": true})).unwrap();
    assert_eq!(unknown.warnings.len(), 1, "{:?}", unknown.warnings);
    assert!(unknown.warnings[0].contains("`中`, `国`"), "{:?}", unknown.warnings);
    // The voice wins over lang_code, and says so.
    let heard = speak_with("Good morning.", Some("bf_emma"), 1.0, json!({"lang_code": "z"})).unwrap();
    assert_eq!(heard.warnings.len(), 1);
    // Without a voice, lang_code chooses one.
    let british = speak_with("Good morning.", None, 1.0, json!({"lang_code": "en-gb"})).unwrap();
    assert_eq!(british.samples, speak_with("Good morning.", Some("bf_alice"), 1.0, json!({})).unwrap().samples);
}

#[test]
fn what_cannot_be_spoken_is_refused() {
    let kind = |result: Result<HeardSpeech, Error>| result.err().map(|error| (error.kind, error.field));
    let invalid = |field: &str| Some((ErrorKind::InvalidInput, Some(field.to_owned())));
    assert_eq!(kind(speak_with("…", Some("af_heart"), 1.0, json!({"phonemes": "中"}))), invalid("input"));
    assert_eq!(kind(speak_with("Hi.", None, 1.0, json!({"lang_code": "xx"}))), invalid("lang_code"));
    assert_eq!(kind(speak_with("Hi.", None, 1.0, json!({"split_pattern": "("}))), invalid("split_pattern"));
    let long = "a".repeat(511);
    assert_eq!(kind(speak_with(&long, None, 1.0, json!({"phonemes": true}))), invalid("phonemes"));
    // A word that is longer than the network's context is not lost and not an error.
    let endless = speak_with(&"lala".repeat(200), Some("af_heart"), 2.0, json!({})).unwrap();
    assert!(seconds(&endless) > 5.0, "{}", seconds(&endless));
}

#[test]
fn launches_that_cannot_work_say_why() {
    let (request, host) = request();
    let load = |change: &dyn Fn(&mut LoadRequest)| {
        let mut changed = request.clone();
        change(&mut changed);
        KokoroPlugin.load(changed, host.clone()).err().map(|error| (error.kind, error.message))
    };
    let option = |name: &str, value: serde_json::Value| {
        let (name, value) = (name.to_owned(), value);
        load(&move |request| {
            request.options.insert(name.clone(), value.clone());
        })
    };
    let (kind, message) = option("onnxruntime", json!("/nowhere/libonnxruntime.so")).unwrap();
    assert_eq!(kind, ErrorKind::InvalidInput);
    assert!(message.contains("/nowhere/libonnxruntime.so"), "{message}");
    assert_eq!(option("device", json!("tpu")).unwrap().0, ErrorKind::InvalidInput);
    assert_eq!(option("lang_code", json!("xx")).unwrap().0, ErrorKind::InvalidInput);
    assert_eq!(option("default_voice", json!("nobody")).unwrap().0, ErrorKind::InvalidInput);
    assert_eq!(option("graph", json!("fp16")).unwrap().0, ErrorKind::InvalidInput);
    let (kind, message) = option("espeak_library", json!("/nowhere/libespeak-ng.so")).unwrap();
    assert_eq!(kind, ErrorKind::InvalidInput);
    assert!(message.contains("/nowhere/libespeak-ng.so"), "{message}");
    assert_eq!(option("device", json!("cuda:0")).unwrap().0, ErrorKind::NotSupported);
    let (kind, message) = load(&|request| request.model_dir = PathBuf::from("/nowhere")).unwrap();
    assert_eq!(kind, ErrorKind::Internal);
    assert!(message.contains("no network"), "{message}");
    assert_eq!(option("dtype", json!("int3")).unwrap().0, ErrorKind::InvalidInput);
}

#[test]
fn our_kernels_do_most_of_the_int8_graph() {
    // The runtime has to be loaded before operators are made.
    let _ = model();
    let (request, _) = request();
    let graph = find_network(&request.model_dir, Some("int8"), Device::Cpu).unwrap();
    let accelerated = accelerate(&std::fs::read(graph).unwrap());
    // Of 87 convolutions three have a stride; the norms are all but the three over channels.
    let found = accelerated.map(|accelerated| accelerated.replaced);
    let isa = Isa::best();
    let convolutions = if isa.multiplies_bytes() { 84 } else { 0 };
    assert_eq!(found, isa.has_vectors().then_some((convolutions, 68)));
    assert!(accelerate(b"no graph").is_none());
}
