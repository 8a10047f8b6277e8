//! Keys and values of the tokens that all sessions were fed: a row per token, in buffers that live as long as the model.
//!
//! Rows never move. Which of them a beam consists of is in its session's [`Lineage`](crate::model::cache::Lineage), so that reordering
//! beams copies a few numbers in the host's memory, and sessions of different lengths are a table of row numbers to the device.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{Result, Tensor};

use super::layers::Target;

/// Rows numbered from 0, of which some are free.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// First free row of a run, and the row behind it. Runs don't touch.
    free: BTreeMap<usize, usize>,
    rows: usize,
}

impl Ledger {
    /// Takes the lowest `count` free rows that follow each other.
    pub(super) fn take(&mut self, count: usize) -> Option<Range<usize>> {
        let (&first, &end) = self.free.iter().find(|(first, end)| *end - *first >= count)?;
        self.free.remove(&first);
        if first + count < end {
            self.free.insert(first + count, end);
        }
        Some(first..first + count)
    }

    /// Gives rows back.
    pub(super) fn give(&mut self, rows: Range<usize>) {
        if rows.is_empty() {
            return;
        }
        let before = self.free.range(..rows.start).next_back().map(|(&first, &end)| (first, end));
        let first = match before {
            Some((first, end)) if end == rows.start => first,
            _ => rows.start,
        };
        let end = self.free.remove(&rows.end).unwrap_or(rows.end);
        self.free.insert(first, end);
    }

    /// Adds free rows at the end, so that there are `rows`.
    fn grow(&mut self, rows: usize) {
        let added = self.rows..rows.max(self.rows);
        self.rows = added.end;
        self.give(added);
    }

    /// The number of rows that is to be made of the present one, so that `count` more fit behind all that is taken.
    fn larger(&self, count: usize) -> usize {
        let tail = match self.free.last_key_value() {
            Some((&first, &end)) if end == self.rows => end - first,
            _ => 0,
        };
        (2 * self.rows).max(self.rows + count - tail.min(count))
    }
}

/// Buffers of one shape for each decoder layer, whose first dimension grows when it is used up.
#[derive(Debug)]
pub(super) struct Buffers {
    ledger: Ledger,
    /// `[rows, …]` each
    buffers: Vec<Tensor>,
}

impl Buffers {
    /// `count` buffers of `rows` rows of the shape `row`.
    pub(super) fn new(target: &Target, count: usize, rows: usize, row: &[usize]) -> Result<Self> {
        let shape: Vec<usize> = [&[rows], row].concat();
        let buffer = |_| Tensor::zeros(&shape[..], target.dtype, &target.device);
        let buffers = (0..count).map(buffer).collect::<Result<_>>()?;
        let mut ledger = Ledger::default();
        ledger.grow(rows);
        Ok(Self { ledger, buffers })
    }

    /// Takes `count` rows that follow each other; there are more rows if there have to be.
    pub(super) fn take(&mut self, count: usize) -> Result<Range<usize>> {
        if let Some(rows) = self.ledger.take(count) {
            return Ok(rows);
        }
        let larger = self.ledger.larger(count);
        for buffer in &mut self.buffers {
            let mut shape = buffer.dims().to_vec();
            shape[0] = larger.max(shape[0]);
            let grown = Tensor::zeros(&shape[..], buffer.dtype(), buffer.device())?;
            grown.slice_set(buffer, 0, 0)?;
            *buffer = grown;
        }
        // Now that all have grown: memory may run out in between.
        self.ledger.grow(larger);
        self.ledger.take(count).ok_or_else(|| candle_core::Error::Msg(format!("no {count} rows in {larger}")))
    }

    /// Gives rows back.
    pub(super) fn give(&mut self, rows: Range<usize>) {
        self.ledger.give(rows);
    }

    /// A layer's buffer.
    pub(super) fn layer(&self, layer: usize) -> &Tensor {
        &self.buffers[layer]
    }

    /// Writes rows from `first` on.
    pub(super) fn write(&self, layer: usize, first: usize, rows: &Tensor) -> Result<()> {
        self.buffers[layer].slice_set(rows, 0, first)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn rows_that_are_given_back_join_their_neighbours() {
        let mut ledger = Ledger::default();
        ledger.grow(10);
        let taken: Vec<_> = (0..5).map(|_| ledger.take(2).unwrap()).collect();
        assert_eq!(ledger.take(1), None);
        for index in [1, 3, 2] {
            ledger.give(taken[index].clone());
        }
        assert_eq!(ledger.free, BTreeMap::from([(2, 8)]));
        assert_eq!(ledger.take(5), Some(2..7));
        ledger.give(taken[4].clone());
        assert_eq!(ledger.take(4), None);
        assert_eq!(ledger.larger(4), 20);
        ledger.give(taken[0].clone());
        ledger.give(2..7);
        assert_eq!(ledger.free, BTreeMap::from([(0, 10)]));
    }

    #[test]
    fn buffers_grow_and_keep_what_they_hold() {
        let target = Target { device: Device::Cpu, dtype: DType::F32 };
        let mut buffers = Buffers::new(&target, 2, 2, &[3]).unwrap();
        let first = buffers.take(2).unwrap();
        let numbers = Tensor::arange(0.0_f32, 6.0, &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
        buffers.write(1, first.start, &numbers).unwrap();
        let second = buffers.take(7).unwrap();
        assert_eq!(second, 2..9);
        assert_eq!(buffers.layer(0).dims(), [9, 3]);
        let kept = buffers.layer(1).narrow(0, 0, 2).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(kept, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }
}
