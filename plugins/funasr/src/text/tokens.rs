//! The list of tokens of models that spell in characters and word pieces.

use std::collections::HashMap;

/// Tokens and their ids.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    list: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Tokens {
    /// Takes a list; a token's id is its place in it.
    #[must_use]
    pub fn new(list: Vec<String>) -> Self {
        let ids = list.iter().enumerate().rev().map(|(id, token)| (token.clone(), id as u32)).collect();
        Self { list, ids }
    }

    /// Number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A token's text.
    #[must_use]
    pub fn text(&self, id: u32) -> &str {
        self.list.get(id as usize).map_or("", String::as_str)
    }

    /// A token's id; of unknown ones that of the last, `<unk>`.
    #[must_use]
    pub fn id(&self, token: &str) -> u32 {
        self.ids.get(token).copied().unwrap_or_else(|| self.list.len().saturating_sub(1) as u32)
    }

    /// A token's id, if it is known.
    #[must_use]
    pub fn known(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }
}
