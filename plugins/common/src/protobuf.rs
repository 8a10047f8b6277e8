//! The wire format of protocol buffers, as far as ONNX files use it.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>

use std::ops::Range;

/// A field's content: a number, or the place of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(u64),
    Bytes(Range<usize>),
}

/// What is wrong with a message.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WireError(String);

/// The fields of the message at `rest` in `bytes`: number and content. Ends after an error, since what follows damage means nothing.
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    rest: Range<usize>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8], message: Range<usize>) -> Self {
        Self { bytes, rest: message }
    }

    /// Where the field after those read so far begins.
    #[cfg(feature = "onnx")]
    pub(crate) fn position(&self) -> usize {
        self.rest.start
    }

    fn field(&mut self) -> Result<(u64, Value), WireError> {
        let key = self.number()?;
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = self.number()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Bytes(self.take(4)?),
            wire => return Err(WireError(format!("a field is of the unknown wire type {wire}"))),
        };
        Ok((key >> 3, value))
    }

    fn number(&mut self) -> Result<u64, WireError> {
        let (number, after) = varint(self.bytes, self.rest.clone())?;
        self.rest.start = after;
        Ok(number)
    }

    fn take(&mut self, length: u64) -> Result<Range<usize>, WireError> {
        let end = usize::try_from(length).ok().and_then(|length| self.rest.start.checked_add(length));
        let Some(end) = end.filter(|end| *end <= self.rest.end) else {
            return Err(WireError(format!("it ends within a field at byte {}", self.rest.start)));
        };
        let bytes = self.rest.start..end;
        self.rest.start = end;
        Ok(bytes)
    }
}

impl Iterator for Fields<'_> {
    type Item = Result<(u64, Value), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let found = self.field();
        if found.is_err() {
            self.rest.start = self.rest.end;
        }
        Some(found)
    }
}

/// A number of seven bits a byte, least significant first, and where the next thing starts.
pub(crate) fn varint(bytes: &[u8], at: Range<usize>) -> Result<(u64, usize), WireError> {
    let mut number = 0_u64;
    for (i, byte) in bytes[at.clone()].iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok((number, at.start + i + 1));
        }
    }
    Err(WireError(format!("a number at byte {} has no end", at.start)))
}

/// Appends a number.
#[cfg(feature = "onnx")]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a field that holds a number.
#[cfg(feature = "onnx")]
pub(crate) fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
    put_varint(out, field << 3);
    put_varint(out, number);
}

/// Appends a field that holds bytes, a text or a message.
#[cfg(feature = "onnx")]
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
