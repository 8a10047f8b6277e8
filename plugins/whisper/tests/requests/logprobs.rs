//! Log probabilities of tokens.

use serde_json::{Value, json};

use crate::door::{Heard, load, request};

/// Every segment's tokens came before it, and make its text.
fn assert_complete(heard: &Heard, what: &Value) {
    assert!(!heard.segments.is_empty(), "{what}");
    let mut from = 0;
    for (segment, to) in heard.segments.iter().zip(&heard.logprobs_before) {
        let tokens = &heard.logprobs[from..*to];
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.bytes.clone()).collect();
        assert_eq!(String::from_utf8_lossy(&bytes), segment.0, "{what}");
        assert!(tokens.iter().all(|token| token.logprob <= 0.0 && token.logprob.is_finite()), "{what} {tokens:?}");
        from = *to;
    }
    assert_eq!(from, heard.logprobs.len(), "nothing comes after the last segment: {what}");
}

#[test]
fn tokens_come_with_their_segments_however_they_were_found() {
    let model = load("whisper-tiny.en", json!({}));
    let pause = json!([{"silence": 2}, "audio/jfk.flac", {"silence": 4}, "audio/en_quick_brown_fox.wav"]);
    for parameters in [
        json!({"beam_size": 1}),
        json!({"beam_size": 3, "words": true}),
        json!({"temperature": 0.4, "best_of": 2}),
        // Nothing is plausible: the last temperature's tokens count.
        json!({"temperatures": [0, 0.2], "beam_size": 1, "logprob_threshold": 0, "no_speech_threshold": null}),
        json!({"beam_size": 1, "vad_filter": true}),
        json!({"beam_size": 1, "batched": true, "batch_size": 2}),
    ] {
        let mut asked = parameters.clone();
        asked["logprobs"] = json!(true);
        let heard = request(pause.clone(), asked).run(&*model, None).unwrap();
        assert_complete(&heard, &parameters);
        let not_asked = request(pause.clone(), parameters.clone()).run(&*model, None).unwrap();
        assert!(not_asked.logprobs.is_empty(), "{parameters}");
        assert_eq!(heard.segments, not_asked.segments, "{parameters}");
    }
}

#[test]
fn they_add_up_to_the_mean_of_the_window() {
    let model = load("whisper-tiny.en", json!({}));
    for beams in [1, 5] {
        let parameters = json!({"beam_size": beams, "without_timestamps": true, "temperatures": [0], "logprobs": true});
        let heard = request(json!(["audio/en_quick_brown_fox.wav"]), parameters).run(&*model, None).unwrap();
        // The mean counts the end of text, which is no text.
        let sum: f32 = heard.logprobs.iter().map(|token| token.logprob).sum();
        let with_end = heard.avg_logprobs[0] * (heard.logprobs.len() + 1) as f32;
        assert!(with_end <= sum + 1e-3 && with_end > sum - 1.0, "{sum} and the end: {with_end}");
    }
}

#[test]
fn a_character_in_pieces_is_bytes() {
    let model = load("whisper-base", json!({}));
    let parameters = json!({"language": "zh", "beam_size": 1, "temperatures": [0], "logprobs": true});
    let heard = request(json!(["audio/zh_zero_shot_prompt.wav"]), parameters.clone()).run(&*model, None).unwrap();
    assert_complete(&heard, &parameters);
    let text: String = heard.logprobs.iter().map(|token| token.token.as_str()).collect();
    assert!(text.contains('\u{FFFD}'), "some token of {text:?} is a part of a character");
}
