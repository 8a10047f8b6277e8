//! What is heard of a file: all of it, or the stretches in which somebody speaks, joined. Nothing is copied.

use std::ops::Range;

/// Samples of a file, or parts of it one after the other.
#[derive(Debug, Clone)]
pub struct Sound<'a> {
    samples: &'a [f32],
    /// Where each part begins in the sound, and where it lies in the file.
    parts: Vec<(usize, Range<usize>)>,
    len: usize,
}

impl<'a> Sound<'a> {
    /// All of a file.
    #[must_use]
    pub fn whole(samples: &'a [f32]) -> Self {
        Self { samples, parts: vec![(0, 0..samples.len())], len: samples.len() }
    }

    /// Parts of a file; what of them lies outside of it is left out.
    #[must_use]
    pub fn parts(samples: &'a [f32], parts: &[Range<usize>]) -> Self {
        let mut sound = Self { samples, parts: Vec::with_capacity(parts.len()), len: 0 };
        for part in parts {
            let part = part.start.min(samples.len())..part.end.min(samples.len());
            if !part.is_empty() {
                sound.parts.push((sound.len, part.clone()));
                sound.len += part.len();
            }
        }
        sound
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to hear.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The samples from `start` on that lie in one piece in the file, if so many do.
    #[must_use]
    pub fn slice(&self, start: usize, count: usize) -> Option<&'a [f32]> {
        let (begin, part) = self.parts.get(self.part_at(start)?)?;
        let from = part.start + (start - begin);
        self.samples.get(from..from + count).filter(|_| from + count <= part.end)
    }

    /// Copies the samples from `start` on into `out`; zeros after the end.
    pub fn read(&self, start: usize, out: &mut [f32]) {
        let mut filled = 0;
        if let Some(first) = self.part_at(start) {
            for (begin, part) in &self.parts[first..] {
                let from = part.start + (start + filled - begin);
                let count = (part.end - from).min(out.len() - filled);
                out[filled..filled + count].copy_from_slice(&self.samples[from..from + count]);
                filled += count;
                if filled == out.len() {
                    break;
                }
            }
        }
        out[filled..].fill(0.0);
    }

    /// The part that holds a sample of the sound.
    fn part_at(&self, at: usize) -> Option<usize> {
        (at < self.len).then(|| self.parts.partition_point(|(begin, _)| *begin <= at) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_one() {
        let samples: Vec<f32> = (0..100).map(|i| i as f32).collect();
        let sound = Sound::parts(&samples, &[10..13, 50..50, 98..200]);
        assert_eq!(sound.len(), 5);
        let mut out = [9.0; 6];
        sound.read(1, &mut out);
        assert_eq!(out, [11.0, 12.0, 98.0, 99.0, 0.0, 0.0]);
        sound.read(7, &mut out);
        assert_eq!(out, [0.0; 6]);
        assert_eq!(sound.slice(0, 3), Some(&samples[10..13]));
        assert_eq!(sound.slice(2, 2), None);
        assert_eq!(sound.slice(3, 2), Some(&samples[98..100]));
        assert_eq!(sound.slice(5, 0), None);
    }

    #[test]
    fn nothing_is_nothing() {
        assert!(Sound::whole(&[]).is_empty());
        assert!(Sound::parts(&[1.0], &[]).is_empty());
        let mut out = [1.0];
        Sound::whole(&[]).read(0, &mut out);
        assert_eq!(out, [0.0]);
    }
}
