//! Recordings in which nobody speaks, and hot words that are none.

use syrinx_tests::http;

use crate::door::{clips, list, running, server};
use crate::table::MODELS;

#[test]
fn nothing_said_is_an_empty_text() {
    let speech = clips()[2 * 16_000..].to_vec();
    for row in MODELS {
        let model = running(row);
        for (what, samples) in [
            ("5 s of silence", vec![0.0; 5 * 16_000]),
            ("a hum of 5 s", (0..5 * 16_000).map(|i| 1e-4 * (i as f32 * 0.02).sin()).collect()),
            ("50 ms of silence", vec![0.0; 800]),
            ("50 ms of noise", vec![0.01; 800]),
            ("50 ms of speech", speech[..800].to_vec()),
            ("20 ms of speech", speech[..320].to_vec()),
        ] {
            let about = format!("{}, {what}", row.model);
            let verbose = model.hear(samples.clone(), &[("response_format", "verbose_json")]);
            assert_eq!(verbose.status, 200, "{about}: {}", verbose.text());
            let verbose = verbose.json();
            assert_eq!(verbose["text"], "", "{about}");
            assert!(list(&verbose, "segments").is_empty(), "{about}: {verbose}");
            let srt = model.hear(samples, &[("response_format", "srt")]);
            assert_eq!((srt.status, srt.text().trim()), (200, ""), "{about}");
        }
        let stream = model.hear(vec![0.0; 16_000], &[("stream", "true")]);
        let stream = stream.text();
        assert!(stream.contains("transcript.text.done") && !stream.contains("transcript.text.delta"), "{stream}");
    }
}

#[test]
fn no_recording_is_refused() {
    for row in MODELS {
        for (what, file) in [("nothing", &b""[..]), ("no audio", b"not a sound at all")] {
            let response = running(row).form(&[]).file_of("file", file).run();
            let blamed = (response.status, response.blamed());
            assert_eq!(blamed, (400, Some("file".to_owned())), "{}, {what}: {}", row.model, response.text());
        }
    }
}

#[test]
fn malformed_hotwords_are_refused() {
    let long = "宇".repeat(101);
    let many = "宇 ".repeat(10_001);
    for row in MODELS.iter().filter(|row| row.hotwords.is_some()) {
        let model = running(row);
        let plain = model.text(&[]);
        for (what, hotword) in [("a control character", "达摩院\u{7}"), ("a long word", &long), ("too many", &many)]
        {
            let (field, message) = model.refused(&[("hotword", hotword)]);
            assert_eq!(field, "hotword", "{}, {what}: {message}", row.model);
            assert!(message.chars().count() < 300, "{}, {what}: {message}", row.model);
        }
        let request = http::post(&server().url("/v1/audio/transcriptions"));
        let wrong =
            request.json(&serde_json::json!({"model": row.model, "file": "UklGRg==", "hotword": {"word": "宇宙"}}));
        let wrong = wrong.run();
        assert_eq!(
            (wrong.status, wrong.blamed().as_deref()),
            (400, Some("hotword")),
            "{}: {}",
            row.model,
            wrong.text()
        );
        // White space of any kind and words that the model can't spell are no mistakes.
        for nothing in ["", "   ", "\u{3000}\t\n"] {
            assert_eq!(model.text(&[("hotword", nothing)]), plain, "{}, {nothing:?}", row.model);
        }
        for odd in ["\u{1f600}", "達摩院 Ωmega", "a b c d e f g h i j k l m n o p q r s t u v w x y z"] {
            model.text(&[("hotword", odd)]);
        }
    }
}
