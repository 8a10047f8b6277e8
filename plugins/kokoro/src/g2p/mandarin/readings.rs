//! How characters are read: phrases with their own readings first, then single characters.
//!
//! Reference: `pypinyin` 0.55 (`core.py`, `seg/mmseg.py`, `seg/simpleseg.py`), and for the v1.1 front end the phrases of `pypinyin-dict`; both MIT,
//! © mozillazg.

use std::collections::HashMap;
use std::path::Path;

use super::literal::Literal;
use super::pinyin::Syllable;
use crate::g2p::error::{G2pError, read_text};
use crate::g2p::sorted::{Collector, SortedWords};

/// Phrases that the v1.1 front end reads its own way (`misaki/zh_frontend.py: ZHFrontend.__init__`, Apache-2.0, © PaddlePaddle authors).
const V1_1_PHRASES: [(&str, &[&str]); 16] = [
    ("开户行", &["kāi", "hù", "háng"]),
    ("发卡行", &["fà", "kǎ", "háng"]),
    ("放款行", &["fàng", "kuǎn", "háng"]),
    ("茧行", &["jiǎn", "háng"]),
    ("行号", &["háng", "hào"]),
    ("各地", &["gè", "dì"]),
    ("借还款", &["jiè", "huán", "kuǎn"]),
    ("时间为", &["shí", "jiān", "wéi"]),
    ("为准", &["wéi", "zhǔn"]),
    ("色差", &["sè", "chā"]),
    ("嗲", &["diǎ"]),
    ("呗", &["bei"]),
    ("不", &["bù"]),
    ("咗", &["zuo"]),
    ("嘞", &["lei"]),
    ("掺和", &["chān", "huo"]),
];

/// Single characters that it reads its own way.
const V1_1_SINGLES: [(char, &str); 1] = [('地', "de")];

/// Readings of phrases and characters.
#[derive(Debug)]
pub(crate) struct Readings {
    syllables: Vec<Syllable>,
    /// Phrase → where its syllables start in `phrase_syllables`, and how many there are.
    phrases: SortedWords<(u32, u16)>,
    phrase_syllables: Vec<u16>,
    singles: HashMap<char, u16>,
}

/// What stands for a character, or for a run of characters that have no reading.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reading<'r, 't> {
    /// A character's syllable.
    Syllable(&'r Syllable),
    /// Text that isn't Chinese, as it is.
    Text(&'t str),
}

#[derive(Default)]
struct Builder {
    syllables: Vec<Syllable>,
    numbers: HashMap<String, u16>,
    phrases: Collector<(u32, u16)>,
    phrase_syllables: Vec<u16>,
    singles: HashMap<char, u16>,
}

impl Builder {
    /// The number of a spelling.
    fn syllable(&mut self, spelling: &str) -> Result<u16, String> {
        if let Some(&number) = self.numbers.get(spelling) {
            return Ok(number);
        }
        let number = u16::try_from(self.syllables.len()).map_err(|_| "too many different syllables".to_owned())?;
        self.syllables.push(Syllable::parse(spelling));
        self.numbers.insert(spelling.to_owned(), number);
        Ok(number)
    }

    fn phrase(&mut self, phrase: &str, start: usize) -> Result<(), String> {
        let too_long = || format!("the phrase `{phrase}` is too long");
        let count = u16::try_from(self.phrase_syllables.len() - start).map_err(|_| too_long())?;
        let start = u32::try_from(start).map_err(|_| too_long())?;
        if self.phrases.add(phrase, (start, count)) { Ok(()) } else { Err(too_long()) }
    }

    /// Reads `{"词": [["cí"], …], …}`. Of several readings of a character the first counts.
    fn phrases(&mut self, mut table: Literal<'_>) -> Result<(), String> {
        table.each('{', '}', |table| {
            let phrase = table.text()?;
            table.expect(':')?;
            let start = self.phrase_syllables.len();
            table.each('[', ']', |table| {
                let mut first = None;
                table.each('[', ']', |table| {
                    let spelling = table.text()?;
                    if first.is_none() {
                        first = Some(self.syllable(&spelling)?);
                    }
                    Ok(())
                })?;
                let number = first.map_or_else(|| self.syllable(""), Ok)?;
                self.phrase_syllables.push(number);
                Ok(())
            })?;
            self.phrase(&phrase, start)
        })
    }

    /// Reads `{"<code point>": "dì,de", …}`.
    fn singles(&mut self, mut table: Literal<'_>) -> Result<(), String> {
        table.each('{', '}', |table| {
            let code = table.text()?;
            table.expect(':')?;
            let readings = table.text()?;
            let character = code.parse().ok().and_then(char::from_u32);
            let character = character.ok_or_else(|| format!("`{code}` is no character"))?;
            let number = self.syllable(readings.split(',').next().unwrap_or_default())?;
            self.singles.insert(character, number);
            Ok(())
        })
    }

    fn finish(self) -> Readings {
        let Builder { syllables, phrases, mut phrase_syllables, mut singles, .. } = self;
        phrase_syllables.shrink_to_fit();
        singles.shrink_to_fit();
        Readings { syllables, phrases: phrases.finish(), phrase_syllables, singles }
    }
}

/// Characters that dictionaries have readings for (`pypinyin/constants.py: RE_HANS`).
fn is_chinese(character: char) -> bool {
    matches!(character,
        '\u{3007}' | '\u{e815}'..='\u{e864}' | '\u{fa18}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2a6df}' | '\u{2a703}'..='\u{2b73f}' | '\u{2b740}'..='\u{2b81d}'
        | '\u{2b825}'..='\u{2bf6e}' | '\u{2c029}'..='\u{2ce93}' | '\u{2d016}' | '\u{2d11b}'..='\u{2ebd9}'
        | '\u{2f80a}'..='\u{2fa1f}' | '\u{30000}'..='\u{3134a}' | '\u{31350}'..='\u{32389}')
}

impl Readings {
    /// Reads pypinyin's `phrases_dict.json` and `pinyin_dict.json` in `dir`.
    pub(crate) fn load(dir: &Path) -> Result<Self, G2pError> {
        let mut builder = Builder::default();
        builder.load(dir)?;
        Ok(builder.finish())
    }

    /// The same, overlaid with the phrases of `pypinyin-dict` (`large_pinyin_*.py` in `large_dir`) and those of the v1.1 front end.
    pub(crate) fn load_v1_1(dir: &Path, large_dir: &Path) -> Result<Self, G2pError> {
        let mut builder = Builder::default();
        builder.load(dir)?;
        for number in 0.. {
            let path = large_dir.join(format!("large_pinyin_{number}.py"));
            if number > 0 && !path.exists() {
                break;
            }
            let text = read_text(&path)?;
            Literal::after(&text, "phrases_dict =")
                .and_then(|table| builder.phrases(table))
                .map_err(|reason| G2pError::format(&path, reason))?;
        }
        builder.load_own().map_err(|reason| G2pError::format(large_dir, reason))?;
        Ok(builder.finish())
    }

    /// Readings of `text`, a syllable per Chinese character and the rest as it is.
    pub(crate) fn read<'r, 't>(&'r self, text: &'t str) -> Vec<Reading<'r, 't>> {
        let mut readings = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let chinese = is_chinese(first);
            let end = rest.find(|c| is_chinese(c) != chinese).unwrap_or(rest.len());
            let (run, after) = rest.split_at(end);
            rest = after;
            if chinese {
                self.read_chinese(run, &mut readings);
            } else {
                readings.push(Reading::Text(run));
            }
        }
        readings
    }

    /// Always takes the longest phrase that the text goes on with.
    fn read_chinese<'r, 't>(&'r self, run: &'t str, readings: &mut Vec<Reading<'r, 't>>) {
        let mut rest = run;
        while let Some(first) = rest.chars().next() {
            let mut among = self.phrases.all();
            let mut found = None;
            for (at, character) in rest.char_indices() {
                let end = at + character.len_utf8();
                among = self.phrases.with_prefix(among, &rest[..end]);
                if among.is_empty() {
                    break;
                }
                if let Some(phrase) = self.phrases.exact(&among, &rest[..end]) {
                    found = Some((phrase, end));
                }
            }
            let end = match found {
                Some(((start, count), end)) => {
                    let numbers = &self.phrase_syllables[start as usize..start as usize + usize::from(count)];
                    readings.extend(numbers.iter().map(|&number| Reading::Syllable(self.numbered(number))));
                    end
                }
                None => {
                    let end = first.len_utf8();
                    readings.push(match self.singles.get(&first) {
                        Some(&number) => Reading::Syllable(self.numbered(number)),
                        None => Reading::Text(&rest[..end]),
                    });
                    end
                }
            };
            rest = &rest[end..];
        }
    }

    fn numbered(&self, number: u16) -> &Syllable {
        &self.syllables[usize::from(number)]
    }
}

impl Builder {
    fn load(&mut self, dir: &Path) -> Result<(), G2pError> {
        let path = dir.join("phrases_dict.json");
        let text = read_text(&path)?;
        Literal::after(&text, "")
            .and_then(|table| self.phrases(table))
            .map_err(|reason| G2pError::format(&path, reason))?;
        let path = dir.join("pinyin_dict.json");
        let text = read_text(&path)?;
        Literal::after(&text, "")
            .and_then(|table| self.singles(table))
            .map_err(|reason| G2pError::format(&path, reason))
    }

    fn load_own(&mut self) -> Result<(), String> {
        for (phrase, spellings) in V1_1_PHRASES {
            let start = self.phrase_syllables.len();
            for spelling in spellings {
                let number = self.syllable(spelling)?;
                self.phrase_syllables.push(number);
            }
            self.phrase(phrase, start)?;
        }
        for (character, spelling) in V1_1_SINGLES {
            let number = self.syllable(spelling)?;
            self.singles.insert(character, number);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings() -> Readings {
        let mut builder = Builder::default();
        let phrases = r#"{"银行": [["yín"], ["háng", "xíng"]], "银行家里": [["yín"], ["háng"], ["jiā"], ["lǐ"]]}"#;
        Literal::after(phrases, "").and_then(|table| builder.phrases(table)).unwrap();
        let singles = r#"{"23478": "jiā,gū,jia", "34892": "xíng,háng"}"#;
        Literal::after(singles, "").and_then(|table| builder.singles(table)).unwrap();
        builder.finish()
    }

    fn read(text: &str) -> String {
        let readings = readings();
        let spelled = readings.read(text).into_iter().map(|reading| match reading {
            Reading::Syllable(syllable) => format!("{}{}", syllable.letters, syllable.tone),
            Reading::Text(text) => format!("({text})"),
        });
        spelled.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_longest_phrase_wins() {
        assert_eq!(read("银行家"), "yin2 hang2 jia1");
        assert_eq!(read("银行家里"), "yin2 hang2 jia1 li3");
        assert_eq!(read("行家AB家"), "xing2 jia1 (AB) jia1");
        assert_eq!(read("银"), "(银)");
        assert_eq!(read(""), "");
    }
}
