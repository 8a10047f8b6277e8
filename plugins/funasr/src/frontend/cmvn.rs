//! Normalisation by statistics of the training data, from `am.mvn`.

use std::path::Path;

use crate::error::FunasrError;

/// `(x + shift) · scale`, value by value.
#[derive(Clone, Debug, PartialEq)]
pub struct Cmvn {
    shift: Vec<f32>,
    scale: Vec<f32>,
}

impl Cmvn {
    /// Reads Kaldi's text form: the numbers in brackets after `<AddShift>` and after `<Rescale>`.
    ///
    /// # Errors
    /// The file can't be read, or lacks either list.
    pub fn read(path: &Path) -> Result<Self, FunasrError> {
        let text = std::fs::read_to_string(path).map_err(|error| FunasrError::file(path, error))?;
        let list = |tag: &str| -> Result<Vec<f32>, FunasrError> {
            let missing = || FunasrError::file(path, format!("has no list of numbers after {tag}"));
            let (_, after) = text.split_once(tag).ok_or_else(missing)?;
            let (_, after) = after.split_once('[').ok_or_else(missing)?;
            let (numbers, _) = after.split_once(']').ok_or_else(missing)?;
            numbers.split_whitespace().map(|number| number.parse().map_err(|_| missing())).collect()
        };
        let (shift, scale) = (list("<AddShift>")?, list("<Rescale>")?);
        if shift.is_empty() || shift.len() != scale.len() {
            return Err(FunasrError::file(path, "its two lists are of different lengths, or empty"));
        }
        Ok(Self { shift, scale })
    }

    /// Number of values.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.shift.len()
    }

    /// What is added first.
    #[must_use]
    pub fn shift(&self) -> &[f32] {
        &self.shift
    }

    /// What is multiplied by then.
    #[must_use]
    pub fn scale(&self) -> &[f32] {
        &self.scale
    }

    /// Normalises rows in place.
    pub fn apply(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.dim()) {
            for ((value, shift), scale) in row.iter_mut().zip(&self.shift).zip(&self.scale) {
                *value = (*value + shift) * scale;
            }
        }
    }
}
