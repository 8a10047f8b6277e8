//! What is known of a saved voice, and the rules for its name and id.

use super::OPENAI_VOICES;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest name in characters.
pub const NAME_LENGTH: usize = 100;

/// How ids begin; the rest is hexadecimal.
const ID_PREFIX: &str = "voice_";

/// Hexadecimal digits of an id: 96 random bits.
const ID_DIGITS: usize = 24;

/// A saved voice.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedVoice {
    /// `voice_` and hexadecimal digits.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The statement of consent, or the reference of one.
    pub consent: String,
    /// What is said in the sample.
    pub prompt_text: Option<String>,
    /// The model that it was made for.
    pub model: Option<String>,
    /// Length of the sample.
    pub seconds: f64,
    /// Size of the sample's file.
    pub bytes: u64,
    /// Seconds since 1970.
    pub created_at: u64,
}

/// `voice.json`. The id is the directory's name and the size the file's, so that they can't contradict.
#[derive(Serialize, Deserialize)]
pub(super) struct Description {
    name: String,
    consent: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prompt_text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    seconds: f64,
    created_at: u64,
}

impl Description {
    pub(super) fn of(voice: &SavedVoice) -> Self {
        let SavedVoice { name, consent, prompt_text, model, seconds, created_at, .. } = voice.clone();
        Self { name, consent, prompt_text, model, seconds, created_at }
    }

    pub(super) fn into_voice(self, id: &str, bytes: u64) -> SavedVoice {
        let Self { name, consent, prompt_text, model, seconds, created_at } = self;
        SavedVoice { id: id.to_owned(), name, consent, prompt_text, model, seconds, bytes, created_at }
    }
}

/// Why a name can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing to read.
    #[error("the name of a voice can't be empty")]
    Empty,
    /// Too much to read.
    #[error("the name of a voice can have up to {NAME_LENGTH} characters, not {length}")]
    Long {
        /// Its length.
        length: usize,
    },
    /// Line breaks and the like.
    #[error("the name of a voice can't hold control characters")]
    Control,
    /// Every model has a voice of that name, or it looks like an id.
    #[error("the name `{name}` is taken: OpenAI's voice names and names that begin with `{ID_PREFIX}` can't be given")]
    Reserved {
        /// The name.
        name: String,
    },
}

/// A name without the white space around it.
///
/// # Errors
/// When it can't be used.
pub(super) fn check_name(given: &str) -> Result<String, NameError> {
    let name = given.trim();
    let length = name.chars().count();
    if length == 0 {
        return Err(NameError::Empty);
    }
    if length > NAME_LENGTH {
        return Err(NameError::Long { length });
    }
    if name.chars().any(|c| c.is_control() || "\u{2028}\u{2029}".contains(c)) {
        return Err(NameError::Control);
    }
    let key = key_of(name);
    if OPENAI_VOICES.iter().any(|(known, _)| *known == key) || key.starts_with(ID_PREFIX) {
        return Err(NameError::Reserved { name: name.to_owned() });
    }
    Ok(name.to_owned())
}

/// What two names have in common that count as the same.
pub(super) fn key_of(name: &str) -> String {
    name.to_lowercase()
}

/// A fresh id.
pub(super) fn new_id() -> String {
    let digits = Uuid::new_v4().simple().to_string();
    format!("{ID_PREFIX}{}", &digits[..ID_DIGITS])
}

/// Whether a text has the form of an id.
pub(crate) fn looks_saved(name: &str) -> bool {
    let is_digit = |digit: u8| digit.is_ascii_hexdigit();
    name.strip_prefix(ID_PREFIX).is_some_and(|digits| !digits.is_empty() && digits.bytes().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["Ann", " Ann B. ", "小红", "a+b", "../etc/passwd", &"x".repeat(100)] {
            assert_eq!(check_name(good).unwrap(), good.trim());
        }
        for bad in ["", "  ", "a\nb", "a\u{0}", "Alloy", "voice_1", "VOICE_x", &"x".repeat(101)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_are_safe_and_differ() {
        let id = new_id();
        assert!(looks_saved(&id) && id.len() == ID_PREFIX.len() + ID_DIGITS && id != new_id());
        assert!(!looks_saved("voice_../x") && !looks_saved("ann"));
    }
}
