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
