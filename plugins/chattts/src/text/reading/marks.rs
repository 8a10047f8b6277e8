//! The last step: signs become words or pauses, marks become those that the model knows.

use super::super::Language;
use super::super::characters::is_chinese;
use super::words::by;

/// A slash after one of these means "per".
const PRICED: [char; 9] = ['元', '块', '角', '斤', '克', '吨', '次', '万', '千'];
const ENGLISH_PRICED: [&str; 6] = ["dollars", "dollar", "cents", "euros", "pounds", "yuan"];

/// What a character becomes.
enum Mark {
    /// A word of its own, in Chinese and English.
    Word(&'static str, &'static str),
    /// The end of a sentence.
    Stop,
    /// A short pause.
    Pause,
    /// Room between words.
    Space,
    /// Nothing.
    Nothing,
    /// Stays.
    Itself,
}

fn mark(character: char) -> Mark {
    match character {
        '?' | '？' | '!' | '！' | '…' | '‼' | '⁇' | '⁈' | '⁉' | '.' | '。' => Mark::Stop,
        ',' | '，' | '、' | ';' | '；' | ':' | '：' | '(' | ')' | '（' | '）' | '[' | ']' | '{' | '}' | '<' | '>'
        | '【' | '】' | '〔' | '〕' | '〖' | '〗' | '『' | '』' | '「' | '」' | '《' | '》' | '〈' | '〉' | '—'
        | '–' | '―' | '─' | '|' | '→' | '⇒' => Mark::Pause,
        '-' | '_' | '\\' | '·' | '・' | '•' => Mark::Space,
        '"' | '“' | '”' | '„' | '«' | '»' | '\'' | '`' | '*' | '#' | '^' | '~' | '©' | '®' | '™' | '●' | '■' | '◆'
        | '▪' | '○' | '□' | '◇' | '★' | '☆' => Mark::Nothing,
        '&' => Mark::Word("和", "and"),
        '@' => Mark::Word("艾特", "at"),
        '+' => Mark::Word("加", "plus"),
        '=' => Mark::Word("等于", "equals"),
        '×' => Mark::Word("乘", "times"),
        '÷' => Mark::Word("除以", "divided by"),
        '/' => Mark::Word("或", "or"),
        '%' => Mark::Word("百分号", "percent"),
        '°' => Mark::Word("度", "degrees"),
        '$' => Mark::Word("美元", "dollars"),
        '€' => Mark::Word("欧元", "euros"),
        '£' => Mark::Word("英镑", "pounds"),
        '¥' => Mark::Word("元", "yuan"),
        '±' => Mark::Word("正负", "plus or minus"),
        '≈' => Mark::Word("约等于", "is about"),
        '≤' => Mark::Word("小于等于", "is at most"),
        '≥' => Mark::Word("大于等于", "is at least"),
        '∞' => Mark::Word("无穷大", "infinity"),
        'α' => Mark::Word("阿尔法", "alpha"),
        'β' => Mark::Word("贝塔", "beta"),
        'γ' => Mark::Word("伽马", "gamma"),
        'δ' | 'Δ' => Mark::Word("德尔塔", "delta"),
        'θ' => Mark::Word("西塔", "theta"),
        'λ' => Mark::Word("兰姆达", "lambda"),
        'μ' => Mark::Word("缪", "mu"),
        'π' => Mark::Word("派", "pi"),
        'σ' => Mark::Word("西格马", "sigma"),
        'φ' => Mark::Word("斐", "phi"),
        'Ω' | 'ω' => Mark::Word("欧米伽", "omega"),
        _ => Mark::Itself,
    }
}

/// Marks that are only in Chinese text.
fn is_full_width(mark: char) -> bool {
    matches!(mark, '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ff65}')
}

/// What is written, and what was written last.
struct Writer {
    out: String,
    /// Of the words before.
    language: Language,
    /// Whether something was said before this stretch.
    continues: bool,
}

impl Writer {
    fn last(&self) -> Option<char> {
        self.out.chars().rev().find(|c| *c != ' ')
    }

    fn space(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with([' ', '\n']) {
            self.out.push(' ');
        }
    }

    /// Writes a pause or a stop for `mark`. A stop outranks a pause, and neither comes twice or first.
    fn pause(&mut self, mark: char, is_stop: bool) {
        let language = if is_full_width(mark) { Language::Chinese } else { self.language };
        let stop = by(language, "。", ".");
        let pause = by(language, "，", ",");
        match self.last() {
            Some('\n' | '.' | '。') => {}
            None if !self.continues => {}
            Some(',' | '，') if is_stop => {
                self.out.truncate(self.out.trim_end_matches([' ', ',', '，']).len());
                self.out.push_str(stop);
            }
            Some(',' | '，') => {}
            _ => {
                self.out.truncate(self.out.trim_end_matches(' ').len());
                self.out.push_str(if is_stop { stop } else { pause });
            }
        }
    }

    /// English words need room, after marks too.
    fn room(&mut self) {
        if self.out.ends_with(|c: char| c.is_ascii_alphanumeric() || ",.".contains(c)) {
            self.out.push(' ');
        }
    }
}

/// `text` with nothing but letters, pauses and stops, and what can't be read. `default` is the language of marks that follow no word;
/// `continues` says that the text goes on after a control tag.
pub(super) fn clear(text: &str, default: Language, continues: bool) -> String {
    let mut writer = Writer { out: String::with_capacity(text.len()), language: default, continues };
    let mut characters = text.chars().peekable();
    let mut after_pause = false;
    while let Some(character) = characters.next() {
        let follows_letter = writer.out.ends_with(|c: char| c.is_ascii_alphanumeric());
        let precedes_letter = characters.peek().is_some_and(char::is_ascii_alphanumeric);
        match mark(character) {
            // "Node.js" is one word.
            Mark::Stop if character == '.' && follows_letter && precedes_letter => writer.out.push('.'),
            // "rock'n'roll" too, and "a - b" is a pause.
            Mark::Space if character == '-' && !(follows_letter && precedes_letter) => {
                let is_dash = writer.out.ends_with(' ') && characters.peek() == Some(&' ');
                if is_dash { writer.pause(character, false) } else { writer.space() }
            }
            Mark::Stop => writer.pause(character, true),
            Mark::Pause => {
                writer.pause(character, false);
                after_pause = true;
                continue;
            }
            Mark::Space => writer.space(),
            Mark::Nothing => {}
            // Five yuan a piece.
            Mark::Word(..) if character == '/' && writer.out.ends_with(PRICED) => writer.out.push('每'),
            Mark::Word(..) if character == '/' && ENGLISH_PRICED.iter().any(|word| writer.out.ends_with(word)) => {
                writer.out.push_str(" per ");
            }
            // A share's name.
            Mark::Word(..) if character == '$' && precedes_letter => {}
            Mark::Word(chinese, english) => match writer.language {
                Language::Chinese => writer.out.push_str(chinese),
                Language::English => {
                    writer.space();
                    writer.out.push_str(english);
                    if characters.peek().is_some_and(|c| *c != ' ') {
                        writer.out.push(' ');
                    }
                }
            },
            Mark::Itself => match character {
                ' ' => {
                    writer.space();
                    continue;
                }
                '\n' => {
                    writer.pause(character, true);
                    if writer.last().is_some_and(|c| c != '\n') {
                        writer.out.truncate(writer.out.trim_end_matches(' ').len());
                        writer.out.push_str(if writer.out.ends_with('.') { " \n" } else { "\n" });
                    }
                }
                letter => {
                    if letter.is_ascii_alphabetic() {
                        writer.language = Language::English;
                        if after_pause {
                            writer.room();
                        }
                    } else if is_chinese(letter) {
                        writer.language = Language::Chinese;
                    }
                    writer.out.push(letter);
                }
            },
        }
        after_pause = false;
    }
    writer.out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_cleared() {
        for (text, wanted) in [
            ("Really?! Yes!!", "Really. Yes."),
            ("你好？！再见……", "你好。再见。"),
            ("\"Quoted\" 'text' “引号”", "Quoted text 引号"),
            ("one (two) three", "one, two, three"),
            ("书《红楼梦》。好", "书，红楼梦。好"),
            ("well-known Node.js", "well known Node.js"),
            ("yes - no", "yes, no"),
            ("a—b", "a, b"),
            ("R&D", "R and D"),
            ("男/女", "男或女"),
            ("九元/份", "九元每份"),
            ("first\nsecond.\n\nthird", "first. \nsecond. \nthird"),
            ("一\n二", "一。\n二"),
            ("...well", "well"),
            ("约翰·史密斯", "约翰 史密斯"),
            ("**bold** # title", "bold title"),
            ("好的~", "好的"),
            ("hi 😀", "hi 😀"),
            (" 前后 ", "前后 "),
        ] {
            assert_eq!(clear(text, Language::English, false), wanted, "{text}");
        }
        assert_eq!(clear("，好", Language::English, false), "好");
        assert_eq!(clear("，好", Language::Chinese, true), "，好");
    }
}
