//! The front ends of all languages, each loaded when it is first needed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use syrinx_plugin_api::Error;

use crate::chunk::{Token, tokens_of_phonemes};
use crate::g2p::G2pError;
use crate::g2p::english::{EnglishG2p, Variant, fallback};
use crate::g2p::espeak::{self, HOW_TO_INSTALL, Phonemizer};
use crate::g2p::japanese::Japanese;
use crate::g2p::mandarin::{Mandarin, MandarinV1_1, SpeakEnglish};
use crate::language::Language;
use crate::markup::{Span, spans};
use crate::vocab::Vocabulary;

/// Pronunciation lexicons of English, and the words of Japanese.
const MISAKI: &str = "misaki";
/// Tokenizer and tagger of English.
const SPACY: &str = "spacy-en";
/// Words of Chinese and models of unknown ones.
const JIEBA: &str = "jieba";
/// Readings of Chinese.
const PYPINYIN: &str = "pypinyin";
/// Readings of Chinese phrases, for v1.1.
const PHRASES: &str = "pypinyin-phrases";
/// Words of Japanese.
const UNIDIC: &str = "unidic-lite";

/// A symbol that only the vocabulary of v1.1-zh has: its Mandarin is written in bopomofo.
const BOPOMOFO: char = 'ㄅ';

/// Text to phonemes in every language of Kokoro. What a language needs is loaded by the first request that speaks it.
#[derive(Debug)]
pub struct FrontEnds {
    assets: BTreeMap<String, PathBuf>,
    espeak_library: Option<PathBuf>,
    /// Whether Mandarin is that of v1.1.
    is_v1_1: bool,
    american: Slot<EnglishG2p>,
    british: Slot<EnglishG2p>,
    mandarin: Slot<Mandarin>,
    mandarin_v1_1: Slot<MandarinV1_1>,
    japanese: Slot<Japanese>,
    espeak: Slot<InstalledEspeak>,
}

/// Something that is loaded once. The lock is held while loading: a second request waits instead of loading the same again.
#[derive(Debug)]
struct Slot<T>(Mutex<Option<Arc<T>>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Slot(Mutex::new(None))
    }
}

impl<T> Slot<T> {
    fn get_or_load(&self, load: impl FnOnce() -> Result<T, Error>) -> Result<Arc<T>, Error> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = slot.as_ref() {
            return Ok(Arc::clone(loaded));
        }
        let loaded = Arc::new(load()?);
        *slot = Some(Arc::clone(&loaded));
        Ok(loaded)
    }
}

/// The espeak-ng of this machine, if there is one.
struct InstalledEspeak(Option<Arc<dyn Phonemizer>>);

impl std::fmt::Debug for InstalledEspeak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("InstalledEspeak").field(&self.0.as_ref().map(|espeak| espeak.name())).finish()
    }
}

impl FrontEnds {
    /// Remembers where the data lie; nothing is read. `espeak_library` is the launch option, `vocabulary` the model's.
    #[must_use]
    pub fn new(assets: &BTreeMap<String, PathBuf>, espeak_library: Option<PathBuf>, vocabulary: &Vocabulary) -> Self {
        FrontEnds {
            assets: assets.clone(),
            espeak_library,
            is_v1_1: vocabulary.knows(BOPOMOFO),
            american: Slot::default(),
            british: Slot::default(),
            mandarin: Slot::default(),
            mandarin_v1_1: Slot::default(),
            japanese: Slot::default(),
            espeak: Slot::default(),
        }
    }

    /// Opens espeak-ng, if there is one.
    ///
    /// # Errors
    ///
    /// The library that the launch or the environment names can't be used.
    pub fn open_espeak(&self) -> Result<(), Error> {
        self.installed_espeak().map(drop)
    }

    /// Loads what `language` needs if it isn't loaded yet.
    ///
    /// # Errors
    ///
    /// Data sets or espeak-ng are missing or broken.
    pub fn prepare(&self, language: Language) -> Result<(), Error> {
        match language {
            Language::AmericanEnglish | Language::BritishEnglish => self.english(language).map(drop),
            Language::Mandarin if self.is_v1_1 => self.mandarin_v1_1().map(drop),
            Language::Mandarin => self.mandarin().map(drop),
            Language::Japanese => self.japanese().map(drop),
            Language::Spanish
            | Language::French
            | Language::Hindi
            | Language::Italian
            | Language::BrazilianPortuguese => self.espeak(language).map(drop),
        }
    }

    /// Tokens and phonemes of `text`, which may hold `[word](/phonemes/)`.
    ///
    /// # Errors
    ///
    /// Data sets or espeak-ng are missing or broken.
    pub fn tokens(&self, language: Language, text: &str) -> Result<Vec<Token>, Error> {
        if language.is_english() {
            return self.english_tokens(language, text);
        }
        let mut tokens: Vec<Token> = Vec::new();
        for span in spans(text) {
            let phonemes = match span {
                Span::Text(text) => self.phonemes(language, text)?,
                Span::Phonemes(phonemes) => phonemes.to_owned(),
            };
            let next = tokens_of_phonemes(&phonemes);
            // A given pronunciation is a word of its own.
            if let (Some(last), Some(first)) = (tokens.last_mut(), next.first())
                && !is_closing(first)
            {
                " ".clone_into(&mut last.whitespace);
            }
            tokens.extend(next);
        }
        // These are no words of the text, so captions can't show them.
        tokens.iter_mut().for_each(|token| token.text.clear());
        Ok(tokens)
    }

    /// Phonemes of `text` in a language other than English.
    fn phonemes(&self, language: Language, text: &str) -> Result<String, Error> {
        match language {
            Language::Japanese => Ok(self.japanese()?.phonemes(text)),
            Language::Mandarin => {
                // Only where there is English to speak, the lexicons are needed.
                let english = match text.contains(|c: char| c.is_ascii_alphabetic()) {
                    true => self.english(Language::AmericanEnglish).ok(),
                    false => None,
                };
                let speak = english.map(|english| move |text: &str| english.convert(text).phonemes);
                let speak: Option<SpeakEnglish<'_>> = speak.as_ref().map(|speak| speak as SpeakEnglish<'_>);
                if self.is_v1_1 {
                    Ok(self.mandarin_v1_1()?.phonemes(text, speak))
                } else {
                    Ok(self.mandarin()?.phonemes(text, speak))
                }
            }
            _ => match espeak::code(language) {
                Some(code) => espeak::phonemes(self.espeak(language)?.as_ref(), code, text).map_err(internal),
                None => Err(Error::internal(format!("{language} has no front end"))),
            },
        }
    }

    fn english_tokens(&self, language: Language, text: &str) -> Result<Vec<Token>, Error> {
        let converted = self.english(language)?.convert(text);
        let tokens = converted.tokens.into_iter().map(|token| Token {
            text: token.text,
            phonemes: token.phonemes.unwrap_or_default(),
            whitespace: if token.space_after { " ".to_owned() } else { String::new() },
        });
        Ok(tokens.collect())
    }

    fn english(&self, language: Language) -> Result<Arc<EnglishG2p>, Error> {
        let (slot, variant) = match language {
            Language::BritishEnglish => (&self.british, Variant::British),
            _ => (&self.american, Variant::American),
        };
        slot.get_or_load(|| {
            let (lexicons, tagger) = (self.asset(MISAKI, language)?, self.asset(SPACY, language)?);
            let unknown_words = fallback::best_of(self.installed_espeak()?.0.clone());
            EnglishG2p::load(lexicons, tagger, variant, Some(unknown_words)).map_err(internal)
        })
    }

    fn mandarin(&self) -> Result<Arc<Mandarin>, Error> {
        self.mandarin.get_or_load(|| {
            let asset = |name| self.asset(name, Language::Mandarin);
            Mandarin::load(asset(JIEBA)?, asset(PYPINYIN)?).map_err(internal)
        })
    }

    fn mandarin_v1_1(&self) -> Result<Arc<MandarinV1_1>, Error> {
        self.mandarin_v1_1.get_or_load(|| {
            let asset = |name| self.asset(name, Language::Mandarin);
            MandarinV1_1::load(asset(JIEBA)?, asset(PYPINYIN)?, asset(PHRASES)?).map_err(internal)
        })
    }

    fn japanese(&self) -> Result<Arc<Japanese>, Error> {
        self.japanese.get_or_load(|| {
            let asset = |name| self.asset(name, Language::Japanese);
            Japanese::load(asset(UNIDIC)?, asset(MISAKI)?).map_err(internal)
        })
    }

    fn installed_espeak(&self) -> Result<Arc<InstalledEspeak>, Error> {
        self.espeak.get_or_load(|| {
            let found = espeak::installed(self.espeak_library.as_deref());
            found.map(InstalledEspeak).map_err(|error| Error::out_of_resources(error.to_string()))
        })
    }

    fn espeak(&self, language: Language) -> Result<Arc<dyn Phonemizer>, Error> {
        self.installed_espeak()?.0.clone().ok_or_else(|| {
            Error::out_of_resources(format!(
                "{language} text needs espeak-ng, which isn't installed: {HOW_TO_INSTALL}; or send phonemes (parameter \
                 `phonemes`)"
            ))
        })
    }

    fn asset(&self, name: &str, language: Language) -> Result<&Path, Error> {
        self.assets.get(name).map(PathBuf::as_path).ok_or_else(|| {
            Error::out_of_resources(format!(
                "the data set `{name}`, which {language} texts need, is not there: fetch the model again (`syrinx pull`), \
                 or send phonemes (parameter `phonemes`)"
            ))
        })
    }
}

fn internal(error: G2pError) -> Error {
    Error::internal(error.to_string())
}

/// Whether a token belongs to the one before it.
fn is_closing(token: &Token) -> bool {
    token.phonemes.starts_with(['.', ',', '!', '?', ';', ':', '…', ')', '”', '—'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_data_are_named_with_the_language() {
        let front_ends = FrontEnds::new(&BTreeMap::new(), None, &Vocabulary::v1_0());
        for (language, name) in
            [(Language::AmericanEnglish, MISAKI), (Language::Mandarin, JIEBA), (Language::Japanese, UNIDIC)]
        {
            let error = front_ends.tokens(language, "text").err().unwrap();
            assert!(error.message.contains(name) && error.message.contains(&language.to_string()), "{}", error.message);
            assert!(front_ends.prepare(language).is_err());
        }
    }

    #[test]
    fn a_named_espeak_that_is_no_library_is_an_error() {
        let library = Some(PathBuf::from("/nowhere/libespeak-ng.so"));
        let front_ends = FrontEnds::new(&BTreeMap::new(), library, &Vocabulary::v1_0());
        let error = front_ends.tokens(Language::French, "Bonjour.").err().unwrap();
        assert!(error.message.contains("/nowhere/libespeak-ng.so"), "{}", error.message);
    }

    #[test]
    fn without_espeak_the_error_says_how_to_get_it() {
        let front_ends = FrontEnds::new(&BTreeMap::new(), None, &Vocabulary::v1_0());
        front_ends.espeak.get_or_load(|| Ok(InstalledEspeak(None))).unwrap();
        for language in Language::all().filter(|language| espeak::code(*language).is_some()) {
            let error = front_ends.tokens(language, "text").err().unwrap();
            let expected = format!("{language} text needs espeak-ng");
            assert!(error.message.starts_with(&expected), "{}", error.message);
            assert!(error.message.contains("apt install espeak-ng") && error.message.contains("`phonemes`"));
        }
    }
}
