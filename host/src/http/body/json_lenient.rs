//! JSON as people paste it.
//!
//! The published cURL examples of this API are not JSON: they have a comma before `}`, Python's `True`, and comments.
//! [`parse`] takes strict JSON first; when that fails, [`relax`] rewrites those three things outside of strings, byte for byte
//! in place, so that line and column of an error that remains are still those of the original.

use serde_json::Value;

/// Parses strict JSON, and failing that, JSON with trailing commas, `True`/`False`/`None` and `#` comments.
///
/// Nesting is limited to 128 levels by the parser.
///
/// # Errors
/// When it is still not JSON after that.
pub(crate) fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    const BOM: &[u8] = "\u{feff}".as_bytes();
    let text = text.strip_prefix(BOM).unwrap_or(text);
    serde_json::from_slice(text).or_else(|_| serde_json::from_slice(&relax(text)))
}

/// What Python writes, and what JSON calls it. Each pair has the same length.
const LITERALS: [(&[u8], &[u8]); 3] = [(b"True", b"true"), (b"False", b"false"), (b"None", b"null")];

/// One pass over the tokens; the result has the same length and the same line breaks.
fn relax(text: &[u8]) -> Vec<u8> {
    let mut out = text.to_vec();
    // Position of a comma after a value, followed by nothing but white space and comments so far.
    let mut open_comma: Option<usize> = None;
    // Whether the last token ended a value: only then can a comma be one too many.
    let mut after_value = false;
    let mut at = 0;
    while at < out.len() {
        match out[at] {
            b'"' => {
                (open_comma, after_value) = (None, true);
                at = end_of_string(&out, at);
                continue;
            }
            b'#' => {
                while at < out.len() && out[at] != b'\n' && out[at] != b'\r' {
                    out[at] = b' ';
                    at += 1;
                }
                continue;
            }
            b',' => {
                open_comma = after_value.then_some(at);
                after_value = false;
            }
            b'}' | b']' => {
                if let Some(comma) = open_comma.take() {
                    out[comma] = b' ';
                }
                after_value = true;
            }
            byte if is_word(byte) => {
                (open_comma, after_value) = (None, true);
                let end = out[at..].iter().position(|&byte| !is_word(byte)).map_or(out.len(), |length| at + length);
                if let Some((_, json)) = LITERALS.iter().find(|(python, _)| *python == &out[at..end]) {
                    out[at..end].copy_from_slice(json);
                }
                at = end;
                continue;
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => (open_comma, after_value) = (None, false),
        }
        at += 1;
    }
    out
}

/// The position after the string that begins at `start`; the end of the text when it doesn't end.
fn end_of_string(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// Whether a byte belongs to a name, number or non-ASCII text: what a literal must not touch.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'+' | b'-' | b'$') || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn takes_the_documents_examples() {
        let speech = b"{\n  \"model\": \"kokoro\",\n  \"stream\": True, # stream it\n  \"voice\": \"echo\",\n}";
        assert_eq!(parse(speech).unwrap(), json!({"model": "kokoro", "stream": true, "voice": "echo"}));
        assert_eq!(parse(b"[False, None, [1, 2, ] , # end\n]").unwrap(), json!([false, null, [1, 2]]));
        assert_eq!(parse(b"\xef\xbb\xbf{}").unwrap(), json!({}));
    }

    #[test]
    fn strings_are_left_alone() {
        let text = br##"{"a": "True, # no, } None", "b\"": "x,]", "c": "\\",}"##;
        assert_eq!(parse(text).unwrap(), json!({"a": "True, # no, } None", "b\"": "x,]", "c": "\\"}));
    }

    #[test]
    fn anything_else_is_still_an_error() {
        for text in [
            "",
            "{",
            "{\"a\" 1}",
            "{'a': 1}",
            "{\"a\": TRUE}",
            "{\"a\": Trueish}",
            "{\"a\": xTrue}",
            "{,}",
            "[,]",
            "[1,,]",
            "{\"a\": NaN}",
            "{\"a\": 1} x",
            "// no\n{}",
            "{\"a\": \"x",
            "[1 2]",
            "{\"a\": 1,, }",
            "\"\\",
            "{\"a\": 1e999}",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_is_limited() {
        let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(deep(100).as_bytes()).is_ok());
        assert!(parse(deep(200).as_bytes()).is_err());
        assert!(parse(deep(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn positions_of_errors_are_those_of_the_original() {
        let error = parse(b"{\"a\": True, # one\n \"b\": oops}").unwrap_err();
        assert_eq!((error.line(), error.column()), (2, 7));
    }

    /// Any JSON value, with strings that look like the things that are rewritten.
    fn values() -> impl Strategy<Value = Value> {
        let text = prop_oneof![any::<String>(), "[\\[\\]{},# \"\\\\TrueFalsNone\\n]{0,20}",];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e6..1e6f64).prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::hash_map(text.clone(), inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// The value the way a hurried person writes it.
    fn sloppy(value: &Value, out: &mut String) {
        match value {
            Value::Null => out.push_str("None"),
            Value::Bool(true) => out.push_str("True"),
            Value::Bool(false) => out.push_str("False"),
            Value::Array(items) => {
                out.push('[');
                for item in items {
                    sloppy(item, out);
                    out.push_str(" , # \"note\" ], }\n");
                }
                out.push(']');
            }
            Value::Object(members) => {
                out.push('{');
                for (name, member) in members {
                    out.push_str(&Value::from(name.as_str()).to_string());
                    out.push_str(": ");
                    sloppy(member, out);
                    out.push_str(",\t");
                }
                out.push('}');
            }
            other => out.push_str(&other.to_string()),
        }
    }

    proptest! {
        #[test]
        fn sloppy_json_means_what_strict_json_means(value in values()) {
            let mut text = String::new();
            sloppy(&value, &mut text);
            prop_assert_eq!(parse(text.as_bytes()).unwrap(), value);
        }

        #[test]
        fn strict_json_passes_through_untouched(value in values()) {
            let text = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(relax(text.as_bytes()), text.as_bytes());
        }

        #[test]
        fn garbage_neither_panics_nor_changes_length(text in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(relax(&text).len(), text.len());
            let _ = parse(&text);
        }
    }
}
