use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::TextError;

/// Rare characters and common ones that sound alike: the model knows only so many. The table is not ours to ship; it comes with the
/// reference package (`ChatTTS/res/homophones_map.json`), and without it characters stay as they are.
#[derive(Clone, Debug, Default)]
pub struct Homophones(HashMap<char, char>);

impl Homophones {
    /// Reads the table: a JSON object of single characters.
    ///
    /// # Errors
    /// The file can't be read, or is something else.
    pub fn load(path: &Path) -> Result<Self, TextError> {
        let json = fs::read_to_string(path).map_err(|source| TextError::Read { path: path.to_path_buf(), source })?;
        Self::parse(&json).map_err(|reason| TextError::Format { path: path.to_path_buf(), reason })
    }

    fn parse(json: &str) -> Result<Self, String> {
        let pairs: HashMap<String, String> =
            serde_json::from_str(json).map_err(|e| format!("this is no table of homophones: {e}"))?;
        let single = |text: &str| {
            let mut characters = text.chars();
            characters.next().filter(|_| characters.next().is_none())
        };
        let pair = |(from, to): (&String, &String)| {
            single(from).zip(single(to)).ok_or_else(|| format!("{from:?} and {to:?} are not single characters"))
        };
        Ok(Self(pairs.iter().map(pair).collect::<Result<_, _>>()?))
    }

    /// How many characters have a homophone.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no table.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `text` with each character replaced once.
    pub(super) fn replace(&self, text: &str) -> String {
        text.chars().map(|c| self.0.get(&c).copied().unwrap_or(c)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_replaced_once() {
        let homophones = Homophones::parse(r#"{"挑": "漂", "漂": "啤"}"#).unwrap();
        assert_eq!(homophones.len(), 2);
        assert_eq!(homophones.replace("挑a漂"), "漂a啤");
        assert_eq!(Homophones::default().replace("挑"), "挑");
    }

    #[test]
    fn other_files() {
        for json in ["", "[]", r#"{"挑": 1}"#, r#"{"挑挑": "漂"}"#, r#"{"挑": ""}"#] {
            assert!(Homophones::parse(json).is_err(), "{json}");
        }
        let error = Homophones::load(Path::new("nowhere.json")).unwrap_err();
        assert!(error.to_string().contains("nowhere.json"), "{error}");
    }
}
