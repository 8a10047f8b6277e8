use std::path::Path;

use half::f16;
use syrinx_plugin_common::checkpoint::{CheckpointError, Tensors};

use super::{Problem, Speaker, SpeakerError, base16384, normal, vector};

/// Mean and spread of the speakers that the model knows: a random speaker is `noise * std + mean`.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    std: Vec<f16>,
    mean: Vec<f16>,
}

impl Statistics {
    /// Out of one vector: the spread first, then the mean.
    ///
    /// # Errors
    /// They are not two vectors of `width`, or not finite.
    pub fn new(values: &[f16], width: usize) -> Result<Self, Problem> {
        if values.len() != 2 * width {
            let bytes = 2 * width * size_of::<f16>();
            return Err(Problem::Size { bytes, what: "the statistics of this model's speakers" });
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(Problem::NotFinite { at }),
            None => Ok(Self { std: values[..width].to_vec(), mean: values[width..].to_vec() }),
        }
    }

    /// Out of the base16384 string that the Python package holds them as.
    ///
    /// # Errors
    /// As [`Statistics::new`]; also when the text is no such string.
    pub fn decode(text: &str, width: usize) -> Result<Self, Problem> {
        Self::new(&vector::halves(&base16384::decode(text)?), width)
    }

    /// Out of the release's `asset/spk_stat.pt`.
    ///
    /// # Errors
    /// The file can't be read or holds something else.
    pub fn load(path: &Path, width: usize) -> Result<Self, SpeakerError> {
        let failed = |reason: String| SpeakerError::Statistics { path: path.to_path_buf(), reason };
        let values = || Tensors::torch(path)?.get("")?.to_f32();
        let values = values().map_err(|e: CheckpointError| failed(e.to_string()))?;
        let values: Vec<f16> = values.into_iter().map(f16::from_f32).collect();
        Self::new(&values, width).map_err(|problem| failed(problem.to_string()))
    }

    /// The spread, `[width]`.
    pub fn std(&self) -> &[f16] {
        &self.std
    }

    /// The mean, `[width]`.
    pub fn mean(&self) -> &[f16] {
        &self.mean
    }

    /// The speaker of standard normal `noise`, `[width]`; missing noise counts as none. Product and sum are rounded to float16 each.
    ///
    /// # Errors
    /// A value is too large for float16.
    pub fn sample(&self, noise: &[f16]) -> Result<Speaker, Problem> {
        let noise = noise.iter().copied().chain(std::iter::repeat(f16::ZERO));
        Speaker::new(
            self.std.iter().zip(&self.mean).zip(noise).map(|((std, mean), noise)| noise * std + mean).collect(),
        )
    }

    /// The speaker that torch draws after this seed, on a CPU.
    ///
    /// # Errors
    /// As [`Statistics::sample`].
    pub fn seeded(&self, seed: u32) -> Result<Speaker, Problem> {
        self.sample(&normal::draw(seed, self.std.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves(values: &[f32]) -> Vec<f16> {
        values.iter().copied().map(f16::from_f32).collect()
    }

    #[test]
    fn speakers_are_drawn() {
        let statistics = Statistics::new(&halves(&[2.0, 0.5, 1.0, -1.0]), 2).unwrap();
        assert_eq!((statistics.std(), statistics.mean()), (&halves(&[2.0, 0.5])[..], &halves(&[1.0, -1.0])[..]));
        assert_eq!(statistics.sample(&halves(&[3.0, 4.0])).unwrap().values(), halves(&[7.0, 1.0]));
        // The product is rounded before the sum: 2049 is no float16.
        let statistics = Statistics::new(&halves(&[3.0, 1.0]), 1).unwrap();
        assert_eq!(statistics.sample(&halves(&[683.0])).unwrap().values(), halves(&[2048.0]));
        assert_eq!(statistics.seeded(5).unwrap(), statistics.seeded(5).unwrap());
    }

    #[test]
    fn wrong_statistics() {
        assert!(matches!(Statistics::new(&halves(&[1.0; 3]), 2), Err(Problem::Size { bytes: 8, .. })));
        assert_eq!(Statistics::new(&halves(&[1.0, f32::INFINITY]), 1), Err(Problem::NotFinite { at: 1 }));
        let overflowing = Statistics::new(&halves(&[60000.0, 0.0]), 1).unwrap();
        assert_eq!(overflowing.sample(&halves(&[2.0])), Err(Problem::NotFinite { at: 0 }));
        let missing = Statistics::load(Path::new("nowhere/spk_stat.pt"), 1).unwrap_err();
        assert!(missing.to_string().starts_with("nowhere/spk_stat.pt: "), "{missing}");
    }
}
