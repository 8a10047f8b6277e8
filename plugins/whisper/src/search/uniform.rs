//! Where sampling takes its chance from.

/// A source of numbers in [0, 1).
pub trait Uniform {
    /// The next number.
    fn next(&mut self) -> f64;
}

/// SplitMix64: small, fast, and the same sequence on every machine, so that a request gives the same text every time.
/// Source: Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014.
pub struct SplitMix(u64);

impl SplitMix {
    /// A generator that starts from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl Uniform for SplitMix {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Numbers that were recorded from a reference; 0.5 when they run out.
pub struct Recorded {
    numbers: Vec<f32>,
    used: usize,
}

impl Recorded {
    /// Plays the numbers in order.
    #[must_use]
    pub fn new(numbers: Vec<f32>) -> Self {
        Self { numbers, used: 0 }
    }

    /// How many were asked for.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used
    }
}

impl Uniform for Recorded {
    fn next(&mut self) -> f64 {
        let number = self.numbers.get(self.used).copied().unwrap_or(0.5);
        self.used += 1;
        f64::from(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_even_and_repeat_with_the_seed() {
        let mut generator = SplitMix::new(7);
        let numbers: Vec<f64> = (0..10_000).map(|_| generator.next()).collect();
        assert!(numbers.iter().all(|n| (0.0..1.0).contains(n)));
        let mean = numbers.iter().sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert_eq!(SplitMix::new(7).next(), numbers[0]);
        assert_ne!(SplitMix::new(8).next(), numbers[0]);
    }
}
