//! Word and character error rates.

/// Edits that turn a hypothesis into the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorRate {
    /// Substitutions, deletions and insertions.
    pub errors: usize,
    /// Units of the reference.
    pub total: usize,
}

impl ErrorRate {
    /// Errors per unit of the reference, percent; 0 if there is none.
    #[must_use]
    pub fn percent(self) -> f64 {
        if self.total == 0 { 0.0 } else { 100.0 * self.errors as f64 / self.total as f64 }
    }
}

impl std::ops::Add for ErrorRate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { errors: self.errors + other.errors, total: self.total + other.total }
    }
}

/// Errors per word, words separated by white space.
#[must_use]
pub fn word_errors(reference: &str, hypothesis: &str) -> ErrorRate {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    edits(&words(reference), &words(hypothesis))
}

/// Errors per character, white space aside.
#[must_use]
pub fn character_errors(reference: &str, hypothesis: &str) -> ErrorRate {
    let characters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<Vec<_>>();
    edits(&characters(reference), &characters(hypothesis))
}

/// Levenshtein distance, one row at a time.
fn edits<T: PartialEq>(reference: &[T], hypothesis: &[T]) -> ErrorRate {
    let mut row: Vec<usize> = (0..=hypothesis.len()).collect();
    for (i, wanted) in reference.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, got) in hypothesis.iter().enumerate() {
            let substituted = diagonal + usize::from(wanted != got);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    ErrorRate { errors: row[hypothesis.len()], total: reference.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substitutions_insertions_and_deletions_count_once() {
        assert_eq!(word_errors("a b c d", "a x c d e").errors, 2);
        assert_eq!(word_errors("a b c", "").percent(), 100.0);
        assert_eq!(character_errors("希望 你", "希 望我").percent(), 100.0 / 3.0);
        assert_eq!(word_errors("", "").percent(), 0.0);
    }
}
