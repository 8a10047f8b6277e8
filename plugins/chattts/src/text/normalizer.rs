//! Leaves only characters that the model knows.
//!
//! Source: ChatTTS `norm.py: Normalizer.__call__`, step for step; [`super::reading`] comes before it.

use super::language::is_word_character;
use super::{Homophones, Language, characters, cut_tags, detect, reading, split};

/// A site's own rules for one language: from a stretch between tags to what is read.
pub type Rules = Box<dyn Fn(&str) -> String + Send + Sync>;

/// What is done to a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormalizeOptions {
    /// Apply rules of the language, and write marks of Chinese text in their Chinese form (`do_text_normalization`).
    pub rules: bool,
    /// Write numbers, dates, signs … as words first, which the reference doesn't: it drops them. Needs `rules`.
    pub reading: bool,
    /// Replace rare characters by their homophones (`do_homophone_replacement`).
    pub homophones: bool,
    /// The text's language; `None`: find out.
    pub language: Option<Language>,
}

impl Default for NormalizeOptions {
    fn default() -> Self {
        Self { rules: true, reading: true, homophones: true, language: None }
    }
}

/// A text as the model knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normalized {
    /// The text.
    pub text: String,
    /// What had to be left out, each character once. White space isn't listed.
    pub dropped: Vec<char>,
}

/// The normaliser.
#[derive(Default)]
pub struct Normalizer {
    homophones: Homophones,
    chinese: Option<Rules>,
    english: Option<Rules>,
}

impl Normalizer {
    /// A normaliser with this table.
    pub fn new(homophones: Homophones) -> Self {
        Self { homophones, ..Self::default() }
    }

    /// Adds rules for a language, applied after numbers and signs were written as words (the reference's `register`).
    #[must_use]
    pub fn with_rules(mut self, language: Language, rules: Rules) -> Self {
        *match language {
            Language::Chinese => &mut self.chinese,
            Language::English => &mut self.english,
        } = Some(rules);
        self
    }

    /// Normalises one text that is spoken as a whole.
    pub fn normalize(&self, text: &str, options: NormalizeOptions) -> Normalized {
        let language = options.language.unwrap_or_else(|| detect(text));
        if options.rules && options.reading {
            self.finish(&reading::read(text, language), language, options)
        } else {
            self.finish(text, language, options)
        }
    }

    /// Cuts a text into parts and normalises each. It is read first, so that a dot in "3 p.m. today" or "Mr. Smith" ends no sentence; parts
    /// without a word are left out, unless something was dropped from them.
    pub fn parts(&self, text: &str, options: NormalizeOptions) -> Vec<Normalized> {
        let read = match options.rules && options.reading {
            true => reading::read(text, options.language.unwrap_or_else(|| detect(text))),
            false => text.to_owned(),
        };
        let part = |part: &String| self.finish(part, options.language.unwrap_or_else(|| detect(part)), options);
        let has_words = |part: &Normalized| part.text.chars().any(|c| c.is_alphabetic()) || !part.dropped.is_empty();
        split(&read).iter().map(part).filter(has_words).collect()
    }

    /// What the reference does.
    fn finish(&self, text: &str, language: Language, options: NormalizeOptions) -> Normalized {
        let mut dropped = Dropped::default();
        let mut text = text.to_owned();
        if options.rules {
            let rules = match language {
                Language::Chinese => &self.chinese,
                Language::English => &self.english,
            };
            if let Some(rules) = rules {
                let mut tagged = cut_tags(&text);
                tagged.stretches.iter_mut().for_each(|stretch| *stretch = rules(stretch));
                dropped.add(&tagged.lost);
                text = tagged.join();
            }
            if language == Language::Chinese {
                text = text.chars().map(characters::full_width).collect();
            }
        }
        let has_unknown = without_tags(&text).chars().any(|c| !characters::is_known(c));
        if has_unknown {
            text = text.chars().map(characters::simplified).collect();
        }
        if options.homophones {
            text = self.homophones.replace(&text);
        }
        if has_unknown {
            let mut tagged = cut_tags(&text);
            for stretch in &mut tagged.stretches {
                let (known, unknown) = stretch.chars().partition::<String, _>(|c| characters::is_known(*c));
                dropped.add(&unknown);
                *stretch = known;
            }
            dropped.add(&tagged.lost);
            text = tagged.join();
        }
        Normalized { text, dropped: dropped.0 }
    }
}

/// Characters that were left out.
#[derive(Default)]
struct Dropped(Vec<char>);

impl Dropped {
    fn add(&mut self, characters: &str) {
        for character in characters.chars().filter(|c| !c.is_whitespace()) {
            if !self.0.contains(&character) {
                self.0.push(character);
            }
        }
    }
}

/// The text without brackets around word characters.
fn without_tags(text: &str) -> String {
    let mut rest = text;
    let mut out = String::with_capacity(text.len());
    while let Some(open) = rest.find('[') {
        let inside = &rest[open + 1..];
        let end = inside.find(|c| !is_word_character(c)).unwrap_or(inside.len());
        let is_tag = end > 0 && inside[end..].starts_with(']');
        let next = if is_tag { open + 1 + end + 1 } else { open + 1 };
        out.push_str(if is_tag { &rest[..open] } else { &rest[..next] });
        rest = &rest[next..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: NormalizeOptions =
        NormalizeOptions { rules: true, reading: false, homophones: true, language: None };

    fn text(text: &str, options: NormalizeOptions) -> String {
        Normalizer::default().normalize(text, options).text
    }

    #[test]
    fn as_the_reference() {
        for (given, wanted) in [
            ("", ""),
            ("123", ""),
            ("x [ uv_break ] y!", "x [ uv_break ] y."),
            ("[unclosed 12", ""),
            ("Really? yes!", "Really yes."),
            ("[laugh]哈哈：好！[uv_break]再见", "[laugh]哈哈，好。[uv_break]再见"),
            ("[[a]]!", "[a]."),
            ("(a)-b<c>d", ",a,,b,c,d"),
            ("hi\nthere", "hithere"),
            ("你好, 100%?", "你好， "),
        ] {
            assert_eq!(text(given, REFERENCE), wanted, "{given}");
        }
        assert_eq!(text("ok!", NormalizeOptions { language: Some(Language::Chinese), ..REFERENCE }), "ok。");
        assert_eq!(text("好!", NormalizeOptions { rules: false, ..REFERENCE }), "好.");
        assert_eq!(text("3", NormalizeOptions { rules: false, ..NormalizeOptions::default() }), "");
    }

    #[test]
    fn what_is_dropped_is_told() {
        let dropped = |text: &str, options| Normalizer::default().normalize(text, options).dropped;
        assert_eq!(dropped("a 😀 1 😀\n[b", REFERENCE), ['😀', '1', '[', 'b']);
        assert_eq!(dropped("日本のテスト 1", NormalizeOptions::default()), ['の', 'テ', 'ス', 'ト']);
        assert_eq!(dropped("it costs $5, ok?", NormalizeOptions::default()), []);
    }

    #[test]
    fn rules_see_what_is_between_tags() {
        let rules = |word: &'static str| -> Rules { Box::new(move |text| text.replace('3', word)) };
        let normalizer = Normalizer::default()
            .with_rules(Language::Chinese, rules("三"))
            .with_rules(Language::English, rules("three"));
        let text = |text: &str| normalizer.normalize(text, REFERENCE).text;
        assert_eq!(text("我有3[break_3]"), "我有三[break_3]");
        assert_eq!(text("3[break_3] cats"), "three[break_3] cats");
    }

    #[test]
    fn parts_are_cut_after_reading() {
        let parts = |text: &str| -> Vec<String> {
            let parts = Normalizer::default().parts(text, NormalizeOptions::default());
            parts.into_iter().map(|part| part.text).collect()
        };
        assert_eq!(
            parts("Mr. Smith came at 3 p.m. today. Did he?"),
            ["Mister Smith came at three p m today. ", "Did he."]
        );
        assert_eq!(parts("第一行\n\n...\n第2行"), ["第一行。", "第二行"]);
        assert_eq!(parts(""), [""; 0]);
    }
}
