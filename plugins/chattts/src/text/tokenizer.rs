//! Text to ids and back: BERT's WordPiece with the model's control tokens.
//!
//! Source: ChatTTS `model/tokenizer.py`.

use std::path::Path;

use super::TextError;

/// Columns of ids: codes of four codebooks, or a text's id four times.
const CODEBOOKS: usize = 4;
/// Id of what fills short rows.
const PAD: i64 = 0;

/// A batch of texts as ids. Short rows are filled on the left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// `[rows, length, 4]`
    pub ids: Vec<Vec<[i64; CODEBOOKS]>>,
    /// `[rows, length]`; false where a row is filled.
    pub attention: Vec<Vec<bool>>,
    /// `[rows, length]`; true where ids are of text, not codes or filling.
    pub text_mask: Vec<Vec<bool>>,
}

impl Encoded {
    /// Positions of every row.
    pub fn len(&self) -> usize {
        self.ids.first().map_or(0, Vec::len)
    }

    /// Whether there is no position.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The tokenizer of a release.
pub struct Tokenizer(tokenizers::Tokenizer);

impl Tokenizer {
    /// Reads `tokenizer.json` in the release's folder `asset/tokenizer`.
    ///
    /// # Errors
    /// The file can't be read or is no tokenizer.
    pub fn load(dir: &Path) -> Result<Self, TextError> {
        let path = dir.join("tokenizer.json");
        let json = std::fs::read(&path).map_err(|source| TextError::Read { path: path.clone(), source })?;
        let format = |reason: String| TextError::Format { path: path.clone(), reason };
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(json).map_err(|e| format(e.to_string()))?;
        // The file asks for 256 ids, always; the reference doesn't do that.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| format(e.to_string()))?;
        Ok(Self(tokenizer))
    }

    /// The id of a control token: `[Stts]`.
    ///
    /// # Errors
    /// There is no such token.
    pub fn special(&self, name: &str) -> Result<u32, TextError> {
        let token = self.0.token_to_id(name).filter(|_| self.is_special(name));
        token.ok_or_else(|| TextError::NoToken { name: name.to_owned() })
    }

    fn is_special(&self, name: &str) -> bool {
        self.0.get_added_vocabulary().is_special_token(name)
    }

    /// Every control token and its id.
    pub fn specials(&self) -> Vec<(String, u32)> {
        let added = self.0.get_added_vocabulary().get_added_tokens_decoder();
        added.iter().filter(|(_, token)| token.special).map(|(id, token)| (token.content.clone(), *id)).collect()
    }

    /// How many tokens there are; the text embedding has as many rows.
    pub fn vocabulary_size(&self) -> usize {
        self.0.get_vocab_size(true)
    }

    /// Ids of one text.
    fn ids(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let encoding = self.0.encode_fast(text, false);
        Ok(encoding.map_err(|e| TextError::Tokenize(e.to_string()))?.get_ids().to_vec())
    }

    /// The tokens of one text, to look at.
    ///
    /// # Errors
    /// The tokenizer fails.
    pub fn tokens(&self, text: &str) -> Result<Vec<String>, TextError> {
        let name = |id: u32| self.0.id_to_token(id).unwrap_or_default();
        Ok(self.ids(text)?.into_iter().map(name).collect())
    }

    /// A batch of texts; the codes of `prompt`, if there is one (`[4, steps]`), follow each of them.
    ///
    /// # Errors
    /// The tokenizer fails, or the prompt's rows are not four of the same length.
    pub fn encode<T: AsRef<str>>(&self, texts: &[T], prompt: Option<&[&[u16]]>) -> Result<Encoded, TextError> {
        let rows = texts.iter().map(|text| self.ids(text.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let codes = prompt.map_or(Ok(Vec::new()), columns)?;
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut encoded = Encoded { ids: Vec::new(), attention: Vec::new(), text_mask: Vec::new() };
        for row in rows {
            let filling = longest - row.len();
            let text = row.into_iter().map(|id| [i64::from(id); CODEBOOKS]);
            let ids = std::iter::repeat_n([PAD; CODEBOOKS], filling).chain(text).chain(codes.iter().copied());
            encoded.ids.push(ids.collect());
            let positions = 0..longest + codes.len();
            encoded.attention.push(positions.clone().map(|at| at >= filling).collect());
            encoded.text_mask.push(positions.map(|at| (filling..longest).contains(&at)).collect());
        }
        Ok(encoded)
    }

    /// The text of ids, control tokens included; Chinese characters come back with spaces between them.
    ///
    /// # Errors
    /// The tokenizer fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TextError> {
        let text = self.0.decode(ids, false).map_err(|e| TextError::Tokenize(e.to_string()))?;
        Ok(clean_up(&text))
    }
}

/// Spaces before marks and contractions are taken away (transformers `clean_up_tokenization`).
fn clean_up(text: &str) -> String {
    [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Codes by position.
fn columns(prompt: &[&[u16]]) -> Result<Vec<[i64; CODEBOOKS]>, TextError> {
    let wrong = || TextError::Prompt { lengths: prompt.iter().map(|row| row.len()).collect(), rows: CODEBOOKS };
    let rows: [&[u16]; CODEBOOKS] = prompt.try_into().map_err(|_| wrong())?;
    if rows.iter().any(|row| row.len() != rows[0].len()) {
        return Err(wrong());
    }
    Ok((0..rows[0].len()).map(|at| rows.map(|row| i64::from(row[at]))).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A tokenizer like the release's, with a few words.
    fn tokenizer() -> Tokenizer {
        let special = |id: u32, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
        let names = ["[PAD]", "[UNK]", "[Stts]", "[Ptts]"];
        let words = ["hello", "##s", "你", "好", ".", "'", "s", "it"];
        let vocabulary: serde_json::Map<String, serde_json::Value> =
            names.iter().chain(&words).enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
        let json = json!({
            "version": "1.0",
            "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
            "padding": {"strategy": {"Fixed": 4}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
            "added_tokens": names.iter().zip(0..).map(|(name, id)| special(id, name)).collect::<Vec<_>>(),
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": null,
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary},
        });
        let dir = std::env::temp_dir().join(format!("syrinx-chattts-tokenizer-{:?}", std::thread::current().id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("tokenizer.json"), json.to_string()).unwrap();
        let tokenizer = Tokenizer::load(&dir).unwrap();
        std::fs::remove_dir_all(dir).unwrap();
        tokenizer
    }

    #[test]
    fn batches_are_filled_on_the_left() {
        let tokenizer = tokenizer();
        let encoded = tokenizer.encode(&["[Stts]Hellos 你好. x[Ptts]", "[Stts]"], None).unwrap();
        let ids = |row: &[u16]| row.iter().map(|id| [i64::from(*id); 4]).collect::<Vec<_>>();
        assert_eq!(encoded.ids, [ids(&[2, 4, 5, 6, 7, 8, 1, 3]), ids(&[0, 0, 0, 0, 0, 0, 0, 2])]);
        assert_eq!(encoded.attention[1], [false, false, false, false, false, false, false, true]);
        assert_eq!(encoded.text_mask, encoded.attention);
        assert_eq!(tokenizer.encode(&[""; 0], None).unwrap().len(), 0);
    }

    #[test]
    fn audio_prompts_follow_the_text() {
        let rows: [&[u16]; 4] = [&[1, 2], &[3, 4], &[5, 6], &[7, 8]];
        let encoded = tokenizer().encode(&["hello", ""], Some(&rows)).unwrap();
        assert_eq!(encoded.ids[0], [[4; 4], [1, 3, 5, 7], [2, 4, 6, 8]]);
        assert_eq!(encoded.attention, [[true, true, true], [false, true, true]]);
        assert_eq!(encoded.text_mask, [[true, false, false], [false, false, false]]);
        for wrong in [&rows[..3], &[&[1][..], &[1], &[1], &[]]] {
            assert!(matches!(tokenizer().encode(&["hello"], Some(wrong)), Err(TextError::Prompt { .. })));
        }
    }

    #[test]
    fn texts_come_back() {
        let tokenizer = tokenizer();
        assert_eq!(tokenizer.decode(&[2, 4, 5, 6, 7, 8, 3]).unwrap(), "[Stts] hellos 你 好. [Ptts]");
        assert_eq!(tokenizer.decode(&[11, 9, 10]).unwrap(), "it's");
        assert_eq!(tokenizer.decode(&[]).unwrap(), "");
        assert_eq!(tokenizer.tokens("Hellos").unwrap(), ["hello", "##s"]);
    }

    #[test]
    fn control_tokens() {
        let tokenizer = tokenizer();
        assert_eq!(tokenizer.special("[Stts]").unwrap(), 2);
        assert!(matches!(tokenizer.special("[speed_10]"), Err(TextError::NoToken { .. })));
        assert!(tokenizer.special("hello").is_err());
        assert_eq!(tokenizer.specials().len(), 4);
        assert_eq!(tokenizer.vocabulary_size(), 12);
        assert!(matches!(Tokenizer::load(Path::new("nowhere")), Err(TextError::Read { .. })));
    }
}
