//! Lenient JSON against a second reading of its definition: strict JSON, plus a comma before a closing bracket, Python's three
//! literals, and comments from `#` to the end of the line, all of them outside of strings only.

use crate::http::fuzzed::json_lenient;
use serde_json::{Map, Value};

/// Deepest nesting that is read. Source: serde_json's limit, which leaves 127 levels.
const DEEPEST: usize = 127;

/// The parser accepts what the definition below accepts, with the same value, and nothing else; strict JSON means what
/// serde_json says.
pub fn lenient_json(text: &[u8]) {
    let parsed = json_lenient::parse(text).ok();
    let plain = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    if let Ok(strict) = serde_json::from_slice::<Value>(plain) {
        assert_eq!(parsed.as_ref(), Some(&strict), "strict JSON is read as it is");
    }
    let mut reader = Reader { text: plain, at: 0 };
    let defined = reader.document();
    assert_eq!(parsed, defined, "{:?}", String::from_utf8_lossy(text));
}

/// A parser that goes by the definition, with no eye on speed.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn document(&mut self) -> Option<Value> {
        let value = self.value(0)?;
        self.space();
        (self.at == self.text.len()).then_some(value)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// White space and comments.
    fn space(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'#' => {
                    while self.peek().is_some_and(|byte| byte != b'\n' && byte != b'\r') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.space();
        match self.peek()? {
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => self.string().map(Value::from),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.word(),
        }
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        self.list(depth, b']', |reader| {
            items.push(reader.value(depth)?);
            Some(())
        })?;
        Some(Value::from(items))
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        let mut members = Map::new();
        self.list(depth, b'}', |reader| {
            if reader.peek()? != b'"' {
                return None;
            }
            let name = reader.string()?;
            reader.space();
            reader.skip(b':')?;
            let value = reader.value(depth)?;
            members.insert(name, value);
            Some(())
        })?;
        Some(Value::Object(members))
    }

    /// Items between brackets; the last one may have a comma behind it.
    fn list(&mut self, depth: usize, end: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        self.at += 1;
        self.space();
        while self.peek()? != end {
            item(self)?;
            self.space();
            if self.peek()? != end {
                self.skip(b',')?;
                self.space();
            }
        }
        self.skip(end)
    }

    fn skip(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Up to the quote that ends it; its inside is JSON's business.
    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.at += 1;
        while self.peek()? != b'"' {
            self.at += if self.peek()? == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        serde_json::from_slice(self.text.get(start..self.at)?).ok()
    }

    fn number(&mut self) -> Option<Value> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            self.at += 1;
        }
        serde_json::from_slice(&self.text[start..self.at]).ok()
    }

    fn word(&mut self) -> Option<Value> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_+-.$".contains(&byte) || byte > 0x7f) {
            self.at += 1;
        }
        match &self.text[start..self.at] {
            b"true" | b"True" => Some(Value::Bool(true)),
            b"false" | b"False" => Some(Value::Bool(false)),
            b"null" | b"None" => Some(Value::Null),
            _ => None,
        }
    }
}
