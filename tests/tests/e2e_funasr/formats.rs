//! A transcript in every format, whole and streamed.

use serde_json::{Value, json};
use syrinx_tests::{http, sound::Sound};

use crate::door::{Running, SAMPLE_RATE, clips, expected, launched, list, running, speakers};
use crate::table::{MODELS, row};

/// Hours, minutes, seconds and milliseconds of a cue.
fn cue_time(seconds: &Value, mark: char) -> String {
    let ms = (seconds.as_f64().expect("seconds") * 1000.0).round() as u64;
    format!("{:02}:{:02}:{:02}{mark}{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

/// The cues that the segments of a document are.
fn cues(document: &Value, mark: char) -> Vec<String> {
    let said = |segment: &&Value| !segment["text"].as_str().expect("a text").trim().is_empty();
    let cue = |segment: &Value| {
        let (start, end) = (cue_time(&segment["start"], mark), cue_time(&segment["end"], mark));
        format!("{start} --> {end}\n{}", segment["text"].as_str().expect("a text").trim())
    };
    list(document, "segments").iter().filter(said).map(cue).collect()
}

/// The documents of a stream of events that have this type.
fn events(stream: &str, kind: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let documents = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    documents.filter(|document| document["type"] == kind).collect()
}

#[test]
fn every_format_says_the_same() {
    for row in MODELS {
        let model = running(row);
        let whole = model.verbose(&[]);
        let text = whole["text"].as_str().expect("a text");
        assert_eq!(whole["task"], "transcribe", "{}", row.model);
        assert_eq!(whole["language"], "chinese", "{}", row.model);
        assert!((whole["duration"].as_f64().expect("seconds") - 29.657).abs() < 1e-3, "{}: {whole}", row.model);
        assert!(!text.is_empty() && !text.contains("<|"), "{}: tags are no text: {text}", row.model);
        let segments: String = list(&whole, "segments").iter().filter_map(|segment| segment["text"].as_str()).collect();
        assert_eq!(segments.trim(), text, "{}", row.model);
        assert_eq!(model.text(&[]), text, "{}", row.model);
        let of = |format: &str| {
            let response = model.answer(&[("response_format", format)]);
            assert_eq!(response.status, 200, "{}, {format}: {}", row.model, response.text());
            response.text()
        };
        assert_eq!(of("text"), format!("{text}\n"), "{}", row.model);
        let srt =
            cues(&whole, ',').iter().enumerate().map(|(i, cue)| format!("{}\n{cue}\n\n", i + 1)).collect::<String>();
        assert_eq!(of("srt").trim_end(), srt.trim_end(), "{}", row.model);
        let vtt = format!("WEBVTT\n\n{}", cues(&whole, '.').join("\n\n"));
        assert_eq!(of("vtt").trim_end(), vtt, "{}", row.model);

        // A delta for each segment, as soon as it is known.
        let stream = model.answer(&[("stream", "true")]).text();
        let deltas = events(&stream, "transcript.text.delta");
        assert_eq!(deltas.len(), cues(&whole, ',').len(), "{}: {stream}", row.model);
        let joined: String = deltas.iter().filter_map(|delta| delta["delta"].as_str()).collect();
        assert_eq!(joined, text, "{}", row.model);
        assert_eq!(events(&stream, "transcript.text.done")[0]["text"], text, "{}", row.model);
    }
    for segment in list(&running(row("SenseVoiceSmall")).verbose(&[]), "segments") {
        assert!(segment["emotion"].is_string() && segment["event"].is_string(), "{segment}");
        assert_eq!(segment["language"], "zh", "{segment}");
    }
}

#[test]
fn speakers_are_in_every_format_that_has_them() {
    let spk = running(row("paraformer-zh-spk"));
    let (whole, diarized) = (spk.verbose(&[]), spk.document("diarized_json", &[]));
    assert_eq!(diarized["text"], whole["text"]);
    assert!(speakers(&whole).len() > 1 && speakers(&whole).contains(&"B"), "{whole}");
    assert_eq!(speakers(&diarized), speakers(&whole));
    let stream = spk.answer(&[("response_format", "diarized_json"), ("stream", "true")]).text();
    assert_eq!(events(&stream, "transcript.text.segment"), list(&diarized, "segments"), "{stream}");
}

#[test]
fn the_real_detector_finds_the_reference_s_stretches() {
    let model = running(row("paraformer-zh"));
    let whole = model.verbose(&[]);
    let milliseconds = |segment: &Value, end: &str| (segment[end].as_f64().expect("seconds") * 1000.0).round() as i64;
    let found = list(&whole, "segments").iter();
    let found: Vec<Value> =
        found.map(|segment| json!([milliseconds(segment, "start"), milliseconds(segment, "end")])).collect();
    assert_eq!(json!(found), expected("vad_gen_fsmn-vad_long_mix_fixed800").expect("a case")["segments"]);

    // An hour of silence with somebody speaking at its end.
    let mut hour = vec![0.0; 3600 * SAMPLE_RATE as usize];
    hour.extend(clips());
    let late = model.hear(hour, &[("response_format", "verbose_json")]);
    assert_eq!(late.status, 200, "{}", late.text());
    assert!(late.json()["segments"][0]["start"].as_f64().expect("seconds") > 3600.0);
}

#[test]
fn known_speakers_have_their_names() {
    let clips = clips();
    let voice = |ms: std::ops::Range<usize>| {
        let samples = clips[ms.start * 16..ms.end * 16].to_vec();
        Sound { sample_rate: SAMPLE_RATE, samples }.to_wav()
    };
    let ask = |model: &Running<'_>, format: &str| -> http::Response {
        let fields = [("response_format", format), ("known_speaker_names[]", "Ada")];
        let request = model.form(&fields).file_of("known_speaker_references[]", &voice(1170..5990));
        request.file_of("file", &Sound { sample_rate: SAMPLE_RATE, samples: clips.clone() }.to_wav()).run()
    };
    let spk = running(row("paraformer-zh-spk"));
    let long = launched(row("paraformer-zh-long"), "known", json!({"spk_model": "cam++"}));
    for model in [&spk, &long] {
        for format in ["diarized_json", "verbose_json"] {
            let response = ask(model, format);
            assert_eq!(response.status, 200, "{}: {}", model.uid, response.text());
            assert_eq!(
                response.json()["segments"][0]["speaker"],
                "Ada",
                "{}, {format}: {}",
                model.uid,
                response.text()
            );
        }
    }
}
