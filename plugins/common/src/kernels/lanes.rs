//! Vectors of sixteen values, whatever registers they take: one of 512 bits, two of 256, four of 128, or an array.

use half::f16;

/// Values of a vector.
pub const LANES: usize = 16;

/// The vectors of one instruction set. A value of the type is the proof that the processor has it, so that all of this is safe.
///
/// Operations are lane by lane where nothing else is said. Integers wrap around.
pub trait Lanes: Copy {
    /// Sixteen numbers in single precision.
    type F: Copy;
    /// Sixteen sums in double precision, or fewer that come to the same.
    type D: Copy;
    /// Sixteen 32-bit integers.
    type I: Copy;
    /// Sixteen pairs of signed bytes.
    type Pairs: Copy;
    /// One pair of 16-bit integers, for all lanes.
    type Pair: Copy;
    /// Sixteen times four bytes without sign.
    type Quads: Copy;
    /// Four signed bytes, for all lanes.
    type Quad: Copy;

    /// How wide the largest tile of a product is whose sums fit into the registers: 2 panels of sixteen outputs, or 1.
    const PANELS: usize;
    /// How tall it is: 12 rows, or 6.
    const TALLEST: usize = 6 * Self::PANELS;

    /// The same number in all lanes.
    fn splat(self, value: f32) -> Self::F;
    /// From memory.
    fn load(self, from: &[f32; LANES]) -> Self::F;
    /// From memory, widened.
    fn load_half(self, from: &[f16; LANES]) -> Self::F;
    /// To memory.
    fn store(self, value: Self::F, to: &mut [f32; LANES]);
    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a − b`
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// The larger.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The smaller.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c − a · b`
    fn neg_mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// Without the sign.
    fn abs(self, a: Self::F) -> Self::F;
    /// `magnitude`, which is not negative, with the sign of `sign`.
    fn with_sign(self, magnitude: Self::F, sign: Self::F) -> Self::F;
    /// To the nearest whole number, ties to even.
    fn round(self, a: Self::F) -> Self::F;
    /// 2ᵃ for whole numbers −126 … 127.
    fn power_of_two(self, a: Self::F) -> Self::F;
    /// The sum of all lanes.
    fn sum(self, a: Self::F) -> f32;
    /// The largest of all lanes.
    fn peak(self, a: Self::F) -> f32;
    /// To memory, rounded to the nearest, ties to even; all within the range of the type.
    fn store_i16(self, a: Self::F, to: &mut [i16; LANES]);
    /// To memory, rounded to the nearest, ties to even; all within the range of the type.
    fn store_i8(self, a: Self::F, to: &mut [i8; LANES]);

    /// Zeros.
    fn zero_wide(self) -> Self::D;
    /// Adds single to double precision.
    fn add_wide(self, sums: Self::D, a: Self::F) -> Self::D;
    /// The sum of all lanes.
    fn sum_wide(self, sums: Self::D) -> f64;

    /// The same integer in all lanes.
    fn splat_int(self, value: i32) -> Self::I;
    /// From memory.
    fn load_int(self, from: &[i32; LANES]) -> Self::I;
    /// To memory.
    fn store_int(self, value: Self::I, to: &mut [i32; LANES]);
    /// `a + b`
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a − b`
    fn sub_int(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a · b`
    fn mul_int(self, a: Self::I, b: Self::I) -> Self::I;
    /// The nearest numbers in single precision.
    fn to_float(self, a: Self::I) -> Self::F;

    /// From memory.
    fn load_pairs(self, from: &[[i8; 2]; LANES]) -> Self::Pairs;
    /// The same pair in all lanes.
    fn splat_pair(self, value: [i16; 2]) -> Self::Pair;
    /// Adds to each lane the inner product of its pair with `x`.
    fn add_pairs(self, sums: Self::I, w: Self::Pairs, x: Self::Pair) -> Self::I;

    /// From memory.
    fn load_quads(self, from: &[[u8; 4]; LANES]) -> Self::Quads;
    /// The same four bytes in all lanes.
    fn splat_quad(self, value: [i8; 4]) -> Self::Quad;
    /// Adds to each lane the inner product of its four bytes with `x`.
    fn add_quads(self, sums: Self::I, w: Self::Quads, x: Self::Quad) -> Self::I;

    /// Asks for the cache line at `place`, which need not exist.
    fn prefetch<T>(self, place: *const T);
    /// The same, into the second-level cache.
    fn prefetch_second_level<T>(self, place: *const T);
}

#[cfg(test)]
mod tests {
    use super::super::{Isa, Kernel};
    use super::*;

    type Floats = [f32; LANES];
    type Ints = [i32; LANES];

    fn each<T: Copy + Default>(of: impl Fn(usize) -> T) -> [T; LANES] {
        std::array::from_fn(of)
    }

    /// What every operation on floats gives.
    struct OnFloats {
        a: Floats,
        b: Floats,
        c: Floats,
    }

    impl Kernel for OnFloats {
        type Output = ([Floats; 12], [f32; 2], f64);

        #[inline(always)]
        fn run<L: Lanes>(self, l: L) -> Self::Output {
            let (a, b, c) = (l.load(&self.a), l.load(&self.b), l.load(&self.c));
            let results = [
                l.splat(self.a[3]),
                l.add(a, b),
                l.sub(a, b),
                l.mul(a, b),
                l.div(a, b),
                l.max(a, b),
                l.min(a, b),
                l.mul_add(a, b, c),
                l.neg_mul_add(a, b, c),
                l.abs(a),
                l.with_sign(l.abs(a), b),
                l.round(a),
            ];
            let mut out = [[0.0; LANES]; 12];
            for (result, out) in results.into_iter().zip(&mut out) {
                l.store(result, out);
            }
            let wide = l.add_wide(l.add_wide(l.zero_wide(), a), b);
            (out, [l.sum(a), l.peak(a)], l.sum_wide(wide))
        }
    }

    #[test]
    fn floats() {
        // Sixteenths: what is computed of them is exact, in whatever order.
        let number = |i: usize, step: usize| ((i * step % 61) as f32 - 29.0) / 16.0;
        let (a, b, c) = (each(|i| number(i + 2, 7)), each(|i| number(i, 11)), each(|i| number(i, 23)));
        let want: [Floats; 12] = [
            [a[3]; LANES],
            each(|i| a[i] + b[i]),
            each(|i| a[i] - b[i]),
            each(|i| a[i] * b[i]),
            each(|i| a[i] / b[i]),
            each(|i| a[i].max(b[i])),
            each(|i| a[i].min(b[i])),
            each(|i| a[i] * b[i] + c[i]),
            each(|i| c[i] - a[i] * b[i]),
            each(|i| a[i].abs()),
            each(|i| a[i].abs().copysign(b[i])),
            each(|i| a[i].round_ties_even()),
        ];
        let peak = a.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let sums: f64 = a.iter().chain(&b).map(|value| f64::from(*value)).sum();
        for isa in Isa::available() {
            let (got, of_lanes, wide) = isa.run(OnFloats { a, b, c });
            assert_eq!(got, want, "{isa:?}");
            assert_eq!((of_lanes, wide), ([a.iter().sum(), peak], sums), "{isa:?}");
        }
    }

    /// Rounded, and as integers of 16 and of 8 bits.
    struct Round(Floats);

    impl Kernel for Round {
        type Output = (Floats, [i16; LANES], [i8; LANES]);

        #[inline(always)]
        fn run<L: Lanes>(self, l: L) -> Self::Output {
            let mut out = ([0.0; LANES], [0; LANES], [0; LANES]);
            let a = l.load(&self.0);
            l.store(l.round(a), &mut out.0);
            l.store_i16(a, &mut out.1);
            l.store_i8(l.max(l.min(a, l.splat(127.0)), l.splat(-128.0)), &mut out.2);
            out
        }
    }

    #[test]
    fn rounding() {
        let ties = each(|i| i as f32 - 7.5);
        let others = [
            -32_768.0,
            32_767.0,
            -128.4,
            127.4,
            0.499_999_97,
            -0.499_999_97,
            1.500_000_1,
            2.499_999_8,
            126.5,
            -127.5,
            -0.0,
            300.5,
            301.5,
            -2047.5,
            8190.49,
            0.0,
        ];
        for isa in Isa::available() {
            for values in [ties, others] {
                let (floats, words, bytes) = isa.run(Round(values));
                assert_eq!(floats, values.map(f32::round_ties_even), "{isa:?}");
                assert_eq!(words, values.map(|value| value.round_ties_even() as i16), "{isa:?}");
                assert_eq!(bytes, values.map(|value| value.round_ties_even() as i8), "{isa:?}");
            }
        }
    }

    struct PowersOfTwo(Floats);

    impl Kernel for PowersOfTwo {
        type Output = Floats;

        #[inline(always)]
        fn run<L: Lanes>(self, l: L) -> Floats {
            let mut out = [0.0; LANES];
            l.store(l.power_of_two(l.load(&self.0)), &mut out);
            out
        }
    }

    #[test]
    fn powers_of_two() {
        for isa in Isa::available() {
            for first in (-126..=112).step_by(7) {
                let powers = each(|i| (first + i as i32) as f32);
                assert_eq!(isa.run(PowersOfTwo(powers)), powers.map(f32::exp2), "{isa:?}");
            }
        }
    }

    struct Halves([f16; LANES]);

    impl Kernel for Halves {
        type Output = Floats;

        #[inline(always)]
        fn run<L: Lanes>(self, l: L) -> Floats {
            let mut out = [0.0; LANES];
            l.store(l.load_half(&self.0), &mut out);
            out
        }
    }

    #[test]
    fn halves() {
        for isa in Isa::available() {
            for step in [0.001, 1.0, 1e-7, 4000.0] {
                let values = each(|i| f16::from_f32((i as f32 - 7.0) * step));
                assert_eq!(isa.run(Halves(values)), values.map(f16::to_f32), "{isa:?} {step}");
            }
        }
    }

    /// What every operation on integers gives.
    struct OnInts {
        a: Ints,
        b: Ints,
    }

    impl Kernel for OnInts {
        type Output = ([Ints; 4], Floats);

        #[inline(always)]
        fn run<L: Lanes>(self, l: L) -> Self::Output {
            let (a, b) = (l.load_int(&self.a), l.load_int(&self.b));
            let results = [l.splat_int(self.a[1]), l.add_int(a, b), l.sub_int(a, b), l.mul_int(a, b)];
            let mut out = ([[0; LANES]; 4], [0.0; LANES]);
            for (result, out) in results.into_iter().zip(&mut out.0) {
                l.store_int(result, out);
            }
            l.store(l.to_float(a), &mut out.1);
            out
        }
    }

    #[test]
    fn integers() {
        let a = each(|i| (i as i32 - 5).wrapping_mul(0x1234_5677));
        let b = each(|i| (i as i32 + 3).wrapping_mul(-0x0765_4321));
        let want = [
            [a[1]; LANES],
            each(|i| a[i].wrapping_add(b[i])),
            each(|i| a[i].wrapping_sub(b[i])),
            each(|i| a[i].wrapping_mul(b[i])),
        ];
        for isa in Isa::available() {
            assert_eq!(isa.run(OnInts { a, b }), (want, a.map(|value| value as f32)), "{isa:?}");
        }
    }

    struct Pairs {
        sums: Ints,
        w: [[i8; 2]; LANES],
        x: [i16; 2],
    }

    impl Kernel for Pairs {
        type Output = Ints;

        #[inline(always)]
        fn run<L: Lanes>(self, l: L) -> Ints {
            let mut out = [0; LANES];
            let sums = l.load_int(&self.sums);
            l.store_int(l.add_pairs(sums, l.load_pairs(&self.w), l.splat_pair(self.x)), &mut out);
            out
        }
    }

    #[test]
    fn pairs() {
        let sums = each(|i| i as i32 * 100_000 - 700_000);
        for isa in Isa::available() {
            for x in [[1, 0], [0, 1], [32_767, -32_768], [-32_768, -32_767], [2047, -2047]] {
                let w = each(|i| [[-128, 127][i % 2], (i as i8 - 8) * 15]);
                let want = each(|i| sums[i] + (0..2).map(|k| i32::from(w[i][k]) * i32::from(x[k])).sum::<i32>());
                assert_eq!(isa.run(Pairs { sums, w, x }), want, "{isa:?} {x:?}");
            }
        }
    }

    struct Quads {
        sums: Ints,
        w: [[u8; 4]; LANES],
        x: [i8; 4],
    }

    impl Kernel for Quads {
        type Output = Ints;

        #[inline(always)]
        fn run<L: Lanes>(self, l: L) -> Ints {
            let mut out = [0; LANES];
            let sums = l.load_int(&self.sums);
            l.store_int(l.add_quads(sums, l.load_quads(&self.w), l.splat_quad(self.x)), &mut out);
            out
        }
    }

    #[test]
    fn quads() {
        let sums = each(|i| i as i32 * 100_000 - 700_000);
        for isa in Isa::available() {
            // The extremes, which 16-bit sums could not hold; and each place alone.
            for x in [[-128; 4], [127; 4], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 2, 0], [0, 0, 0, -3], [127, -128, 5, -6]]
            {
                for w in [[[255; 4]; LANES], each(|i| [i as u8, 255 - i as u8, 17 * i as u8, 128])] {
                    let want = each(|i| sums[i] + (0..4).map(|k| i32::from(w[i][k]) * i32::from(x[k])).sum::<i32>());
                    assert_eq!(isa.run(Quads { sums, w, x }), want, "{isa:?} {x:?}");
                }
            }
        }
    }
}
