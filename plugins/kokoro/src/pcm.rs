//! Samples as 16-bit integers.

/// Largest 16-bit magnitude that full scale becomes (`kokoro.__main__:generate_and_save_audio`).
const FULL_SCALE: f32 = 32_767.0;

/// Clips to -1…1, scales and truncates toward zero. NaN becomes silence.
#[must_use]
pub fn pcm16(samples: &[f32]) -> Vec<i16> {
    samples.iter().map(|sample| (sample.clamp(-1.0, 1.0) * FULL_SCALE) as i16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipped_and_truncated() {
        assert_eq!(pcm16(&[-2.0, -0.5, 0.0, 0.00004, 1.2, f32::NAN]), [-32_767, -16_383, 0, 1, 32_767, 0]);
    }
}
