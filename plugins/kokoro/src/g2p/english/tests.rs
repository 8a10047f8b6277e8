//! The whole front end on made-up data: a small lexicon, a few tokenizer rules, a tagger that calls everything the same.

use std::collections::HashMap;

use proptest::prelude::*;

use super::fallback::LetterRules;
use super::package::{ExceptionToken, TokenizerFile};
use super::tagger::{FEATURES, HashEmbedding, Linear, MaxoutLayer, TaggerWeights};
use super::*;

const GOLD: &str = r#"{"'s": "z", "A": "ˈA", "B": "bˈi", "I": "ˈI", "Paris": "pˈɛɹəs", "am": "ˈæm", "and": "ænd", "apple": "ˈæpᵊl",
 "dollar": "dˈɑləɹ", "eight": "ˈAt", "fifty": "fˈɪfti", "five": "fˈIv", "nineteen": "nˌIntˈin", "oh": "ˈO", "one": "wˈʌn", "point": "pYnt",
 "read": {"DEFAULT": "ɹˈid", "VBD": "ɹˈɛd"}, "stop": "stˈɑp", "the": "ðə", "three": "θɹˈi", "to": "tˈu",
 "two": "tˈu", "used": {"DEFAULT": "jˈuzd", "VBD": "jˈust"}, "wait": "wˈAt"}"#;

/// A front end whose tagger says `tag` of every word.
fn front_end(tag: &str, fallback: Option<Box<dyn Fallback>>) -> EnglishG2p {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("syrinx-g2p-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("us_gold.json"), GOLD).unwrap();
    std::fs::write(dir.join("us_silver.json"), "{}").unwrap();
    let lexicon = Lexicon::load(&dir, Variant::American).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let token = |text: &str, norm: Option<&str>| ExceptionToken { text: text.into(), norm: norm.map(Into::into) };
    let tokenizer = Tokenizer::new(TokenizerFile {
        prefix: r#"^\(|^\$|^"|^\[|^:"#.into(),
        suffix: r#"\)$|,$|\.\.+$|!$|"$|'s$|(?<=[a-z0-9])\.$|\]$|:$"#.into(),
        infix: r"\.\.+|(?<=[a-z])-(?=[a-z])".into(),
        url: r"^(?:[a-z]+\.)+(?:[a-z]{2,3})(?:/\S*)?$".into(),
        exceptions: vec![
            ("don't".into(), vec![token("do", None), token("n't", Some("not"))]),
            (":)".into(), vec![token(":)", None)]),
            ("a.m.".into(), vec![token("a.m.", None)]),
        ],
    })
    .unwrap();
    let width = 2;
    let maxout = |inputs| {
        MaxoutLayer::new(
            &vec![0.1; width * inputs],
            vec![0.0; width],
            vec![1.0; width],
            vec![0.0; width],
            width,
            1,
            inputs,
        )
    };
    let embeddings = (0..FEATURES).map(|_| HashEmbedding::new(vec![0.5; 3 * width], 3, width).unwrap()).collect();
    let output = Linear::new(&[0.0; 4], vec![1.0, 0.0], 2, width).unwrap();
    let labels = vec![tag.to_owned(), "X".to_owned()];
    let encoder = vec![maxout(3 * width).unwrap()];
    EnglishG2p {
        tokenizer,
        vocabulary: Vocabulary::new(HashMap::new()).unwrap(),
        tagger: Tagger::new(
            TaggerWeights::new(embeddings, maxout(FEATURES * width).unwrap(), encoder, output, labels).unwrap(),
        ),
        lexicon,
        fallback,
        unknown: "❓".to_owned(),
    }
}

fn tokens(text: &str) -> Vec<String> {
    front_end("NN", None)
        .tag(text)
        .tokens
        .into_iter()
        .map(|t| format!("{}{}", t.text, if t.space_after { "_" } else { "" }))
        .collect()
}

#[test]
fn tokenizes() {
    assert_eq!(tokens("(Paris's apple), don't..."), ["(", "Paris", "'s_", "apple", ")", ",_", "do", "n't", "..."]);
    assert_eq!(tokens("well-read a.m. foo.bar.com/x-y"), ["well", "-", "read_", "a.m._", "foo.bar.com/x-y"]);
    assert_eq!(tokens("  a  b\n"), ["  ", "a_", " ", "b", "\n"]);
    assert_eq!(tokens("stop:) wait: )"), ["stop", ":)_", "wait", ":_", ")"]);
    assert_eq!(tokens(""), [""; 0]);
}

#[test]
fn pronounces_words_by_tag_and_context() {
    let say = |tag: &str, text: &str| front_end(tag, None).convert(text).phonemes;
    assert_eq!(say("VBD", "read"), "ɹˈɛd");
    assert_eq!(say("VB", "read"), "ɹˈid");
    assert_eq!(say("DT", "the apple"), "ði ˈæpᵊl");
    assert_eq!(say("DT", "the stop"), "ðə stˈɑp");
    assert_eq!(say("VBD", "used to stop"), "jˈust tə stˈɑp");
    assert_eq!(say("NN", "waits waited stopping paris"), "wˈAts wˈATᵻd stˈɑpɪŋ pˈɛɹəs");
    assert_eq!(say("NN", "foo apple"), "❓ ˈæpᵊl");
    assert_eq!(say("NNP", "AB"), "ˌAbˈi");
}

#[test]
fn pronounces_numbers() {
    let say = |text: &str| front_end("CD", None).convert(text).phonemes;
    assert_eq!(say("58"), "fˈɪfti ˈAt");
    assert_eq!(say("1958"), "nˌIntˈin fˈɪfti ˈAt");
    assert_eq!(say("3.15"), "θɹˈi pYnt wˈʌn fˈIv");
    assert_eq!(say("-1"), "❓ wˈʌn".replace("❓ ", ""));
}

#[test]
fn obeys_markup() {
    let converted = front_end("NN", None).convert("[foo](/fˈu/) [apple](-2) bar");
    assert_eq!(converted.phonemes, "fˈu æpᵊl ❓");
    assert_eq!(converted.tokens.len(), 3);
}

#[test]
fn falls_back_by_spelling() {
    let say = |text: &str| front_end("NN", Some(Box::new(LetterRules))).convert(text).phonemes;
    assert_eq!(say("zorblax apple"), "zˈɔɹblæks ˈæpᵊl");
    assert_eq!(say("apple=zorb"), "ˈæpᵊl ˈikwᵊlz zˈɔɹb");
}

#[test]
fn long_input_takes_linear_time() {
    let front_end = front_end("NN", Some(Box::new(LetterRules)));
    for unit in ["(", "a-", "[", "[a](", "é", ".", "a'", "1,", "😀", "Aa", ") "] {
        let text = unit.repeat(10_000);
        let started = std::time::Instant::now();
        let converted = front_end.convert(&text);
        assert!(!converted.tokens.is_empty());
        // Well under a second on an idle machine; quadratic time would be minutes.
        assert!(started.elapsed().as_secs() < 30, "{unit}: {:?}", started.elapsed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Nothing panics, and the tokens spell the text.
    #[test]
    fn any_text_converts(text in "(\\PC|[ \t\n'’\\-\\[\\]()/.,$0-9a-zA-Zé٣½日]){0,60}") {
        let front_end = front_end("NNP", Some(Box::new(LetterRules)));
        let converted = front_end.convert(&text);
        let spelled: String = front_end.tag(&markup::parse(&text).text).tokens.iter().map(|t| t.text.clone() + if t.space_after { " " } else { "" }).collect();
        prop_assert_eq!(spelled, markup::parse(&text).text);
        prop_assert!(converted.phonemes.len() < 100 + 200 * text.len());
    }
}
