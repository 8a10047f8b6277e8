//! Some columns of a matrix.

/// Rows of a matrix of which some columns are meant.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// `[rows, stride]`, row-major.
    pub values: &'a [f32],
    /// Values of a row.
    pub stride: usize,
    /// The first column.
    pub first: usize,
    /// Number of columns.
    pub width: usize,
}

impl<'a> Columns<'a> {
    /// All columns of `[rows, width]`.
    #[must_use]
    pub fn all(values: &'a [f32], width: usize) -> Self {
        Self { values, stride: width, first: 0, width }
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.values.len() / self.stride.max(1)
    }

    /// Whether there are whole rows that have such columns.
    pub(super) fn is_whole(&self) -> bool {
        self.width > 0 && self.first + self.width <= self.stride && self.values.len().is_multiple_of(self.stride)
    }

    /// What begins with a row's column; the rest of the matrix follows.
    #[inline(always)]
    pub(super) fn from(&self, row: usize, column: usize) -> &'a [f32] {
        &self.values[row * self.stride + self.first + column..]
    }
}
