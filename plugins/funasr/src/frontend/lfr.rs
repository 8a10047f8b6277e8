//! Low frame rate: neighbouring frames are stacked, and only every few stacks are kept.

/// Stacks `m` frames every `n` frames: `[ceil(frames / n), m · dim]`. Around the signal its first and last frames are repeated.
///
/// Source: FunASR `frontends/wav_frontend.py: apply_lfr`.
#[must_use]
pub fn stack(frames: &[f32], dim: usize, m: usize, n: usize) -> Vec<f32> {
    let count = frames.len() / dim.max(1);
    let outputs = count.div_ceil(n);
    let mut stacked = Vec::with_capacity(outputs * m * dim);
    for output in 0..outputs {
        for position in 0..m {
            let frame = source(output, position, m, n).min(count - 1);
            stacked.extend_from_slice(&frames[frame * dim..(frame + 1) * dim]);
        }
    }
    stacked
}

/// The frame at `position` of a stack, if the signal is long enough.
pub(super) fn source(output: usize, position: usize, m: usize, n: usize) -> usize {
    (output * n + position).saturating_sub((m - 1) / 2)
}
