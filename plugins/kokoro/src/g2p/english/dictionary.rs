//! A pronunciation dictionary in compact form: one string of all keys and pronunciations, sorted, looked up by binary search.
//!
//! 90 000 entries take about 3 MB instead of the 15 MB of a hash map of strings, and load as fast as the JSON can be read.

use std::{fmt, path::Path};

use serde::{
    Deserializer,
    de::{DeserializeSeed, MapAccess, Visitor},
};

use crate::g2p::{G2pError, error::read_text};

/// A pronunciation, or several that depend on the part of speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    Plain(&'a str),
    ByTag(&'a TagMap),
}

/// Pronunciations by tag, parent tag (`NOUN`, `VERB`, …) or `None` (nothing follows); no pronunciation means "spell it".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TagMap(Vec<(String, Option<String>)>);

/// The key in a [`TagMap`] for everything not listed.
const DEFAULT: &str = "DEFAULT";

impl TagMap {
    pub(crate) fn has(&self, tag: &str) -> bool {
        self.0.iter().any(|(t, _)| t == tag)
    }

    /// Pronunciation for exactly this tag.
    pub(crate) fn exactly(&self, tag: &str) -> Option<&str> {
        self.0.iter().find(|(t, _)| t == tag).and_then(|(_, p)| p.as_deref())
    }

    /// Pronunciation for this tag if it is listed, else the default.
    pub(crate) fn get(&self, tag: Option<&str>) -> Option<&str> {
        match tag {
            Some(tag) if self.has(tag) => self.exactly(tag),
            _ => self.exactly(DEFAULT),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    start: u32,
    key_length: u16,
    /// Bytes of the pronunciation behind the key, or [`BY_TAG`] and its number instead of text.
    value_length: u16,
}

/// Marks a slot whose value is in the list of tag maps; the number lies in the text as four bytes would, so it is kept apart.
const BY_TAG: u16 = u16::MAX;

/// An immutable map from words to pronunciations.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    text: String,
    slots: Vec<Slot>,
    /// Sorted by slot number.
    tag_maps: Vec<(u32, TagMap)>,
}

impl Dictionary {
    /// Reads a JSON object from words to strings or to objects from tags to strings.
    pub(crate) fn load(path: &Path) -> Result<Self, G2pError> {
        let json = read_text(path)?;
        let mut builder =
            Builder { dictionary: Self { text: String::with_capacity(json.len()), ..Self::default() }, sorted: true };
        let mut json = serde_json::Deserializer::from_str(&json);
        json.deserialize_map(&mut builder)
            .and_then(|()| json.end())
            .map_err(|e| G2pError::format(path, e.to_string()))?;
        if !builder.sorted {
            return Err(G2pError::format(path, "the words are not in alphabetical order"));
        }
        let mut dictionary = builder.dictionary;
        dictionary.text.shrink_to_fit();
        dictionary.slots.shrink_to_fit();
        Ok(dictionary)
    }

    /// Number of words.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    fn key(&self, slot: Slot) -> &str {
        let start = slot.start as usize;
        &self.text[start..start + usize::from(slot.key_length)]
    }

    pub(crate) fn get(&self, word: &str) -> Option<Entry<'_>> {
        let at = self.slots.binary_search_by(|&slot| self.key(slot).cmp(word)).ok()?;
        let slot = self.slots[at];
        if slot.value_length == BY_TAG {
            let index = self.tag_maps.binary_search_by_key(&(at as u32), |(slot, _)| *slot).ok()?;
            return Some(Entry::ByTag(&self.tag_maps[index].1));
        }
        let start = slot.start as usize + usize::from(slot.key_length);
        Some(Entry::Plain(&self.text[start..start + usize::from(slot.value_length)]))
    }
}

struct Builder {
    dictionary: Dictionary,
    sorted: bool,
}

impl<'de> Visitor<'de> for &mut Builder {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object from words to pronunciations")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let too_long = || serde::de::Error::custom("a word or pronunciation is too long");
            let start = u32::try_from(self.dictionary.text.len()).map_err(|_| too_long())?;
            let key_length = u16::try_from(key.len()).map_err(|_| too_long())?;
            if let Some(&last) = self.dictionary.slots.last() {
                self.sorted &= self.dictionary.key(last) < key.as_ref();
            }
            self.dictionary.text.push_str(&key);
            let slot = self.dictionary.slots.len() as u32;
            let value_length = match map.next_value_seed(Value(&mut self.dictionary.text))? {
                None => {
                    let written = self.dictionary.text.len() - start as usize - usize::from(key_length);
                    u16::try_from(written).ok().filter(|&n| n != BY_TAG).ok_or_else(too_long)?
                }
                Some(map) => {
                    self.dictionary.tag_maps.push((slot, map));
                    BY_TAG
                }
            };
            self.dictionary.slots.push(Slot { start, key_length, value_length });
        }
        Ok(())
    }
}

/// Appends a plain pronunciation to the text, or gives back a tag map.
struct Value<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Option<TagMap>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Option<TagMap>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pronunciation or an object from tags to pronunciations")
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        self.0.push_str(value);
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut tags = Vec::new();
        while let Some(pair) = map.next_entry::<String, Option<String>>()? {
            tags.push(pair);
        }
        if !tags.iter().any(|(tag, _)| tag == DEFAULT) {
            return Err(serde::de::Error::custom("a word with several pronunciations has no DEFAULT"));
        }
        Ok(Some(TagMap(tags)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(json: &str) -> Result<Dictionary, G2pError> {
        let dir = std::env::temp_dir().join(format!("syrinx-dictionary-{}-{}", std::process::id(), json.len()));
        std::fs::write(&dir, json).unwrap();
        let loaded = Dictionary::load(&dir);
        std::fs::remove_file(&dir).unwrap();
        loaded
    }

    #[test]
    fn finds_words_and_tags() {
        let d =
            load(r#"{"a": "ə", "close": {"DEFAULT": "klˈOs", "VERB": "klˈOz", "NOUN": null}, "zoo": "zˈu"}"#).unwrap();
        assert_eq!(d.len(), 3);
        assert_eq!(d.get("a"), Some(Entry::Plain("ə")));
        assert_eq!(d.get("zoo"), Some(Entry::Plain("zˈu")));
        assert_eq!(d.get("b"), None);
        let Some(Entry::ByTag(map)) = d.get("close") else { panic!() };
        assert_eq!(map.get(Some("VERB")), Some("klˈOz"));
        assert_eq!(map.get(Some("NOUN")), None);
        assert_eq!(map.get(Some("ADJ")), Some("klˈOs"));
        assert_eq!(map.get(None), Some("klˈOs"));
    }

    #[test]
    fn refuses_disorder_and_garbage() {
        for bad in [r#"{"b": "x", "a": "y"}"#, r#"{"a": 1}"#, r#"{"a": {"VERB": "x"}}"#, "[]", r#"{"a": "x"} y"#] {
            assert!(matches!(load(bad), Err(G2pError::Format { .. })), "{bad}");
        }
    }
}
