//! Parameters that say how a transcript begins, and in which language.

use serde_json::json;

use crate::door::{load, request};

#[test]
fn a_transcript_goes_on_from_its_prefix() {
    let model = load("whisper-tiny.en", json!({}));
    let twice = json!(["audio/jfk.flac", {"silence": 1}, "audio/jfk.flac"]);
    for beams in [1, 5] {
        let with = |clip: serde_json::Value, extra: serde_json::Value| {
            let mut parameters = json!({"language": "en", "beam_size": beams});
            parameters.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            request(clip, parameters).run(&*model, None).unwrap()
        };
        let prefix = json!({"prefix": "And so, my fellow"});
        let heard = with(json!(["audio/jfk.flac"]), prefix.clone());
        let texts: Vec<&str> = heard.segments.iter().map(|segment| segment.0.as_str()).collect();
        // The texts, times and words are those of faster-whisper 1.2.1.
        let wanted = [
            " And so, my fellow Americans ask not what your country can do for you",
            " ask what you can do for your country.",
        ];
        assert_eq!(texts, wanted, "{beams} beams");
        assert_eq!((heard.segments[0].2, heard.segments[0].3, heard.segments[1].3), (0.0, 8.0, 11.0));
        let clips = json!({"prefix": "Well now, my fellow", "clip_timestamps": [0, 11, 12, 23]});
        let heard = with(twice.clone(), clips);
        assert!(heard.text().starts_with(" Well now, my fellow Americans ask"), "{:?}", heard.text());
        assert_eq!(heard.text().matches("Well now").count(), 1, "only in the first window: {:?}", heard.text());
        let words = with(json!(["audio/jfk.flac"]), json!({"prefix": "And so, my fellow", "words": true}));
        assert_eq!(words.words[0].0, " And");
        let bare = with(json!(["audio/jfk.flac"]), json!({"prefix": "And so, my fellow", "without_timestamps": true}));
        assert_eq!(
            bare.text(),
            " And so, my fellow Americans ask not what your country can do for you, ask what you can do for your country."
        );
        // Nobody sampled what was given.
        let sure = with(json!(["audio/jfk.flac"]), json!({"prefix": "And so, my fellow", "logprobs": true}));
        assert!(sure.logprobs[..5].iter().all(|token| token.logprob == 0.0), "{:?}", sure.logprobs);
    }
}

#[test]
fn detection_chooses_from_the_languages_that_are_named() {
    let model = load("whisper-base", json!({}));
    let detect = |languages: serde_json::Value| {
        let parameters = json!({"languages": languages, "beam_size": 1, "max_new_tokens": 1, "temperatures": [0]});
        request(json!(["audio/zh_zero_shot_prompt.wav"]), parameters).run(&*model, None).unwrap().language
    };
    assert_eq!(detect(json!([])), "zh");
    assert_eq!(detect(json!(["en", "zh"])), "zh");
    assert_eq!(detect(json!(["Spanish"])), "es");
    assert!(["en", "es"].contains(&detect(json!(["es", "EN"])).as_str()));
    // A language that is named is not detected.
    let named =
        json!({"language": "de", "languages": ["zh"], "beam_size": 1, "max_new_tokens": 1, "temperatures": [0]});
    assert_eq!(request(json!(["audio/zh_zero_shot_prompt.wav"]), named).run(&*model, None).unwrap().language, "de");
}

#[test]
fn each_window_has_its_language_when_asked() {
    let model = load("whisper-base", json!({}));
    let clips = json!(["audio/zh_zero_shot_prompt.wav", {"silence": 1}, "audio/jfk.flac"]);
    let run = |multilingual: bool, extra: serde_json::Value| {
        let mut parameters = json!({
            "multilingual": multilingual, "beam_size": 5, "clip_timestamps": [0, 4, 4.3, 15.4],
            "condition_on_previous_text": false,
        });
        parameters.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        request(clips.clone(), parameters).run(&*model, None).unwrap()
    };
    let each = run(true, json!({}));
    assert_eq!(each.language, "zh", "the file's is that of its beginning");
    // The texts are those of faster-whisper 1.2.1: in the second window Chinese has no space at the beginning.
    let zh = "希望你以后能够做的比我还好用";
    let en =
        "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country.";
    assert_eq!(each.text(), format!("{zh} {en}"));
    let one = run(false, json!({}));
    assert_eq!(one.text(), format!("{zh}{en}"));
    // The choice is restricted for windows as it is for the file.
    let chosen = run(true, json!({"languages": ["zh"]}));
    assert_eq!(chosen.segments, one.segments);
    // A model that knows one language detects nothing.
    let english = load("whisper-tiny.en", json!({}));
    let parameters = json!({"multilingual": true, "beam_size": 1});
    let heard = request(json!(["audio/jfk.flac"]), parameters).run(&*english, None).unwrap();
    assert!(heard.language == "en" && heard.text().contains("ask not what your country"));
}
