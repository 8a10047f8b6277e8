//! Which instruction sets there are, and which the processor has.

use std::sync::OnceLock;

use super::lanes::Lanes;
use super::portable::Portable;

/// An instruction set that kernels are compiled for. A value is the proof that the processor has it: all come from [`Isa::best`] and
/// [`Isa::available`], which have asked; elsewhere they can be told apart (`Isa::Avx2 { .. }`), but not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// What the compiler makes of plain loops.
    #[non_exhaustive]
    Portable,
    /// AVX2 with FMA and conversions from half precision: 2013 and later.
    #[cfg(target_arch = "x86_64")]
    #[non_exhaustive]
    Avx2,
    /// AVX2 with the products of small integers of AVX-VNNI: processors without AVX-512, 2021 and later.
    #[cfg(target_arch = "x86_64")]
    #[non_exhaustive]
    AvxVnni,
    /// AVX-512 with VNNI: 2019 and later. The first generation, which lacks VNNI and clocks down, is served by AVX2.
    #[cfg(target_arch = "x86_64")]
    #[non_exhaustive]
    Avx512,
    /// NEON, which every 64-bit ARM has.
    #[cfg(target_arch = "aarch64")]
    #[non_exhaustive]
    Neon,
}

/// Something to compute on an instruction set.
pub trait Kernel {
    /// What it gives.
    type Output;

    /// Computes it. To be `#[inline(always)]` and free of closures, or it isn't compiled for the instructions.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

impl Isa {
    /// All that are known, the better ones later.
    const ALL: &[Self] = &[
        Self::Portable,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "x86_64")]
        Self::AvxVnni,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(target_arch = "aarch64")]
        Self::Neon,
    ];

    /// The best that this processor has.
    #[must_use]
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().last().unwrap_or(Self::Portable))
    }

    /// All that this processor has, the best last.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|isa| isa.is_available())
    }

    /// Whether it is more than plain loops, which are no match for the products of a library that has vectors of its own.
    #[must_use]
    pub fn has_vectors(self) -> bool {
        self != Self::Portable
    }

    /// Whether products of bytes are as fast as the processor can. They aren't on ARM: what NEON had from the beginning makes 4 at a time,
    /// and libraries choose instructions at run time that make 16.
    #[must_use]
    pub fn multiplies_bytes(self) -> bool {
        self.has_vectors() && cfg!(target_arch = "x86_64")
    }

    fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => Self::Avx2.is_available() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
        }
    }

    /// Computes `kernel`, compiled for these instructions.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Portable => kernel.run(Portable),
            // SAFETY: the value is the proof that the processor has these features.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { on_avx2(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => unsafe { on_avx_vnni(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { on_avx512(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Self::Neon => unsafe { on_neon(kernel) },
        }
    }
}

/// # Safety
/// The processor has the features.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn on_avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    kernel.run(unsafe { super::avx2::Avx::<false>::new() })
}

/// # Safety
/// The processor has the features.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
unsafe fn on_avx_vnni<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    kernel.run(unsafe { super::avx2::Avx::<true>::new() })
}

/// # Safety
/// The processor has the features.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn on_avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    kernel.run(unsafe { super::avx512::Avx512::new() })
}

/// # Safety
/// The processor has the features.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
unsafe fn on_neon<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    kernel.run(unsafe { super::neon::Neon::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_the_last_available() {
        let available: Vec<Isa> = Isa::available().collect();
        assert_eq!(available[0], Isa::Portable);
        assert_eq!(available.last(), Some(&Isa::best()));
    }
}
