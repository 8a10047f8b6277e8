//! The normal form for English: contractions spelled out, titles too, numbers in digits, American spelling.
//!
//! Source: openai/whisper `whisper/normalizers/english.py: EnglishTextNormalizer`.

use regex::Regex;

use super::basic::{single_spaces, without_diacritics, without_notes};
use super::numbers::Numbers;
use super::spelling::american;

/// Numeric signs that survive.
const NUMERIC_SIGNS: &str = ".%$¢€£";

/// Sounds of hesitation.
const HESITATION: &str = r"\b(hmm|mm|mhm|mmm|uh|um)\b";

/// Patterns and what replaces them, applied in this order.
const REPLACEMENTS: [(&str, &str); 49] = [
    // contractions that are words of their own
    (r"\bwon't\b", "will not"),
    (r"\bcan't\b", "can not"),
    (r"\blet's\b", "let us"),
    (r"\bain't\b", "aint"),
    (r"\by'all\b", "you all"),
    (r"\bwanna\b", "want to"),
    (r"\bgotta\b", "got to"),
    (r"\bgonna\b", "going to"),
    (r"\bi'ma\b", "i am going to"),
    (r"\bimma\b", "i am going to"),
    (r"\bwoulda\b", "would have"),
    (r"\bcoulda\b", "could have"),
    (r"\bshoulda\b", "should have"),
    (r"\bma'am\b", "madam"),
    // titles
    (r"\bmr\b", "mister "),
    (r"\bmrs\b", "missus "),
    (r"\bst\b", "saint "),
    (r"\bdr\b", "doctor "),
    (r"\bprof\b", "professor "),
    (r"\bcapt\b", "captain "),
    (r"\bgov\b", "governor "),
    (r"\bald\b", "alderman "),
    (r"\bgen\b", "general "),
    (r"\bsen\b", "senator "),
    (r"\brep\b", "representative "),
    (r"\bpres\b", "president "),
    (r"\brev\b", "reverend "),
    (r"\bhon\b", "honorable "),
    (r"\basst\b", "assistant "),
    (r"\bassoc\b", "associate "),
    (r"\blt\b", "lieutenant "),
    (r"\bcol\b", "colonel "),
    (r"\bjr\b", "junior "),
    (r"\bsr\b", "senior "),
    (r"\besq\b", "esquire "),
    // perfect tenses
    (r"'d been\b", " had been"),
    (r"'s been\b", " has been"),
    (r"'d gone\b", " had gone"),
    (r"'s gone\b", " has gone"),
    (r"'d done\b", " had done"),
    (r"'s got\b", " has got"),
    // endings
    (r"n't\b", " not"),
    (r"'re\b", " are"),
    (r"'s\b", " is"),
    (r"'d\b", " would"),
    (r"'ll\b", " will"),
    (r"'t\b", " not"),
    (r"'ve\b", " have"),
    (r"'m\b", " am"),
];

/// Patterns for what is left after the words.
const AFTER_WORDS: [(&str, &str); 2] = [
    (r"(\d),(\d)", "$1$2"),   // commas between digits
    (r"\.([^0-9]|$)", " $1"), // periods that are no decimal points
];

/// Patterns for signs that lost their number.
const LONELY_SIGNS: [(&str, &str); 2] = [(r"[.$¢€£]([^0-9])", " $1"), (r"([^0-9])%", "$1 ")];

/// The normaliser, patterns compiled.
pub struct English {
    hesitation: Regex,
    before_apostrophe: Regex,
    replacements: Vec<(Regex, &'static str)>,
    after_words: Vec<(Regex, &'static str)>,
    numbers: Numbers,
    lonely_signs: Vec<(Regex, &'static str)>,
}

/// A pattern of this file.
pub(super) fn pattern(text: &str) -> Regex {
    #[expect(clippy::expect_used, reason = "the patterns are constants, compiled by the tests")]
    Regex::new(text).expect("a valid pattern")
}

/// Compiles a table of patterns.
pub(super) fn patterns(table: &[(&str, &'static str)]) -> Vec<(Regex, &'static str)> {
    table.iter().map(|(text, replacement)| (pattern(text), *replacement)).collect()
}

/// Replaces all matches, table entry after table entry.
pub(super) fn replace_all(text: String, table: &[(Regex, &str)]) -> String {
    table.iter().fold(text, |text, (pattern, replacement)| pattern.replace_all(&text, *replacement).into_owned())
}

impl English {
    /// Compiles the patterns.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hesitation: pattern(HESITATION),
            before_apostrophe: pattern(r"\s+'"),
            replacements: patterns(&REPLACEMENTS),
            after_words: patterns(&AFTER_WORDS),
            numbers: Numbers::new(),
            lonely_signs: patterns(&LONELY_SIGNS),
        }
    }

    /// Brings a text into the English normal form.
    #[must_use]
    pub fn normalize(&self, text: &str) -> String {
        let text = without_notes(&text.to_lowercase());
        let text = self.hesitation.replace_all(&text, "");
        let text = self.before_apostrophe.replace_all(&text, "'").into_owned();
        let text = replace_all(text, &self.replacements);
        let text = replace_all(text, &self.after_words);
        let text = without_diacritics(&text, NUMERIC_SIGNS);
        let text = self.numbers.normalize(&text);
        let text = text.split_whitespace().map(american).collect::<Vec<_>>().join(" ");
        single_spaces(&replace_all(text, &self.lonely_signs))
    }
}

impl Default for English {
    fn default() -> Self {
        Self::new()
    }
}
