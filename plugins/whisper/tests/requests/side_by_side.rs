//! Requests that run at the same time share their turns at the network; each gets what it gets alone.

use std::thread;

use serde_json::{Value, json};
use syrinx_plugin_api::Model;

use crate::door::{Heard, Request, load, request};

fn assert_same(alone: &Heard, together: &Heard, what: &Value) {
    assert_eq!(alone.segments, together.segments, "{what}");
    assert_eq!(alone.words, together.words, "{what}");
    assert_eq!(alone.logprobs.len(), together.logprobs.len(), "{what}");
    // A sum of products depends on how many rows are multiplied at a time, by a rounding.
    let close = |a: &f32, b: &f32| (a - b).abs() < 2e-3;
    assert!(alone.avg_logprobs.iter().zip(&together.avg_logprobs).all(|(a, b)| close(a, b)), "{what}");
    assert!(alone.logprobs.iter().zip(&together.logprobs).all(|(a, b)| close(&a.logprob, &b.logprob)), "{what}");
}

fn check(model: &dyn Model, requests: &[Request]) -> Vec<Heard> {
    let alone: Vec<Heard> = requests.iter().map(|request| request.run(model, None).expect("a transcript")).collect();
    let together: Vec<Heard> = thread::scope(|scope| {
        let jobs: Vec<_> = requests.iter().map(|request| scope.spawn(|| request.run(model, None))).collect();
        jobs.into_iter().map(|job| job.join().expect("no panic").expect("a transcript")).collect()
    });
    for ((request, alone), together) in requests.iter().zip(&alone).zip(&together) {
        assert_same(alone, together, &request.parameters);
    }
    alone
}

/// Clips and ways to transcribe them that have little in common.
fn varied() -> Vec<Request> {
    let pause = json!(["audio/jfk.flac", {"silence": 3}, "audio/en_quick_brown_fox.wav", {"silence": 3}, "audio/en_counting.wav"]);
    vec![
        request(json!(["audio/jfk.flac"]), json!({"language": "en"})),
        request(json!(["audio/jfk.flac"]), json!({"language": "en", "beam_size": 1, "words": true})),
        request(json!(["audio/en_quick_brown_fox.wav"]), json!({"temperature": 0.7, "seed": 3, "logprobs": true})),
        request(pause.clone(), json!({"language": "en", "batched": true, "beam_size": 1})),
        request(pause, json!({"vad_filter": true, "beam_size": 2, "words": true})),
        request(json!([{"noise": 2, "seed": 7, "amp": 0.2}]), json!({"beam_size": 1})),
    ]
}

#[test]
fn each_request_gets_what_it_gets_alone() {
    let model = load("whisper-tiny.en", json!({}));
    let heard = check(&*model, &varied());
    assert!(heard[0].segments[0].0.contains("my fellow Americans"));
    check(&*load("whisper-tiny.en", json!({"compute_type": "int8"})), &varied());
}

#[test]
fn languages_are_told_apart_side_by_side() {
    let model = load("whisper-base", json!({}));
    let heard = check(
        &*model,
        &[
            request(json!(["audio/zh_zero_shot_prompt.wav"]), json!({"beam_size": 1})),
            request(json!(["audio/jfk.flac"]), json!({"beam_size": 1})),
        ],
    );
    assert!(heard[0].segments[0].0.contains("能够做的"), "{heard:?}");
    assert!(heard[1].segments[0].0.contains("country"), "{heard:?}");
}

#[test]
fn who_stops_costs_nobody_anything() {
    let model = load("whisper-tiny.en", json!({}));
    let long = request(json!(["audio/jfk.flac", {"silence": 1}, "audio/jfk.flac"]), json!({"beam_size": 1}));
    let alone = long.run(&*model, None).expect("a transcript");
    let asked = alone.asked.get();
    assert!(asked > 30, "the flow is asked at every step");
    thread::scope(|scope| {
        let (model, long) = (&*model, &long);
        let stopped: Vec<_> =
            [0, 5, 17].map(|patience| (patience, scope.spawn(move || long.run(model, Some(patience))))).into();
        let together = long.run(model, None).expect("a transcript");
        assert_same(&alone, &together, &json!("beside jobs that stop"));
        for (patience, job) in stopped {
            let heard = job.join().expect("no panic").expect("a job that is stopped is no failure");
            assert!(heard.segments.len() < alone.segments.len());
            assert!(heard.asked.get() <= patience + 2, "asked {} times after it had stopped", heard.asked.get());
        }
    });
}
