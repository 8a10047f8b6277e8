//! Median filter along the last axis.

/// Filters each row of `[rows, length]` with an odd `width`, edges reflected. Rows that are not longer than half of the width stay
/// as they are. Source: openai/whisper `whisper/timing.py: median_filter`.
#[must_use]
pub fn median_filter(values: &[f32], length: usize, width: usize) -> Vec<f32> {
    let half = width / 2;
    if length <= half || length == 0 {
        return values.to_vec();
    }
    let mut out = Vec::with_capacity(values.len());
    let mut padded = Vec::with_capacity(length + 2 * half);
    let mut sorted = Vec::with_capacity(width);
    for row in values.chunks_exact(length) {
        padded.clear();
        padded.extend((1..=half).rev().map(|i| row[i]));
        padded.extend_from_slice(row);
        padded.extend((1..=half).map(|i| row[length - 1 - i]));
        for window in padded.windows(2 * half + 1) {
            sorted.clear();
            sorted.extend_from_slice(window);
            sorted.sort_unstable_by(f32::total_cmp);
            out.push(sorted[half]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::median_filter;

    #[test]
    fn short_rows_and_empty_ones_stay() {
        assert_eq!(median_filter(&[3.0, 1.0, 2.0], 3, 7), [3.0, 1.0, 2.0]);
        assert!(median_filter(&[], 0, 7).is_empty());
    }

    #[test]
    fn spikes_vanish() {
        assert_eq!(median_filter(&[0.0, 9.0, 0.0, 0.0, 0.0], 5, 3), [9.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
