//! Reads the tables that jieba and pypinyin come with: Python literals and JSON, which agree in what these files use (dictionaries, lists, tuples,
//! strings, numbers).

use std::borrow::Cow;

/// A position in a literal. Reading is by what is expected next, so no tree is built of files with a million values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Literal<'t> {
    rest: &'t str,
    whole: &'t str,
}

impl<'t> Literal<'t> {
    /// The literal that follows the first `after` in `text`; an empty `after` is the start.
    pub(crate) fn after(text: &'t str, after: &str) -> Result<Self, String> {
        match text.find(after) {
            Some(at) => Ok(Self { rest: &text[at + after.len()..], whole: text }),
            None => Err(format!("`{after}` is missing")),
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// The next character that isn't white space.
    pub(crate) fn peek(&mut self) -> Option<char> {
        self.skip_space();
        self.rest.chars().next()
    }

    /// Takes `mark` if it comes next.
    pub(crate) fn take(&mut self, mark: char) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes `mark`, which has to come next.
    pub(crate) fn expect(&mut self, mark: char) -> Result<(), String> {
        if self.take(mark) { Ok(()) } else { Err(self.complain(&format!("`{mark}`"))) }
    }

    /// Calls `each` for every element between `open` and `close`; commas are taken here.
    pub(crate) fn each(
        &mut self,
        open: char,
        close: char,
        mut each: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.expect(open)?;
        while !self.take(close) {
            each(self)?;
            if !self.take(',') && self.peek() != Some(close) {
                return Err(self.complain(&format!("`,` or `{close}`")));
            }
        }
        Ok(())
    }

    /// A string in either quotes.
    pub(crate) fn text(&mut self) -> Result<Cow<'t, str>, String> {
        let quote = match self.peek() {
            Some(quote @ ('\'' | '"')) => quote,
            _ => return Err(self.complain("a string")),
        };
        let inside = &self.rest[1..];
        let end = inside.find([quote, '\\']).ok_or_else(|| self.complain("the end of a string"))?;
        if inside[end..].starts_with(quote) {
            self.rest = &inside[end + 1..];
            return Ok(Cow::Borrowed(&inside[..end]));
        }
        self.escaped(quote).map(Cow::Owned)
    }

    /// A string with escapes; `rest` is at its quote.
    fn escaped(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        let mut characters = self.rest[1..].char_indices();
        while let Some((at, character)) = characters.next() {
            if character == quote {
                self.rest = &self.rest[1 + at + 1..];
                return Ok(text);
            }
            if character != '\\' {
                text.push(character);
                continue;
            }
            let digits = match characters.next() {
                Some((_, 'u')) => 4,
                Some((_, 'U')) => 8,
                Some((_, plain @ ('\\' | '\'' | '"' | '/'))) => {
                    text.push(plain);
                    continue;
                }
                _ => return Err(self.complain("a known escape")),
            };
            let mut code = 0;
            for _ in 0..digits {
                let digit = characters.next().and_then(|(_, digit)| digit.to_digit(16));
                code = code * 16 + digit.ok_or_else(|| self.complain("a hexadecimal digit"))?;
            }
            text.push(char::from_u32(code).ok_or_else(|| self.complain("a character"))?);
        }
        Err(self.complain("the end of a string"))
    }

    /// A string of one character.
    pub(crate) fn character(&mut self) -> Result<char, String> {
        let text = self.text()?;
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => Ok(character),
            _ => Err(self.complain("one character")),
        }
    }

    /// A number.
    pub(crate) fn number(&mut self) -> Result<f64, String> {
        self.skip_space();
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        let number = number.parse().map_err(|_| self.complain("a number"))?;
        self.rest = rest;
        Ok(number)
    }

    fn complain(&self, wanted: &str) -> String {
        let line = self.whole[..self.whole.len() - self.rest.len()].lines().count();
        let found: String = self.rest.chars().take(20).collect();
        format!("line {line}: {wanted} was expected, not `{found}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read() {
        let source = "x = 1\nP={'\\u4e00': (('B', 'm'),\n ('S', 'm')), \"二\": ()}";
        let mut literal = Literal::after(source, "P=").unwrap();
        let mut found = Vec::new();
        literal
            .each('{', '}', |literal| {
                let key = literal.character()?;
                literal.expect(':')?;
                literal.each('(', ')', |literal| {
                    literal.each('(', ')', |literal| {
                        found.push((key, literal.text()?.into_owned()));
                        Ok(())
                    })
                })
            })
            .unwrap();
        let expected = [('一', "B"), ('一', "m"), ('一', "S"), ('一', "m")].map(|(key, text)| (key, text.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn numbers_and_damage() {
        let number = |text| Literal::after(text, "").and_then(|mut literal| literal.number());
        assert_eq!(number(" -3.14e+100,"), Ok(-3.14e100));
        assert!(number("x").unwrap_err().contains("a number"));
        assert!(Literal::after("a", "P=").is_err());
        for broken in ["'a", "'\\q'", "'\\u12'", "'\\", "5"] {
            assert!(Literal::after(broken, "").and_then(|mut literal| literal.text().map(drop)).is_err(), "{broken}");
        }
        let list = Literal::after("[1 2]", "").and_then(|mut list| list.each('[', ']', |list| list.number().map(drop)));
        assert!(list.is_err());
    }
}
