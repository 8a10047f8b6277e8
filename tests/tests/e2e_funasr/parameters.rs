//! What requests may ask for, where it makes a difference that can be seen.

use serde_json::json;

use crate::door::{files, launched, list, running};
use crate::table::{HOTWORDS, MODELS, row};

/// A batch is padded to its longest stretch, which nobody hears.
#[test]
fn batches_change_nothing() {
    for row in MODELS {
        // Without punctuation stretches don't wait for each other's marks, and are recognised in one batch but for the first.
        let path = files(row.hotwords.unwrap_or(row.files));
        let options = json!({"model_path": path, "punc_model": "none", "spk_model": "none"});
        let model = launched(row, "batches", options);
        let of =
            |seconds: &str| model.verbose(&[("hotword", HOTWORDS), ("batch_size_s", seconds), ("merge_vad", "false")]);
        let alone = of("0");
        assert!(list(&alone, "segments").len() > 2, "{}: {alone}", row.model);
        for seconds in ["10", "300"] {
            assert_eq!(of(seconds), alone, "{}, {seconds} s", row.model);
        }
        for wrong in ["-1", "many"] {
            let (field, message) = model.refused(&[("batch_size_s", wrong)]);
            assert_eq!(field, "batch_size_s", "{}: {message}", row.model);
        }
    }
}

#[test]
fn stretches_are_joined_when_asked_for() {
    let starts = |model: &str, fields: &[(&str, &str)]| -> Vec<f64> {
        let document = running(row(model)).verbose(fields);
        list(&document, "segments").iter().map(|segment| segment["start"].as_f64().expect("seconds")).collect()
    };
    let apart = starts("paraformer-zh", &[]);
    let joined = starts("paraformer-zh", &[("merge_vad", "true")]);
    let longer = starts("paraformer-zh", &[("merge_vad", "true"), ("merge_length_s", "25")]);
    assert!(apart.len() > joined.len() && joined.len() > longer.len(), "{apart:?} {joined:?} {longer:?}");
    assert_eq!(starts("paraformer-zh", &[("merge_length_s", "25")]), apart, "a length alone joins nothing");
    // The catalogue joins those of SenseVoice, up to 15 s.
    assert_eq!(starts("SenseVoiceSmall", &[]), joined);
    assert_eq!(starts("SenseVoiceSmall", &[("merge_length_s", "25")]), longer);
    assert_eq!(starts("SenseVoiceSmall", &[("merge_vad", "false")]), apart);
    for row in MODELS {
        for (field, wrong) in [("merge_length_s", "0"), ("merge_vad", "perhaps")] {
            let (blamed, message) = running(row).refused(&[(field, wrong)]);
            assert_eq!(blamed, field, "{}: {message}", row.model);
        }
    }
}

#[test]
fn silence_ends_stretches_as_asked_for() {
    for row in MODELS {
        let model = running(row);
        let impatient = [("max_end_silence_time", "200")];
        assert_ne!(model.verbose(&impatient)["segments"], model.verbose(&[])["segments"], "{}", row.model);
        let (field, message) = model.refused(&[("max_end_silence_time", "10")]);
        assert_eq!(field, "max_end_silence_time", "{}: {message}", row.model);
    }
    let model = row("paraformer-zh");
    let short = launched(model, "short", json!({"vad_kwargs": {"max_single_segment_time": 2000}}));
    let lengths = |document: &serde_json::Value| -> Vec<f64> {
        let ends = |segment: &serde_json::Value| Some(segment["end"].as_f64()? - segment["start"].as_f64()?);
        list(document, "segments").iter().filter_map(ends).collect()
    };
    assert!(lengths(&running(model).verbose(&[])).iter().any(|seconds| *seconds > 4.0));
    assert!(lengths(&short.verbose(&[])).iter().all(|seconds| *seconds < 2.5));
}

#[test]
fn languages_are_those_of_the_model() {
    let sensevoice = running(row("SenseVoiceSmall"));
    let text = |language: &str| sensevoice.text(&[("language", language)]);
    assert_eq!(text("auto"), sensevoice.text(&[]));
    assert_ne!(text("zh"), text("en"), "the network is told");
    assert_eq!(text("chinese"), text("zh"));
    for row in MODELS {
        let known: &[&str] =
            if row.model == "SenseVoiceSmall" { &["zh", "en", "yue", "ja", "ko"] } else { &["zh", "en"] };
        for language in known {
            running(row).text(&[("language", language)]);
        }
        let (field, message) = running(row).refused(&[("language", "fr")]);
        assert_eq!(field, "language", "{}: {message}", row.model);
        assert!(message.contains(&known.join(", ")), "{}: {message}", row.model);
    }
}

#[test]
fn numbers_and_marks_are_written_when_asked_for() {
    let sensevoice = running(row("SenseVoiceSmall"));
    let (written, spoken) = (sensevoice.text(&[]), sensevoice.text(&[("use_itn", "false")]));
    assert_eq!(sensevoice.text(&[("use_itn", "true")]), written, "the catalogue asks for it");
    assert!(written.matches('。').count() > spoken.matches('。').count(), "{written}\n{spoken}");
    for row in MODELS.iter().filter(|row| row.model != "SenseVoiceSmall") {
        let model = running(row);
        assert!(!model.has_parameter("use_itn"), "{}", row.model);
        assert_eq!(model.text(&[("use_itn", "false")]), model.text(&[]), "{}: it is for others", row.model);
    }
}

#[test]
fn nobody_samples() {
    for row in MODELS {
        let (field, message) = running(row).refused(&[("temperature", "0.5")]);
        assert_eq!(field, "temperature", "{}: {message}", row.model);
        assert_eq!(running(row).text(&[("temperature", "0")]), running(row).text(&[]), "{}", row.model);
    }
}
