//! Cutting off what an encoder added in front of and behind the audio.

/// Counts frames through a stream and says which of them are audio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Trim {
    /// Frames still to drop at the beginning.
    skip: u64,
    /// Frames still to keep after that; `None` = all that come.
    keep: Option<u64>,
}

impl Trim {
    /// Keeps everything.
    pub(super) const NONE: Self = Self { skip: 0, keep: None };

    /// Drops the first `skip` frames and ends after `keep` more, if that is known.
    pub(super) fn new(skip: u64, keep: Option<u64>) -> Self {
        Self { skip, keep }
    }

    /// The range of the next `frames` frames that is audio.
    pub(super) fn range(&mut self, frames: usize) -> std::ops::Range<usize> {
        let start = self.skip.min(frames as u64);
        self.skip -= start;
        let mut end = frames as u64;
        if let Some(keep) = &mut self.keep {
            end = end.min(start.saturating_add(*keep));
            *keep -= end - start;
        }
        start as usize..end as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_and_ends_across_blocks() {
        let mut trim = Trim::new(5, Some(6));
        assert_eq!(trim.range(4), 4..4);
        assert_eq!(trim.range(4), 1..4);
        assert_eq!(trim.range(4), 0..3);
        assert_eq!(trim.range(4), 0..0);
        let mut all = Trim::NONE;
        assert_eq!(all.range(4), 0..4);
    }
}
