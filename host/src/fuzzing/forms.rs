//! Forms, files as text, and `kwargs`.

use super::Dice;
use crate::http::fuzzed::{ApiError, Fields, Item, Upload, base64_text, multipart as form};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use serde_json::Value;

/// Reads a form that arrives in pieces of these sizes, over and over; a size of 0 is an empty piece.
fn read(body: &[u8], boundary: &str, sizes: &[u8]) -> Result<Fields, ApiError> {
    let mut pieces = Vec::new();
    let mut rest = body;
    // Empty pieces alone would never end.
    let mut sizes = sizes.iter().map(|&size| usize::from(size)).chain([1 << 20]).cycle();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
        pieces.push(Ok(Bytes::copy_from_slice(piece)));
        rest = after;
    }
    form::read(&format!("multipart/form-data; boundary={boundary}"), stream::iter(pieces))
        .now_or_never()
        .expect("everything is there, so nothing is waited for")
}

/// What of an answer must not depend on how the bytes were cut: the fields, or that there are none.
fn outcome(result: Result<Fields, ApiError>) -> Option<String> {
    result.ok().map(|fields| format!("{fields:?}"))
}

/// A form means the same however it is cut into pieces. What was written into one comes out of it, whatever the boundary.
pub fn multipart(data: &[u8]) {
    let mut dice = Dice(data);
    let count = usize::from(dice.byte() % 6);
    let sizes = dice.take(count);
    // Half of the inputs are the form itself, the others are what a proper form is made of.
    if dice.byte() % 2 == 0 {
        let whole = outcome(read(dice.0, "x", &[]));
        let cut = outcome(read(dice.0, "x", sizes));
        assert_eq!(whole, cut, "cut into {sizes:?}");
        return;
    }
    let length = usize::from(dice.byte() % 70);
    let boundary: String =
        dice.take(length).iter().map(|byte| char::from(b"abcXYZ019'()+_,-./:=? "[usize::from(byte % 22)])).collect();
    // RFC 2046, 5.1.1: 1 to 70 characters, the last of them no space. Quoted, since it may hold any of the above.
    let boundary = format!("{}b", boundary);
    let mut body = Vec::new();
    let mut expected = Fields::default();
    while !dice.is_empty() {
        let kind = dice.byte();
        let name = format!("n{}", kind % 4);
        let length = usize::from(dice.u16() % 600);
        let content = dice.take(length);
        if content.windows(boundary.len() + 4).any(|window| window.ends_with(boundary.as_bytes())) {
            continue;
        }
        let file = if kind & 0x80 == 0 { "" } else { "; filename=\"f\"\r\nContent-Type: application/octet-stream" };
        body.extend(format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").bytes());
        body.extend(content);
        body.extend(b"\r\n");
        let upload = Item::File(Upload::new(Bytes::copy_from_slice(content)));
        let item = match std::str::from_utf8(content) {
            Ok(text) if file.is_empty() => Item::Text(text.to_owned()),
            _ => upload,
        };
        expected.add(&name, item).expect("plain names go together");
    }
    body.extend(format!("--{boundary}--\r\n").bytes());
    let fields = read(&body, &format!("\"{boundary}\""), sizes);
    assert_eq!(outcome(fields), Some(format!("{expected:?}")), "boundary {boundary:?}, cut into {sizes:?}");
}

/// A text is decoded as RFC 4648 says, white space aside, or refused; bytes come back from any spelling of them.
pub fn base64(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let bare = text.trim();
    let is_url = bare.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    match (base64_text::decode(&text), is_url, bare.contains("://")) {
        (Err(_), true, _) => {}
        (Ok(bytes), true, _) => {
            let (_, encoded) = bare.split_once(',').expect("a data URL has a comma");
            assert_eq!(reference(encoded).as_deref(), Some(&bytes[..]));
        }
        (result, false, true) => assert!(result.is_err(), "an address is never a file"),
        (result, false, false) => assert_eq!(result.ok().as_deref(), reference(bare).as_deref()),
    }
    let encoded = STANDARD.encode(data);
    let spaced: String =
        encoded.chars().enumerate().flat_map(|(n, c)| [Some(c), (n % 7 == 3).then_some('\n')]).flatten().collect();
    let url = format!("data:audio/x-wav;base64,{spaced}");
    for text in [encoded.as_str(), &spaced, &url, encoded.trim_end_matches('=')] {
        assert_eq!(base64_text::decode(text).ok().as_deref(), Some(data), "{text}");
    }
}

/// Base64 as RFC 4648, 4 has it: no bits left over that aren't zero; padding may be left out.
fn reference(text: &str) -> Option<Vec<u8>> {
    let symbols: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let padding = symbols.iter().rev().take_while(|&&byte| byte == b'=').count();
    let symbols = &symbols[..symbols.len() - padding];
    if symbols.len() % 4 == 1 || padding > (4 - symbols.len() % 4) % 4 {
        return None;
    }
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::new());
    for symbol in symbols {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}

/// Any JSON body can be asked for any type of field; what `kwargs` says wins, and `kwargs` itself is gone afterwards.
pub fn kwargs(data: &[u8]) {
    let Ok(mut fields) = Fields::from_json(data) else { return };
    let members = fields.object("kwargs");
    let before = fields.clone();
    match fields.unpack_kwargs() {
        Err(_) => assert!(members.is_err(), "only kwargs that are no object are refused"),
        Ok(given) => {
            assert_eq!(given, before.names().any(|name| name == "kwargs"));
            assert!(fields.names().all(|name| name != "kwargs"), "kwargs is used up");
            for (name, value) in members.ok().flatten().unwrap_or_default() {
                if !value.is_null() && name != "kwargs" && !name.ends_with("[]") {
                    let taken = fields.parameter(&name);
                    // `a[]` and `a` in one kwargs are the same field; the later one in the map wins.
                    assert!(taken.is_some(), "{name}");
                }
            }
        }
    }
    for name in ["a", "model", "speed", "voice", "file", "seed"] {
        if let Ok(Some(number)) = fields.number(name) {
            assert!(number.is_finite(), "{name}");
        }
        let text = fields.text(name);
        assert!(!matches!(text, Ok(Some(text)) if text.trim().is_empty()), "{name}: blank text is none");
        let list = fields.list(name);
        assert!(!matches!(list, Ok(list) if list.iter().any(|text| text.trim().is_empty())), "{name}");
        if let Ok(Some(upload)) = fields.file(name) {
            assert!(!upload.data.is_empty(), "{name}: an empty file is refused");
        }
        let _ = (
            fields.boolean(name),
            fields.object(name),
            fields.object_or_word(name, "auto"),
            fields.required_text(name),
        );
        assert_ne!(fields.parameter(name), Some(Value::Null), "{name}: null is none");
    }
}
