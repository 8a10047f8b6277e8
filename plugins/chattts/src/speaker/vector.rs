use half::f16;

use super::{Problem, base16384, lzma};

/// A speaker: a vector as wide as the model (768 in the release), float16.
#[derive(Clone, Debug, PartialEq)]
pub struct Speaker(Vec<f16>);

impl Speaker {
    /// A speaker of these values.
    ///
    /// # Errors
    /// One is not finite.
    pub fn new(values: Vec<f16>) -> Result<Self, Problem> {
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(Problem::NotFinite { at }),
            None => Ok(Self(values)),
        }
    }

    /// The values, `[width]`.
    pub fn values(&self) -> &[f16] {
        &self.0
    }

    /// Reads a speaker string: base16384 of LZMA2 of the values.
    ///
    /// # Errors
    /// The text is none, is damaged, or holds another number of values than `width`.
    pub fn decode(text: &str, width: usize) -> Result<Self, Problem> {
        let compressed = base16384::decode(text)?;
        let bytes = lzma::decompress(&compressed, width * size_of::<f16>(), "a speaker of this model")?;
        Self::new(halves(&bytes))
    }

    /// The speaker string, as [`Speaker::decode`] reads it.
    ///
    /// # Errors
    /// The compressor fails.
    pub fn encode(&self) -> Result<String, Problem> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|value| value.to_le_bytes()).collect();
        Ok(base16384::encode(&lzma::compress(&bytes)?))
    }
}

/// Little-endian float16 values.
pub(super) fn halves(bytes: &[u8]) -> Vec<f16> {
    bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for width in [16, 64, 768] {
            let speaker = Speaker::new(super::super::draw(3, width)).unwrap();
            let text = speaker.encode().unwrap();
            assert_eq!(Speaker::decode(&text, width), Ok(speaker));
            assert!(matches!(Speaker::decode(&text, width + 1), Err(Problem::Size { .. })));
            assert!(matches!(Speaker::decode(&text, width - 1), Err(Problem::Size { .. })));
        }
    }

    #[test]
    fn values_are_finite() {
        let values = vec![f16::ONE, f16::NAN];
        assert_eq!(Speaker::new(values.clone()), Err(Problem::NotFinite { at: 1 }));
        assert_eq!(Speaker::decode(&Speaker(values).encode().unwrap(), 2), Err(Problem::NotFinite { at: 1 }));
    }
}
