use std::fs;
use std::path::PathBuf;

use super::*;

/// A directory for one test.
fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("syrinx-whisper-tokenizer-{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory for temporary files");
    dir
}

/// The written form of the bytes and of " t", then `<|endoftext|>`.
fn written_tokens() -> Vec<String> {
    let alphabet = alphabet::Alphabet::new();
    let characters = (0..0x144_u32).filter_map(char::from_u32);
    let mut tokens: Vec<String> = characters.map(String::from).filter(|c| alphabet.bytes(c).is_some()).collect();
    tokens.push("Ġt".to_owned());
    tokens.push("<|endoftext|>".to_owned());
    tokens
}

/// Size of a vocabulary with so many languages.
fn size(languages: usize) -> usize {
    257 + OTHER_SPECIALS + languages + TIMESTAMPS as usize
}

#[test]
fn special_tokens_that_no_file_names_have_their_place_by_arithmetic() {
    let dir = scratch("arithmetic");
    fs::write(dir.join("vocabulary.txt"), written_tokens().join("\n")).expect("writes");
    let tokenizer = Tokenizer::load(&dir, size(99), None).expect("loads");
    let specials = tokenizer.specials();
    assert_eq!((specials.eot, specials.sot, specials.languages), (257, 258, 99));
    assert_eq!(specials.timestamp_begin, 257 + 8 + 99);
    assert_eq!(tokenizer.len(), size(99));
    assert_eq!(tokenizer.language_token("en"), Some(259));
    assert_eq!(tokenizer.language_token("yue"), None);
    assert_eq!(tokenizer.decode_with_timestamps(&[259, specials.timestamp_begin + 54]), "<|en|><|1.08|>");
    let newer = Tokenizer::load(&dir, size(100), Some(false)).expect("loads");
    assert_eq!(newer.language_token("yue"), Some(259 + 99));
    assert!(tokenizer.is_multilingual() && !newer.is_multilingual());
    fs::remove_dir_all(dir).expect("removes");
}

#[test]
fn special_text_in_a_prompt_is_plain_text() {
    let dir = scratch("plain");
    fs::write(dir.join("vocabulary.txt"), written_tokens().join("\n")).expect("writes");
    let tokenizer = Tokenizer::load(&dir, size(99), None).expect("loads");
    let ids = tokenizer.encode("<|en|> \u{0} the");
    assert!(ids.iter().all(|id| *id < tokenizer.specials().eot));
    assert!(ids.contains(&256), "\" t\" is merged");
    assert_eq!(tokenizer.decode(&ids), "<|en|> \u{0} the");
    fs::remove_dir_all(dir).expect("removes");
}

#[test]
fn vocab_json_needs_its_added_tokens() {
    let dir = scratch("added");
    let ordinary = written_tokens();
    let vocab: serde_json::Map<_, _> =
        ordinary[..257].iter().enumerate().map(|(id, name)| (name.clone(), id.into())).collect();
    fs::write(dir.join("vocab.json"), serde_json::to_string(&vocab).expect("JSON")).expect("writes");
    assert!(matches!(Tokenizer::load(&dir, size(99), None), Err(TokenizerError::NoEndOfText { .. })));
    fs::write(dir.join("added_tokens.json"), r#"{"<|endoftext|>": 257, "<|startoftranscript|>": 258}"#)
        .expect("writes");
    assert_eq!(Tokenizer::load(&dir, size(99), None).expect("loads").specials().eot, 257);
    fs::remove_dir_all(dir).expect("removes");
}

#[test]
fn broken_vocabularies_are_refused_with_the_reason() {
    let dir = scratch("broken");
    let load = |model| Tokenizer::load(&dir, model, None).err().expect("an error").to_string();
    assert!(load(size(99)).contains("tokenizer.json"));
    fs::write(dir.join("tokenizer.json"), r#"{"model": {"vocab": {"a": 0, "<|endoftext|>": 4000000000}}}"#)
        .expect("writes");
    assert!(load(size(99)).contains("has no token number"));
    fs::write(dir.join("tokenizer.json"), "[1]").expect("writes");
    assert!(load(size(99)).contains("is not a vocabulary"));
    fs::remove_file(dir.join("tokenizer.json")).expect("removes");
    fs::write(dir.join("vocabulary.txt"), written_tokens().join("\n")).expect("writes");
    assert!(load(100).contains("don't belong together"));
    fs::remove_dir_all(dir).expect("removes");
}

#[test]
fn ranks_of_openai_are_a_vocabulary() {
    let dir = scratch("ranks");
    // Of two bytes each, the first token not at its place: `IQ==` is "!", `Ig==` is "\"".
    let path = dir.join("gpt2.tiktoken");
    for broken in ["IQ== 1", "IQ==", "I*== 0", "IQ== x"] {
        fs::write(&path, broken).expect("writes");
        assert!(matches!(Tokenizer::load(&dir, size(99), None), Err(TokenizerError::Line { line: 1, .. })), "{broken}");
    }
    fs::write(&path, "IQ== 0\nIg== 1\n").expect("writes");
    assert!(matches!(Tokenizer::load(&dir, size(99), None), Err(TokenizerError::MissingByte { .. })));
    // Multilingual models have another file.
    assert!(matches!(Tokenizer::load(&dir, 51_865, None), Err(TokenizerError::NoFiles { .. })));
    fs::remove_dir_all(dir).expect("removes");
}
