//! Stretches of speech that are recognised together: those of similar length, padded to the longest.

use crate::frontend::Features;

/// Groups of consecutive indices into `lengths`, which ascend, all in the same unit. A group grows while its next member is shorter than
/// `threshold` and the padded group stays below `size`; the member that breaks either rule closes the group as its last.
///
/// Source: FunASR `auto/auto_model.py: inference_with_vad`.
#[must_use]
pub fn plan(lengths: &[u64], size: u64, threshold: u64) -> Vec<std::ops::Range<usize>> {
    let mut groups = Vec::new();
    let (mut start, mut longest) = (0, 0);
    for (i, &length) in lengths.iter().enumerate() {
        let padded = length.max(longest) * (i + 1 - start) as u64;
        if i + 1 < lengths.len() && length < threshold && padded < size {
            longest = length.max(longest);
            continue;
        }
        groups.push(start..i + 1);
        start = i + 1;
        // As in the reference, the length that closed a group still counts for the next one.
        longest = length;
    }
    groups
}

/// Groups of consecutive indices into `lengths`, which ascend, that take a processor the least time all together: a group takes its padded
/// length and `pass`, which is what it costs by itself, all in the same unit. A padded group of several stays within `size`.
#[must_use]
pub fn quickest(lengths: &[u64], size: u64, pass: u64) -> Vec<std::ops::Range<usize>> {
    // For each number of lengths: the time that they take at least, and where their last group starts.
    let mut best = vec![(0, 0)];
    for end in 1..=lengths.len() {
        let padded = |start: usize| lengths[end - 1] * (end - start) as u64;
        let starts = (0..end).rev().take_while(|&start| start + 1 == end || padded(start) <= size);
        let ways = starts.map(|start| (best[start].0 + padded(start) + pass, start));
        best.push(ways.min().unwrap_or_default());
    }
    let mut groups = Vec::new();
    let mut end = lengths.len();
    while end > 0 {
        let start = best[end].1;
        groups.push(start..end);
        end = start;
    }
    groups.reverse();
    groups
}

/// Features of several utterances as one tensor.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// `[utterances, frames, dim]`, zeros after each end.
    pub data: Vec<f32>,
    /// Frames of each utterance.
    pub lengths: Vec<usize>,
    /// Frames of the longest.
    pub frames: usize,
    /// Values of a frame.
    pub dim: usize,
}

impl Batch {
    /// Pads.
    #[must_use]
    pub fn new(utterances: &[&Features]) -> Self {
        let frames = utterances.iter().map(|features| features.frames).max().unwrap_or(0);
        let dim = utterances.first().map_or(0, |features| features.dim);
        let mut data = vec![0.0; utterances.len() * frames * dim];
        for (row, features) in data.chunks_exact_mut((frames * dim).max(1)).zip(utterances) {
            row[..features.data.len()].copy_from_slice(&features.data);
        }
        Self { data, lengths: utterances.iter().map(|features| features.frames).collect(), frames, dim }
    }

    /// Number of utterances.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is nothing to hear.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// 1 where a frame counts: `[utterances, frames]`.
    #[must_use]
    pub fn mask(&self) -> Vec<f32> {
        mask(&self.lengths, self.frames)
    }
}

/// 1 up to each length, 0 after it: `[lengths, width]`.
#[must_use]
pub fn mask(lengths: &[usize], width: usize) -> Vec<f32> {
    lengths.iter().flat_map(|&length| (0..width).map(move |i| f32::from(u8::from(i < length)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the quickest groups end.
    fn ends(lengths: &[u64], size: u64, pass: u64) -> Vec<usize> {
        let groups = quickest(lengths, size, pass);
        assert!(groups.windows(2).all(|pair| pair[0].end == pair[1].start), "{groups:?}");
        groups.iter().map(|group| group.end).collect()
    }

    #[test]
    fn the_quickest_groups_pad_little() {
        assert!(ends(&[], 100, 5).is_empty());
        // Two passes saved against 3 padded.
        assert_eq!(ends(&[10, 11, 12], 100, 5), [3]);
        assert_eq!(ends(&[10, 11, 30, 31], 100, 5), [2, 4]);
        // Where a batch costs nothing by itself, nothing is padded; where it costs a lot, all is one group, as far as it may be long.
        assert_eq!(ends(&[10, 11, 12], 100, 0), [1, 2, 3]);
        assert_eq!(ends(&[10, 20, 40], 120, 1000), [3]);
        assert_eq!(ends(&[10, 20, 40], 119, 1000), [2, 3]);
        assert_eq!(ends(&[200, 300], 100, 1000), [1, 2]);
    }

    /// No other way to cut is quicker.
    #[test]
    fn nothing_is_quicker() {
        let lengths = [3, 5, 5, 9, 14, 15, 22, 23, 40];
        let (size, pass) = (60, 7);
        let time = |groups: &[std::ops::Range<usize>]| -> u64 {
            groups.iter().map(|group| lengths[group.end - 1] * group.len() as u64 + pass).sum()
        };
        let found = time(&quickest(&lengths, size, pass));
        for cuts in 0..1_u32 << (lengths.len() - 1) {
            let mut ends: Vec<usize> = (1..lengths.len()).filter(|end| cuts >> (end - 1) & 1 == 1).collect();
            ends.push(lengths.len());
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let groups: Vec<_> = starts.zip(&ends).map(|(start, &end)| start..end).collect();
            let is_allowed = |group: &std::ops::Range<usize>| {
                group.len() == 1 || lengths[group.end - 1] * group.len() as u64 <= size
            };
            assert!(!groups.iter().all(is_allowed) || time(&groups) >= found, "{groups:?}");
        }
    }
}
