//! What a request's `voice` can be.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use half::f16;
use syrinx_plugin_common::checkpoint::{CheckpointError, DType, TensorView, Tensors};
use twox_hash::XxHash32;

use super::{Problem, Speaker, SpeakerError, base16384};

/// Characters of the longest name; longer texts are tensors (Xinference `model/audio/chattts.py`).
pub(super) const LONGEST_NAME: usize = 400;
/// Bytes of the longest text that is read; a speaker takes up 3 to 8 kB.
const LONGEST: usize = 64 * 1024;
/// Seed of the hash that makes seeds of names.
const HASH_SEED: u32 = 0;
/// The request's field.
const FIELD: &str = "voice";

/// Base64 as it is found in the wild: with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A voice as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Voice {
    /// This very speaker.
    Speaker(Speaker),
    /// The speaker that is drawn after this seed.
    Seed(u32),
}

/// Reads `voice`: a speaker string, a vector that torch saved, in base64 (`emb_data` of ChatTTS_Speaker), or any name, which becomes a seed.
///
/// # Errors
/// The text is too long for a name and is none of the others, or its vector is not as wide as the model. The message names the field.
pub fn parse_voice(voice: &str, width: usize) -> Result<Voice, SpeakerError> {
    parse(voice, width).map_err(|problem| problem.of(FIELD))
}

/// The seed of a name.
pub fn seed(name: &str) -> u32 {
    XxHash32::oneshot(HASH_SEED, name.as_bytes())
}

fn parse(voice: &str, width: usize) -> Result<Voice, Problem> {
    if voice.len() > LONGEST {
        return Err(Problem::TooLong { bytes: voice.len(), limit: LONGEST });
    }
    let text = voice.trim();
    let is_long = text.chars().count() > LONGEST_NAME;
    let is_marked = text.chars().next_back().and_then(base16384::marked_rest).is_some();
    if is_marked || (is_long && text.starts_with(base16384::is_digit)) {
        Speaker::decode(text, width).map(Voice::Speaker)
    } else if is_long {
        tensor(text, width).map(Voice::Speaker)
    } else {
        Ok(Voice::Seed(seed(voice)))
    }
}

/// A vector that torch saved, in base64, perhaps in lines.
fn tensor(text: &str, width: usize) -> Result<Speaker, Problem> {
    let text: String = text.split_ascii_whitespace().collect();
    let bytes = BASE64.decode(text).map_err(|e| Problem::NoTensor(e.to_string()))?;
    let unreadable = |error: CheckpointError| match error {
        CheckpointError::Malformed { reason, .. } => Problem::NoTensor(reason),
        CheckpointError::Missing { .. } => Problem::NoTensor("it holds no tensor alone".to_owned()),
        other => Problem::NoTensor(other.to_string()),
    };
    let tensors = Tensors::torch_bytes(FIELD, bytes).map_err(unreadable)?;
    let tensor: TensorView<'_> = tensors.get("").map_err(unreadable)?;
    if tensor.shape() != [width] || !matches!(tensor.dtype(), DType::F32 | DType::F16 | DType::BF16) {
        return Err(Problem::Tensor { got: format!("{} {:?}", tensor.dtype(), tensor.shape()), width });
    }
    Speaker::new(tensor.to_f32().map_err(unreadable)?.into_iter().map(f16::from_f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vector as torch wrote it before 1.6.
    fn saved(class: &str, shape: &[u8], data: &[u8]) -> String {
        let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
        let size = if class == "FloatStorage" { 4 } else { 2 };
        let tuple = |values: &[u8]| {
            let mut pickle = b"(".to_vec();
            values.iter().for_each(|value| pickle.extend([b'K', *value]));
            pickle.push(b't');
            pickle
        };
        let strides: Vec<u8> = (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect();
        let file = [
            b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec(),
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
            text("storage"),
            format!("ctorch\n{class}\n").into_bytes(),
            text("1"),
            text("cpu"),
            b"K\x01NtQK\x00".to_vec(),
            tuple(shape),
            tuple(&strides),
            b"\x89}tR.\x80\x02]".to_vec(),
            text("1"),
            b"a.".to_vec(),
            (data.len() as u64 / size).to_le_bytes().to_vec(),
            data.to_vec(),
        ]
        .concat();
        BASE64.encode(file)
    }

    fn problem(voice: &str, width: usize) -> String {
        let error = parse_voice(voice, width).unwrap_err().to_string();
        assert!(error.starts_with("voice: "), "{error}");
        error
    }

    #[test]
    fn names_become_seeds() {
        for (name, seed) in [("", 46_947_589), ("alloy", 1_260_509_181), ("旁白", 2_370_991_066)] {
            assert_eq!(parse_voice(name, 768).unwrap(), Voice::Seed(seed));
        }
        assert!(matches!(parse_voice(&"旁".repeat(400), 768), Ok(Voice::Seed(_))));
    }

    #[test]
    fn speaker_strings() {
        for width in [64, 768] {
            let speaker = Speaker::new(super::super::draw(11, width)).unwrap();
            let text = speaker.encode().unwrap();
            assert_eq!(parse_voice(&format!(" {text}\n"), width).unwrap(), Voice::Speaker(speaker));
            assert!(problem(&text, width + 1).contains("bytes were expected"));
        }
        let text = Speaker::new(super::super::draw(11, 768)).unwrap().encode().unwrap();
        let characters: Vec<char> = text.chars().collect();
        let part = |characters: &[char]| characters.iter().collect::<String>();
        problem(&part(&characters[..characters.len() - 1]), 768);
        problem(&part(&characters[3..]), 768);
        problem(&text.replacen(characters[500], "x", 1), 768);
        problem("旁白㴁", 768);
    }

    #[test]
    fn saved_tensors() {
        let values: Vec<f16> = super::super::draw(2, 200);
        let wide: Vec<u8> = values.iter().flat_map(|v| v.to_f32().to_le_bytes()).collect();
        let voice = saved("FloatStorage", &[200], &wide);
        assert_eq!(parse_voice(&voice, 200).unwrap(), Voice::Speaker(Speaker::new(values.clone()).unwrap()));
        let lines =
            voice.as_bytes().chunks(76).map(|line| str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\n");
        assert!(parse_voice(lines.trim_end_matches('='), 200).is_ok());
        let narrow: Vec<u8> = values.iter().flat_map(|v| half::bf16::from_f32(v.to_f32()).to_le_bytes()).collect();
        assert!(parse_voice(&saved("BFloat16Storage", &[200], &narrow), 200).is_ok());

        assert!(problem(&voice, 768).contains("float32 [200], but a vector of 768 values"));
        assert!(problem(&saved("ShortStorage", &[200], &narrow), 200).contains("int16 [200]"));
        assert!(problem(&saved("FloatStorage", &[100, 2], &wide), 200).contains("[100, 2]"));
        let infinite: Vec<u8> = vec![0xff; 800];
        assert!(problem(&saved("FloatStorage", &[200], &infinite), 200).contains("value 0 is not finite"));
        let large: Vec<u8> = std::iter::repeat_n(1e6_f32.to_le_bytes(), 200).flatten().collect();
        assert!(problem(&saved("FloatStorage", &[200], &large), 200).contains("not finite in float16"));
    }

    #[test]
    fn hostile_texts() {
        assert!(problem(&"x".repeat(401), 768).contains("neither a name"));
        assert!(problem(&"A".repeat(404), 768).contains("neither a name"));
        assert!(problem(&"x ".repeat(401), 768).contains("neither a name"));
        assert!(problem(&"😀".repeat(401), 768).contains("neither a name"));
        assert!(problem(&"A".repeat(1 << 20), 768).contains("at most 65536"));
        assert!(problem(&"中".repeat(401), 768).contains("speaker string"));
        let nested = [b")".to_vec(), vec![0x85; 40_000], b".".to_vec()].concat();
        let head = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
        problem(&BASE64.encode([head, nested].concat()), 768);
        let voice = saved("HalfStorage", &[200], &[0; 400]);
        for at in 0..voice.len() {
            let mut damaged = voice.clone().into_bytes();
            damaged[at] = if damaged[at] == b'A' { b'/' } else { b'A' };
            let _ = parse_voice(str::from_utf8(&damaged).unwrap(), 200); // an error or another speaker, but no panic
        }
    }
}
