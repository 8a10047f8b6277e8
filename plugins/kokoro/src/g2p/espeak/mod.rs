//! Spanish, French, Hindi, Italian and Brazilian Portuguese through espeak-ng, and espeak-ng itself.
//!
//! espeak-ng is under the GPL, so it is neither linked nor shipped: where the user has it installed it is asked, through its shared library or
//! as a process. Reference: `misaki/espeak.py: EspeakG2P`.

mod engine;
mod phonemizer;

use std::path::Path;
use std::sync::Arc;

pub use self::{
    engine::{EspeakLibrary, EspeakProgram},
    phonemizer::{Flags, Phonemizer, phonemize},
};

use super::G2pError;
use crate::language::Language;

/// Environment variables that name the library of espeak-ng and its data; the last of each is what `phonemizer` reads.
const LIBRARY_VARIABLES: [&str; 3] = ["SYRINX_ESPEAK_LIBRARY", "ESPEAK_LIBRARY", "PHONEMIZER_ESPEAK_LIBRARY"];
const DATA_VARIABLES: [&str; 3] = ["SYRINX_ESPEAK_DATA", "ESPEAK_DATA_PATH", "PHONEMIZER_ESPEAK_DATA_PATH"];

/// Names under which systems install the library, and where Homebrew puts it.
const LIBRARY_NAMES: [&str; 7] = [
    "libespeak-ng.so.1",
    "libespeak-ng.so",
    "libespeak-ng.dylib",
    "libespeak-ng.dll",
    "/opt/homebrew/lib/libespeak-ng.dylib",
    "/usr/local/lib/libespeak-ng.dylib",
    "/home/linuxbrew/.linuxbrew/lib/libespeak-ng.so",
];

/// How to get espeak-ng, for messages.
pub const HOW_TO_INSTALL: &str = "`apt install espeak-ng`, `dnf install espeak-ng` or `brew install espeak-ng`, or name its library in the \
                                  launch option `espeak_library` or in ESPEAK_LIBRARY";

/// espeak-ng as it is installed: the library that is given or that the environment names (an error if that can't be used), a system library, or
/// the program. `None` if there is none.
///
/// # Errors
///
/// The library that was named can't be used.
pub fn installed(library: Option<&Path>) -> Result<Option<Arc<dyn Phonemizer>>, G2pError> {
    let variable = |names: [&str; 3]| names.iter().find_map(std::env::var_os).filter(|value| !value.is_empty());
    let data = variable(DATA_VARIABLES);
    let data = data.as_deref().map(Path::new);
    let named = library.map(|path| path.as_os_str().to_owned()).or_else(|| variable(LIBRARY_VARIABLES));
    if let Some(library) = named {
        return Ok(Some(Arc::new(EspeakLibrary::open(Path::new(&library), data)?)));
    }
    for name in LIBRARY_NAMES {
        if let Ok(library) = EspeakLibrary::open(Path::new(name), data) {
            return Ok(Some(Arc::new(library)));
        }
    }
    Ok(EspeakProgram::find().map(|program| Arc::new(program) as Arc<dyn Phonemizer>))
}

/// espeak-ng's code of a language that Kokoro speaks through it; `None` for the others.
#[must_use]
pub fn code(language: Language) -> Option<&'static str> {
    Some(match language {
        Language::Spanish => "es",
        Language::French => "fr-fr",
        Language::Hindi => "hi",
        Language::Italian => "it",
        Language::BrazilianPortuguese => "pt-br",
        Language::AmericanEnglish | Language::BritishEnglish | Language::Japanese | Language::Mandarin => return None,
    })
}

/// Symbols that espeak-ng writes with a tie (here `^`), and Kokoro's (`misaki/espeak.py: EspeakG2P.e2m`).
const SYMBOLS: [(&str, &str); 11] = [
    ("a^ɪ", "I"),
    ("a^ʊ", "W"),
    ("d^z", "ʣ"),
    ("d^ʒ", "ʤ"),
    ("e^ɪ", "A"),
    ("o^ʊ", "O"),
    ("s^s", "S"),
    ("t^s", "ʦ"),
    ("t^ʃ", "ʧ"),
    ("ɔ^ɪ", "Y"),
    ("ə^ʊ", "Q"),
];

/// Phonemes of `text`, which is in the language with the [`code`] `language`.
///
/// # Errors
///
/// espeak-ng doesn't answer.
pub fn phonemes(espeak: &dyn Phonemizer, language: &'static str, text: &str) -> Result<String, G2pError> {
    if text.trim().is_empty() {
        return Ok(String::new());
    }
    // Brackets would be taken for language flags; angles are punctuation that the text no longer has.
    let text = text.replace('«', "“").replace('»', "”").replace('(', "«").replace(')', "»");
    let ipa = phonemize(espeak, language, &text, Flags::Remove).ok_or_else(|| G2pError::Unspoken {
        espeak: espeak.name().to_owned(),
        language,
        text: text.clone(),
    })?;
    let kokoro = SYMBOLS.iter().fold(ipa.trim().to_owned(), |text, (from, to)| text.replace(from, to));
    Ok(kokoro.replace(['^', '-'], "").replace('«', "(").replace('»', ")"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says a fixed text.
    struct Says(&'static str);

    impl Phonemizer for Says {
        fn speak(&self, _language: &str, _text: &str) -> Option<String> {
            Some(self.0.to_owned())
        }

        fn name(&self) -> &str {
            "says"
        }
    }

    #[test]
    fn symbols_and_brackets() {
        let say = |ipa, text| phonemes(&Says(ipa), "it", text).unwrap();
        assert_eq!(say("t^ʃˈao", "Ciao!"), "ʧˈao!");
        assert_eq!(say("ˈa^ɪ ʒə- (en)x(fr)", "«hay» (je)"), "“ˈI ʒə x” (ˈI ʒə x)");
        assert_eq!(say("x", "  "), "");
    }

    #[test]
    fn a_library_that_is_named_has_to_work() {
        let error = installed(Some(Path::new("/nowhere/libespeak-ng.so"))).err().unwrap();
        assert!(error.to_string().contains("/nowhere/libespeak-ng.so"), "{error}");
    }
}
