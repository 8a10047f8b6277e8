//! Inner product of two rows.

use syrinx_plugin_common::kernels::{LANES, Lanes};

/// `a · b`
#[inline(always)]
pub(super) fn inner_product<L: Lanes>(l: L, a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = l.splat(0.0);
    for (a, b) in a.iter().zip(b) {
        sums = l.mul_add(l.load(a), l.load(b), sums);
    }
    let mut sum = l.sum(sums);
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum += a * b;
    }
    sum
}

#[cfg(test)]
mod tests {
    use syrinx_plugin_common::kernels::{Isa, Kernel};

    use super::*;

    struct Dot<'a> {
        a: &'a [f32],
        b: &'a [f32],
    }

    impl Kernel for Dot<'_> {
        type Output = f32;

        #[inline(always)]
        fn run<L: Lanes>(self, l: L) -> f32 {
            inner_product(l, self.a, self.b)
        }
    }

    #[test]
    fn products_are_right() {
        for isa in Isa::available() {
            for n in [1, 8, 31, 64, 100, 384] {
                let a: Vec<f32> = (0..n).map(|i| ((i * 7 % 13) as f32 - 6.0) / 8.0).collect();
                let b: Vec<f32> = (0..n).map(|i| ((i * 11 % 29) as f32 - 14.0) / 16.0).collect();
                let want: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a * b)).sum();
                assert!((f64::from(isa.run(Dot { a: &a, b: &b })) - want).abs() < 1e-4, "{isa:?}");
            }
        }
    }
}
