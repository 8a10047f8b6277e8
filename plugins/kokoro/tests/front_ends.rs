//! The front ends of all languages on their real data, through the same door that requests take. The data come from the store, which fetches what
//! is missing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use syrinx_plugin_kokoro::chunk::phonemes_of;
use syrinx_plugin_kokoro::front_ends::FrontEnds;
use syrinx_plugin_kokoro::language::Language;
use syrinx_plugin_kokoro::vocab::Vocabulary;
use syrinx_registry::{Catalogue, FetchOptions, Silent, Store};

fn asset(name: &str) -> PathBuf {
    let store = Store::default_location().unwrap();
    let entry = Catalogue::builtin().asset(name).unwrap();
    store.fetch_asset(&entry, &FetchOptions::default(), &Silent).unwrap()
}

/// The front ends of v1.0. `None` for espeak-ng where there is no build of it for this machine.
fn front_ends() -> FrontEnds {
    let names = ["misaki", "spacy-en", "jieba", "pypinyin", "unidic-lite"];
    let assets: BTreeMap<String, PathBuf> = names.map(|name| (name.to_owned(), asset(name))).into_iter().collect();
    let espeak =
        cfg!(all(target_os = "linux", target_arch = "x86_64")).then(|| asset("espeak-ng").join("libespeak-ng.so.1"));
    FrontEnds::new(&assets, espeak, &Vocabulary::v1_0())
}

#[test]
fn every_language_is_spoken_in_symbols_of_the_model() {
    let front_ends = front_ends();
    let vocabulary = Vocabulary::v1_0();
    for (language, text, expected) in [
        (Language::AmericanEnglish, "Hello [there](/ðˈɛɹ/)!", "həlˈO ðˈɛɹ!"),
        (Language::BritishEnglish, "Hello!", "həlˈQ!"),
        (Language::Spanish, "Hola, [Ana](/ˈana/).", "ˈola, ˈana."),
        (Language::French, "Bonjour.", "bɔ̃ʒˈuʁ."),
        (Language::Hindi, "नमस्ते", "nəmˈʌsteː"),
        (Language::Italian, "Ciao!", "ʧˈao!"),
        (Language::Japanese, "今日は良い天気ですね。", "kʲoː βa joi teŋkʲi desɨ ne."),
        (Language::BrazilianPortuguese, "Olá!", "olˈa!"),
        (Language::Mandarin, "[你好](/ni↗xau↓/)，世界！", "ni↗xau↓, ʂɨ↘ʨje↘!"),
    ] {
        let phonemes = phonemes_of(&front_ends.tokens(language, text).unwrap());
        assert_eq!(phonemes, expected, "{language}");
        assert!(phonemes.chars().all(|symbol| vocabulary.knows(symbol)), "{phonemes}");
    }
    // English within Chinese.
    let mixed = phonemes_of(&front_ends.tokens(Language::Mandarin, "我用Python。").unwrap());
    assert_eq!(mixed, "wo↓jʊ↘ŋ pˈIθˌɑn.");
}

/// Texts that cost most: endless words in all shapes.
#[test]
fn no_text_keeps_a_front_end_busy() {
    let front_ends = front_ends();
    let texts = [
        "a".repeat(3000),
        "lala".repeat(750),
        "AbCd".repeat(750),
        "a'b-".repeat(750),
        "1a".repeat(1500),
        "9".repeat(3000),
        "-".repeat(3000),
        "....,,,,".repeat(375),
        "http://a.b/".repeat(300),
        "的".repeat(3000),
        "龘龖厵".repeat(1000),
        "𠮷々〇".repeat(1000),
        "ー".repeat(3000),
        "ア".repeat(3000),
        "😀".repeat(3000),
        "[a](".repeat(750),
    ];
    for language in Language::all() {
        // What is loaded now isn't counted.
        front_ends.prepare(language).unwrap();
        for text in &texts {
            let started = Instant::now();
            let tokens = front_ends.tokens(language, text);
            let elapsed = started.elapsed();
            let start: String = text.chars().take(8).collect();
            assert!(tokens.is_ok(), "{language} {start}: {:?}", tokens.err());
            // At most some tenths of a second on an idle machine.
            assert!(elapsed < Duration::from_secs(10), "{language} {start}: {elapsed:?}");
        }
    }
}
