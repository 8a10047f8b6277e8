use super::{Problem, base16384, lzma};

/// Codes per step.
pub const CODEBOOKS: usize = 4;
/// The last code that sounds; the one after it ends an utterance.
const LAST_CODE: u16 = 624;
/// Bytes of the head: codebooks and steps.
const HEAD: usize = 4;

/// Speech as codes, to be continued in its voice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioPrompt {
    /// Row-major, `[4, steps]`.
    codes: Vec<u16>,
    steps: usize,
}

impl AudioPrompt {
    /// A prompt of `codes`, row-major `[4, steps]`.
    ///
    /// # Errors
    /// There is no step, there are more than 65535 or not four rows of the same length, or a code is beyond the codebook.
    pub fn new(codes: Vec<u16>) -> Result<Self, Problem> {
        let steps = codes.len() / CODEBOOKS;
        if steps == 0 || steps * CODEBOOKS != codes.len() || u16::try_from(steps).is_err() {
            return Err(Problem::Size { bytes: CODEBOOKS * 2 * steps.max(1), what: "an audio prompt" });
        }
        match codes.iter().position(|code| *code > LAST_CODE) {
            Some(at) => Err(Problem::Code { at, code: codes[at], last: LAST_CODE }),
            None => Ok(Self { codes, steps }),
        }
    }

    /// The codes, row-major `[4, steps]`.
    pub fn codes(&self) -> &[u16] {
        &self.codes
    }

    /// The codes of one codebook (0–3), `[steps]`.
    pub fn codebook(&self, index: usize) -> &[u16] {
        self.codes.chunks(self.steps).nth(index).unwrap_or(&[])
    }

    /// Steps of 512 samples.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Reads an audio prompt's string: base16384 of the number of codebooks, the number of steps and LZMA2 of the codes.
    ///
    /// # Errors
    /// The text is none or is damaged.
    pub fn decode(text: &str) -> Result<Self, Problem> {
        let bytes = base16384::decode(text)?;
        let Some(([a, b, c, d], compressed)) = bytes.split_first_chunk::<HEAD>() else { return Err(Problem::Cut) };
        let (codebooks, steps) = (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]));
        if usize::from(codebooks) != CODEBOOKS || steps == 0 {
            return Err(Problem::PromptShape { codebooks, steps });
        }
        let size = CODEBOOKS * usize::from(steps) * size_of::<u16>();
        let bytes = lzma::decompress(compressed, size, "an audio prompt of this many steps")?;
        Self::new(bytes.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect())
    }

    /// The string, as [`AudioPrompt::decode`] reads it.
    ///
    /// # Errors
    /// The compressor fails.
    pub fn encode(&self) -> Result<String, Problem> {
        let le = |value: usize| (value as u16).to_le_bytes(); // both fit: `new` saw to that
        let codes: Vec<u8> = self.codes.iter().flat_map(|code| code.to_le_bytes()).collect();
        Ok(base16384::encode(&[&le(CODEBOOKS)[..], &le(self.steps), &lzma::compress(&codes)?].concat()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for steps in [1, 5, 400] {
            let codes: Vec<u16> = (0..4 * steps).map(|i| (i * 37 % 625) as u16).collect();
            let prompt = AudioPrompt::new(codes.clone()).unwrap();
            assert_eq!(prompt.steps(), steps as usize);
            assert_eq!(prompt.codebook(3), &codes[3 * steps as usize..]);
            assert_eq!(AudioPrompt::decode(&prompt.encode().unwrap()), Ok(prompt));
        }
    }

    #[test]
    fn wrong_prompts() {
        assert!(AudioPrompt::new(vec![]).is_err());
        assert!(AudioPrompt::new(vec![0; 5]).is_err());
        assert!(AudioPrompt::new(vec![0; 4 * 65536]).is_err());
        assert_eq!(AudioPrompt::new(vec![0, 625, 0, 0]), Err(Problem::Code { at: 1, code: 625, last: 624 }));
        assert_eq!(AudioPrompt::decode(""), Err(Problem::Cut));
        let head = |bytes: &[u8]| AudioPrompt::decode(&base16384::encode(bytes));
        assert_eq!(head(&[3, 0, 1, 0]), Err(Problem::PromptShape { codebooks: 3, steps: 1 }));
        assert_eq!(head(&[4, 0, 0, 0]), Err(Problem::PromptShape { codebooks: 4, steps: 0 }));
        assert!(matches!(head(&[4, 0, 1, 0]), Err(Problem::Damaged(_))));
    }
}
