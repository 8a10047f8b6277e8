//! One view of a request's fields, whatever it was sent as.

use super::{base64_text, json_lenient};
use crate::{
    http::error::{ApiError, clip},
    memory::Reservation,
};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// A file of a request. Its name and announced type carry no information, so they are not kept.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    /// The bytes.
    pub(crate) data: Bytes,
    /// The memory of the whole request, for as long as any file of it is there.
    _held: Option<Arc<Reservation>>,
}

impl Upload {
    /// A file of these bytes.
    pub(crate) fn new(data: Bytes) -> Self {
        Self { data, _held: None }
    }
}

impl PartialEq for Upload {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

/// One value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    /// A part of a form: text, whatever it means.
    Text(String),
    /// A part of a form with a file name.
    File(Upload),
    /// A member of a JSON body.
    Json(Value),
}

impl Item {
    /// Whether it is text with nothing in it.
    fn is_blank(&self) -> bool {
        matches!(self, Self::Text(text) | Self::Json(Value::String(text)) if text.trim().is_empty())
    }
}

/// The fields by name. Repeated names are lists, and `name[]` is `name`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    items: BTreeMap<String, Vec<Item>>,
    /// Memory that the request takes.
    held: Option<Arc<Reservation>>,
}

/// The field that holds further fields.
const KWARGS: &str = "kwargs";

impl Fields {
    /// The members of a JSON body.
    ///
    /// # Errors
    /// When it is not JSON, even leniently, or not an object.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, ApiError> {
        let members = object(text)?;
        let mut fields = Self::default();
        for (name, value) in members {
            fields.add(&name, Item::Json(value))?;
        }
        Ok(fields)
    }

    /// Keeps the memory of the request reserved as long as these fields or files of them are there.
    pub(crate) fn hold(&mut self, reservation: Reservation) {
        self.held = Some(Arc::new(reservation));
    }

    /// Adds a field under its plain name.
    ///
    /// # Errors
    /// When `name[member]` meets a `name` that is no object.
    pub(crate) fn add(&mut self, name: &str, item: Item) -> Result<(), ApiError> {
        if item == Item::Json(Value::Null) {
            return Ok(()); // Null means "not given" everywhere.
        }
        let Some((name, member)) = name.strip_suffix(']').and_then(|name| name.split_once('[')) else {
            self.items.entry(name.to_owned()).or_default().push(item);
            return Ok(());
        };
        let values = self.items.entry(name.to_owned()).or_default();
        if member.is_empty() {
            values.push(item);
            return Ok(());
        }
        let value = match item {
            Item::Text(text) => Value::from(text),
            Item::Json(value) => value,
            Item::File(_) => {
                return Err(ApiError::invalid(
                    name.to_owned(),
                    format!("`{}[{}]` can't be a file", clip(name), clip(member)),
                ));
            }
        };
        if values.is_empty() {
            values.push(Item::Json(Value::Object(Map::new())));
        }
        match values.last_mut() {
            Some(Item::Json(Value::Object(members))) => {
                members.insert(member.to_owned(), value);
                Ok(())
            }
            _ => Err(ApiError::invalid(
                name.to_owned(),
                format!("`{}` is given as a value and as an object", clip(name)),
            )),
        }
    }

    /// Lays the members of `kwargs` over the other fields; says whether there was a `kwargs` field at all, since only
    /// Xinference's client sends one.
    ///
    /// # Errors
    /// When `kwargs` is neither an object nor the JSON text of one.
    pub(crate) fn unpack_kwargs(&mut self) -> Result<bool, ApiError> {
        let members = self.object(KWARGS)?;
        let given = self.items.remove(KWARGS).is_some();
        for (name, value) in members.unwrap_or_default() {
            if !value.is_null() && name != KWARGS {
                let name = name.strip_suffix("[]").unwrap_or(&name).to_owned();
                self.items.insert(name, vec![Item::Json(value)]);
            }
        }
        Ok(given)
    }

    /// The last value of a field. Empty text is as good as none.
    fn last(&self, name: &str) -> Option<&Item> {
        self.items.get(name)?.last().filter(|item| !item.is_blank())
    }

    /// Text that may be empty.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn raw_text(&self, name: &'static str) -> Result<Option<Cow<'_, str>>, ApiError> {
        match self.items.get(name).and_then(|items| items.last()) {
            None => Ok(None),
            Some(Item::Text(text) | Item::Json(Value::String(text))) => Ok(Some(Cow::Borrowed(text))),
            Some(Item::File(upload)) => std::str::from_utf8(&upload.data)
                .map(|text| Some(Cow::Borrowed(text)))
                .map_err(|_| ApiError::invalid(name, format!("`{name}` must be text in UTF-8, not a file"))),
            Some(Item::Json(other)) => Err(wrong_type(name, "text", other)),
        }
    }

    /// Text; empty means none.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>, ApiError> {
        Ok(self.raw_text(name)?.filter(|text| !text.trim().is_empty()).map(Cow::into_owned))
    }

    /// Text that must be there.
    ///
    /// # Errors
    /// When it is missing, empty or something else.
    pub(crate) fn required_text(&self, name: &'static str) -> Result<String, ApiError> {
        self.text(name)?.ok_or_else(|| ApiError::invalid(name, format!("`{name}` is required")))
    }

    /// A finite number.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn number(&self, name: &'static str) -> Result<Option<f64>, ApiError> {
        let number = match self.last(name) {
            None => return Ok(None),
            Some(Item::Json(value @ Value::Number(number))) => {
                number.as_f64().ok_or_else(|| wrong_type(name, "a number", value))?
            }
            Some(Item::Text(text) | Item::Json(Value::String(text))) => text
                .trim()
                .parse::<f64>()
                .map_err(|_| ApiError::invalid(name, format!("`{name}` must be a number, not \"{}\"", clip(text))))?,
            Some(Item::Json(other)) => return Err(wrong_type(name, "a number", other)),
            Some(Item::File(_)) => {
                return Err(ApiError::invalid(name, format!("`{name}` must be a number, not a file")));
            }
        };
        if !number.is_finite() {
            return Err(ApiError::invalid(name, format!("`{name}` must be a finite number")));
        }
        Ok(Some(number))
    }

    /// True or false: `true/false/1/0/yes/no` in any case.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn boolean(&self, name: &'static str) -> Result<Option<bool>, ApiError> {
        let wrong = |given: &str| {
            ApiError::invalid(
                name,
                format!("`{name}` must be true or false (also 1/0, yes/no), not \"{}\"", clip(given)),
            )
        };
        match self.last(name) {
            None => Ok(None),
            Some(Item::Json(Value::Bool(value))) => Ok(Some(*value)),
            Some(Item::Text(text) | Item::Json(Value::String(text))) => {
                truth(text.trim()).map(Some).ok_or_else(|| wrong(text))
            }
            Some(Item::Json(other)) => truth(&other.to_string()).map(Some).ok_or_else(|| wrong(&other.to_string())),
            Some(Item::File(_)) => Err(wrong("a file")),
        }
    }

    /// A list of texts: repeated fields, a JSON array, or the JSON text of one. Empty items are left out.
    ///
    /// # Errors
    /// When an item is something else.
    pub(crate) fn list(&self, name: &'static str) -> Result<Vec<String>, ApiError> {
        let mut list = Vec::new();
        for item in self.items.get(name).into_iter().flatten() {
            match item {
                Item::Text(text) if text.trim_start().starts_with('[') => match json_lenient::parse(text.as_bytes()) {
                    Ok(Value::Array(items)) => push_texts(name, &items, &mut list)?,
                    _ => list.push(text.clone()),
                },
                Item::Text(text) | Item::Json(Value::String(text)) => list.push(text.clone()),
                Item::Json(Value::Array(items)) => push_texts(name, items, &mut list)?,
                Item::Json(other) => return Err(wrong_type(name, "a list of texts", other)),
                Item::File(_) => {
                    return Err(ApiError::invalid(name, format!("`{name}` must be a list of texts, not a file")));
                }
            }
        }
        list.retain(|text| !text.trim().is_empty());
        Ok(list)
    }

    /// An object, or the JSON text of one.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn object(&self, name: &'static str) -> Result<Option<Map<String, Value>>, ApiError> {
        let parsed = match self.last(name) {
            None => return Ok(None),
            Some(Item::Json(Value::String(text)) | Item::Text(text)) => json_lenient::parse(text.as_bytes())
                .map_err(|error| ApiError::invalid(name, format!("`{name}` is not valid JSON: {error}")))?,
            Some(Item::Json(value)) => value.clone(),
            Some(Item::File(upload)) => json_lenient::parse(&upload.data)
                .map_err(|error| ApiError::invalid(name, format!("`{name}` is not valid JSON: {error}")))?,
        };
        match parsed {
            Value::Object(members) => Ok(Some(members)),
            Value::Null => Ok(None),
            other => Err(wrong_type(name, "a JSON object", &other)),
        }
    }

    /// A file: a part of a form, base64 text or a `data:` URL.
    ///
    /// # Errors
    /// When it is empty or something else. It is never a path or an address.
    pub(crate) fn file(&self, name: &'static str) -> Result<Option<Upload>, ApiError> {
        match self.last(name) {
            None => Ok(None),
            Some(Item::File(upload)) => self.usable(name, upload.data.clone()).map(Some),
            Some(Item::Text(text) | Item::Json(Value::String(text))) => self.encoded(name, text).map(Some),
            Some(Item::Json(other)) => Err(wrong_type(name, "a file, or its bytes as base64 text", other)),
        }
    }

    /// Files: parts of a form, texts as for [`file`](Self::file), a JSON array of such texts, or the JSON text of one.
    ///
    /// # Errors
    /// When one is empty or something else.
    pub(crate) fn files(&self, name: &'static str) -> Result<Vec<Upload>, ApiError> {
        let mut files = Vec::new();
        for item in self.items.get(name).into_iter().flatten() {
            match item {
                Item::File(upload) => files.push(self.usable(name, upload.data.clone())?),
                text if text.is_blank() => {}
                Item::Text(text) if text.trim_start().starts_with('[') => match json_lenient::parse(text.as_bytes()) {
                    Ok(Value::Array(items)) => self.push_files(name, &items, &mut files)?,
                    _ => files.push(self.encoded(name, text)?),
                },
                Item::Text(text) | Item::Json(Value::String(text)) => files.push(self.encoded(name, text)?),
                Item::Json(Value::Array(items)) => self.push_files(name, items, &mut files)?,
                Item::Json(other) => return Err(wrong_type(name, "a list of files as base64 text", other)),
            }
        }
        Ok(files)
    }

    /// Adds the files of a JSON array.
    fn push_files(&self, name: &'static str, items: &[Value], files: &mut Vec<Upload>) -> Result<(), ApiError> {
        for item in items {
            match item {
                Value::String(text) => files.push(self.encoded(name, text)?),
                Value::Null => {}
                other => return Err(wrong_type(name, "a list of files as base64 text", other)),
            }
        }
        Ok(())
    }

    /// A file that came as text.
    fn encoded(&self, name: &'static str, text: &str) -> Result<Upload, ApiError> {
        let data = base64_text::decode(text)
            .map_err(|error| ApiError::invalid(name, format!("`{name}` can't be used: {error}")))?;
        self.usable(name, data)
    }

    /// A file that isn't empty, with the memory it needs.
    fn usable(&self, name: &'static str, data: Bytes) -> Result<Upload, ApiError> {
        if data.is_empty() {
            return Err(ApiError::invalid(name, format!("`{name}` is an empty file")));
        }
        Ok(Upload { data, _held: self.held.clone() })
    }

    /// Whether a field is given, as anything but empty text.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.last(name).is_some()
    }

    /// An object as for [`object`](Self::object); none too when the field is just `word`.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn object_or_word(
        &self,
        name: &'static str,
        word: &str,
    ) -> Result<Option<Map<String, Value>>, ApiError> {
        match self.last(name) {
            Some(Item::Text(text) | Item::Json(Value::String(text))) if text.trim() == word => Ok(None),
            _ => self.object(name),
        }
    }

    /// A field as it is, for those whose type the model knows. Text of a form stays text.
    pub(crate) fn parameter(&self, name: &str) -> Option<Value> {
        let mut values: Vec<Value> = self
            .items
            .get(name)?
            .iter()
            .filter_map(|item| match item {
                Item::Text(text) if text.is_empty() => None,
                Item::Text(text) => Some(Value::from(text.as_str())),
                Item::Json(value) => Some(value.clone()),
                Item::File(_) => None,
            })
            .collect();
        match values.len() {
            0 => None,
            1 => values.pop(),
            _ => Some(Value::from(values)),
        }
    }

    /// The last value of a field as it is.
    pub(crate) fn last_parameter(&self, name: &str) -> Option<Value> {
        match self.last(name)? {
            Item::Text(text) => Some(Value::from(text.as_str())),
            Item::Json(value) => Some(value.clone()),
            Item::File(_) => None,
        }
    }

    /// The names of all fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.items.keys().map(String::as_str)
    }
}

/// Parses a body that must be a JSON object.
///
/// # Errors
/// 400 when it is not JSON, even leniently, or not an object.
pub(crate) fn object(text: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let value = json_lenient::parse(text)
        .map_err(|error| ApiError::bad_request(format!("the request body is not valid JSON: {error}")))?;
    match value {
        Value::Object(members) => Ok(members),
        other => {
            let message = format!("the request body must be a JSON object, not {}", name_of_type(&other));
            Err(ApiError::bad_request(message))
        }
    }
}

/// Adds the texts of a JSON array.
fn push_texts(name: &'static str, items: &[Value], list: &mut Vec<String>) -> Result<(), ApiError> {
    for item in items {
        match item {
            Value::String(text) => list.push(text.clone()),
            Value::Null => {}
            other => return Err(wrong_type(name, "a list of texts", other)),
        }
    }
    Ok(())
}

/// What a text says of truth.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

/// 400: the field has another type.
fn wrong_type(name: &'static str, wanted: &str, given: &Value) -> ApiError {
    ApiError::invalid(name, format!("`{name}` must be {wanted}, not {}", name_of_type(given)))
}

/// A JSON type in words.
pub(crate) fn name_of_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(json: Value) -> Fields {
        Fields::from_json(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn numbers_booleans_and_lists_in_both_dialects() {
        let json = fields(json!({"speed": 1.5, "stream": true, "languages": ["en", "de"], "one": "x", "n": null}));
        let mut form = Fields::default();
        for (name, text) in
            [("speed", "1.5"), ("stream", "True"), ("languages[]", "en"), ("languages", "de"), ("one", "x"), ("n", "")]
        {
            form.add(name, Item::Text(text.to_owned())).unwrap();
        }
        for fields in [json, form] {
            assert_eq!(fields.number("speed").unwrap(), Some(1.5));
            assert_eq!(fields.boolean("stream").unwrap(), Some(true));
            assert_eq!(fields.list("languages").unwrap(), ["en", "de"]);
            assert_eq!(fields.list("one").unwrap(), ["x"]);
            assert_eq!(fields.text("n").unwrap(), None);
            assert_eq!(fields.number("n").unwrap(), None);
            assert_eq!(fields.boolean("missing").unwrap(), None);
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let mut form = Fields::default();
        for text in ["fast", "nan", "inf", "-infinity", "1e999", "0x10"] {
            form.add("speed", Item::Text(text.to_owned())).unwrap();
            assert!(form.number("speed").is_err(), "{text}");
        }
        assert!(fields(json!({"speed": true})).number("speed").is_err());
        assert!(fields(json!({"speed": [1]})).number("speed").is_err());
    }

    #[test]
    fn kwargs_lie_over_the_rest() {
        let mut all = fields(json!({"seed": 1, "kwargs": "{\"seed\": 7, \"emo_alpha\": 0.5, \"prompt_text\": null}"}));
        assert!(all.unpack_kwargs().unwrap());
        assert_eq!(all.parameter("seed"), Some(json!(7)));
        assert_eq!(all.parameter("emo_alpha"), Some(json!(0.5)));
        assert_eq!(all.parameter("prompt_text"), None);
        assert!(!fields(json!({"seed": 1})).unpack_kwargs().unwrap());
        assert!(fields(json!({"kwargs": {}})).unpack_kwargs().unwrap());
        for bad in [json!("[1]"), json!("{"), json!(3), json!([]), json!("None of this")] {
            assert!(fields(json!({"kwargs": bad})).unpack_kwargs().is_err());
        }
    }

    #[test]
    fn files_are_never_paths() {
        assert!(fields(json!({"file": "../a.wav"})).file("file").is_err());
        assert!(fields(json!({"file": "http://127.0.0.1/a.wav"})).file("file").is_err());
        assert!(fields(json!({"file": "data:audio/wav;base64,"})).file("file").is_err());
        assert_eq!(fields(json!({"file": " "})).file("file").unwrap(), None);
        assert!(fields(json!({"file": {"a": 1}})).file("file").is_err());
        assert_eq!(fields(json!({"file": "UklGRg=="})).file("file").unwrap().unwrap().data, "RIFF");
        assert_eq!(fields(json!({})).file("file").unwrap(), None);
    }

    #[test]
    fn empty_text_means_not_given() {
        let mut form = Fields::default();
        for name in ["text", "number", "boolean", "object", "file", "list[]"] {
            form.add(name, Item::Text(" ".to_owned())).unwrap();
        }
        let json = fields(json!({"text": "", "number": "", "boolean": " ", "object": "", "file": "", "list": [""]}));
        for fields in [form, json] {
            assert_eq!(fields.text("text").unwrap(), None);
            assert_eq!(fields.number("number").unwrap(), None);
            assert_eq!(fields.boolean("boolean").unwrap(), None);
            assert_eq!(fields.object("object").unwrap(), None);
            assert_eq!(fields.file("file").unwrap(), None);
            assert!(fields.list("list").unwrap().is_empty());
            assert!(!fields.has("text"));
        }
    }

    #[test]
    fn white_space_around_numbers_and_booleans_does_not_matter() {
        let mut form = Fields::default();
        form.add("number", Item::Text(" 1 \n".to_owned())).unwrap();
        form.add("boolean", Item::Text(" Yes ".to_owned())).unwrap();
        assert_eq!((form.number("number").unwrap(), form.boolean("boolean").unwrap()), (Some(1.0), Some(true)));
        // Repeated, the last one counts.
        form.add("number", Item::Text("2".to_owned())).unwrap();
        assert_eq!(form.number("number").unwrap(), Some(2.0));
    }

    #[test]
    fn lists_of_files() {
        let mut form = Fields::default();
        form.add("a[]", Item::File(Upload::new("RIFF".into()))).unwrap();
        form.add("a[]", Item::Text("data:audio/wav;base64,UklGRg==".into())).unwrap();
        assert_eq!(form.files("a").unwrap().len(), 2);
        form.add("b", Item::Text("[\"UklGRg==\", \"UklGRg==\"]".into())).unwrap();
        assert_eq!(form.files("b").unwrap()[1].data, "RIFF");
        assert_eq!(fields(json!({"a": ["UklGRg=="]})).files("a").unwrap().len(), 1);
        assert!(fields(json!({"a": "UklGRg=="})).files("b").unwrap().is_empty());
        for bad in [json!([1]), json!({"a": 1}), json!(["**"]), json!(["data:;base64,"])] {
            assert!(fields(json!({"a": bad})).files("a").is_err());
        }
    }

    #[test]
    fn members_make_an_object() {
        let mut form = Fields::default();
        form.add("vad[type]", Item::Text("server_vad".into())).unwrap();
        form.add("vad[threshold]", Item::Text("0.5".into())).unwrap();
        assert_eq!(form.object("vad").unwrap().unwrap().len(), 2);
        form.add("model", Item::Text("x".into())).unwrap();
        assert!(form.add("model[a]", Item::Text("x".into())).is_err());
    }
}
