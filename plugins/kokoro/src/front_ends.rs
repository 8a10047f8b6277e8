//! The English front end, loaded when it is first needed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use syrinx_plugin_api::Error;

use crate::chunk::Token;
use crate::g2p::{EnglishG2p, Variant, fallback};
use crate::language::Language;

/// Asset with the pronunciation lexicons.
const LEXICON_ASSET: &str = "misaki";

/// Asset with the tokenizer and the tagger.
const TAGGER_ASSET: &str = "spacy-en";

/// American and British English. Each is loaded once, by the first request that needs it.
#[derive(Debug)]
pub struct English {
    assets: Result<Assets, Error>,
    american: Mutex<Option<Arc<EnglishG2p>>>,
    british: Mutex<Option<Arc<EnglishG2p>>>,
}

#[derive(Debug)]
struct Assets {
    lexicons: PathBuf,
    tagger: PathBuf,
}

impl English {
    /// Remembers where the data lie; nothing is read.
    #[must_use]
    pub fn new(assets: &BTreeMap<String, PathBuf>) -> Self {
        let find = |name: &str| {
            assets.get(name).cloned().ok_or_else(|| {
                Error::out_of_resources(format!(
                    "the data set `{name}`, which English texts need, is not there: fetch the model again (`syrinx pull`), \
                     or send phonemes (parameter `phonemes`)"
                ))
            })
        };
        let assets = find(LEXICON_ASSET).and_then(|lexicons| Ok(Assets { lexicons, tagger: find(TAGGER_ASSET)? }));
        English { assets, american: Mutex::default(), british: Mutex::default() }
    }

    /// Tokens and phonemes of `text`.
    ///
    /// # Errors
    ///
    /// The data sets are missing or broken.
    pub fn tokens(&self, language: Language, text: &str) -> Result<Vec<Token>, Error> {
        let converted = self.front_end(language)?.convert(text);
        let tokens = converted.tokens.into_iter().map(|token| Token {
            text: token.text,
            phonemes: token.phonemes.unwrap_or_default(),
            whitespace: if token.space_after { " ".to_owned() } else { String::new() },
        });
        Ok(tokens.collect())
    }

    /// Loads the front end of `language` if it isn't yet.
    ///
    /// # Errors
    ///
    /// The data sets are missing or broken.
    pub fn front_end(&self, language: Language) -> Result<Arc<EnglishG2p>, Error> {
        let assets = self.assets.as_ref().map_err(Clone::clone)?;
        let (slot, variant) = match language {
            Language::BritishEnglish => (&self.british, Variant::British),
            _ => (&self.american, Variant::American),
        };
        // Held while loading: a second request waits instead of loading the same again.
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(front_end) = slot.as_ref() {
            return Ok(Arc::clone(front_end));
        }
        let front_end = Arc::new(load(&assets.lexicons, &assets.tagger, variant)?);
        *slot = Some(Arc::clone(&front_end));
        Ok(front_end)
    }

    /// Whether the data sets were given at all.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.assets.is_ok()
    }
}

fn load(lexicons: &Path, tagger: &Path, variant: Variant) -> Result<EnglishG2p, Error> {
    let unknown_words = fallback::best_available().map_err(|error| Error::out_of_resources(error.to_string()))?;
    EnglishG2p::load(lexicons, tagger, variant, Some(unknown_words)).map_err(|error| Error::internal(error.to_string()))
}
