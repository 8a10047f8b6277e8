//! Short runs of the fuzz targets, and every input that ever broke a promise.

use super::*;
use proptest::prelude::*;
use std::{fs, path::Path};

/// What a target does with an input.
type Target = fn(&[u8]);

/// The targets by their names in `tests/fuzz`.
const TARGETS: [(&str, Target); 9] = [
    ("lenient_json", lenient_json),
    ("base64", base64),
    ("multipart", multipart),
    ("kwargs", kwargs),
    ("launch_request", launch_request),
    ("names", names),
    ("decode", decode),
    ("streamed", streamed),
    ("wav", wav),
];

/// Runs every file of `folder/<target>` through its target; how many there were.
fn replay(folder: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz").join(folder);
    let mut files = 0;
    for (name, target) in TARGETS {
        for file in fs::read_dir(folder.join(name)).into_iter().flatten() {
            let path = file.unwrap().path();
            eprintln!("{}", path.display());
            target(&fs::read(path).unwrap());
            files += 1;
        }
    }
    files
}

#[test]
fn inputs_that_broke_a_promise_once_do_not_again() {
    replay("found");
}

#[test]
fn seeds_keep_every_promise() {
    assert!(replay("seeds") >= 20, "the seeds are there");
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audio")).unwrap() {
        let data = fs::read(file.unwrap().path()).unwrap();
        decode(&data);
        streamed(&data);
    }
}

/// Bytes that look a little like what the parsers read.
fn pieces(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        6 => prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
        1 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\"a\"",
    "\"model\"",
    "\\",
    "\\\"",
    "\\u00e9",
    "\\ud800",
    "#",
    "# x\n",
    "\n",
    "\r",
    " ",
    "1",
    "-0.5e3",
    "1e999",
    "NaN",
    "True",
    "False",
    "None",
    "true",
    "null",
    "[1,]",
    "{\"a\":1,}",
    "\u{feff}",
    "\"kwargs\"",
    "\"{\\\"seed\\\": 1}\"",
    "audio",
    "\"model_type\":\"audio\"",
    "\"model_name\":\"x\"",
    "\"replica\"",
    "\"speed\"",
    "\"voice\"",
    "/",
    "//",
    "/*",
];
const FORM: &[&str] = &[
    "\0\0",
    "--x",
    "--x--",
    "\r\n",
    "\r",
    "\n",
    "-",
    "x",
    "Content-Disposition: form-data; name=\"a\"\r\n\r\n",
    "Content-Disposition: form-data; name=\"a[b]\"",
    "content-type: text/plain",
    "; filename=\"f\"",
    "; filename*=UTF-8''x",
    ":",
    "\r\n--x\r\n",
    "\r\n--",
    "\r\n--x--\r\n",
];
const BASE64: &[&str] = &[
    "UklG",
    "Rg==",
    "Rg",
    "=",
    "==",
    "A",
    "/",
    "+",
    "-",
    "_",
    " ",
    "\n",
    "\t",
    "data:",
    "audio/wav;base64,",
    ",",
    ";base64",
    "://",
    "\u{a0}",
];
const NAMES: &[&str] = &[
    "af_bella", "af_sky", "alloy", "+", ",", "(", ")", "2", "0.5", "-1", "inf", " ", ".", "..", "/", "-rep", "0", "\n",
    "\0", "%2f", "模", "{\"id\":", "\"x\"", "}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn json_of_any_kind(text in pieces(JSON)) {
        lenient_json(&text);
        kwargs(&text);
        launch_request(&text);
        // Members without their braces are the rarest of all: give them some.
        let object = [b"{", &text[..], b"}"].concat();
        lenient_json(&object);
        kwargs(&object);
        launch_request(&object);
    }

    #[test]
    fn forms_of_any_kind(body in pieces(FORM), proper in prop::collection::vec(any::<u8>(), 0..600)) {
        multipart(&body);
        let framed = [b"\x03\x01\x05\x02\x00--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n", &body[..]].concat();
        multipart(&framed);
        multipart(&[b"\x02\x01\x07\x01", &proper[..]].concat());
    }

    #[test]
    fn texts_of_any_kind(encoded in pieces(BASE64), name in pieces(NAMES)) {
        base64(&encoded);
        names(&name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn wav_headers_of_any_kind(data in prop::collection::vec(any::<u8>(), 0..400)) {
        wav(&data);
    }
}
