//! Which instruction set the kernels run on.
//!
//! A kernel is written once, over [`Lanes`]; [`Level::run`] compiles it for each instruction set and takes the one asked for. Which of
//! them the processor has is found out at run time, so one build serves all machines.

use std::sync::OnceLock;

use super::lanes::{Lanes, Portable};

/// Instruction sets, the later the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// What the compiler makes of plain loops.
    Portable,
    /// AVX2 with FMA and conversions from half precision: 2013 and later.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX2 with the 16-bit dot product of AVX-VNNI: processors without AVX-512, 2021 and later.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// AVX-512 with VNNI: 2019 and later. The first generation, which lacks VNNI and clocks down, is served by AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// NEON, which every 64-bit ARM has.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

/// Something to compute on a level.
pub(crate) trait Kernel {
    /// What it gives.
    type Output;

    /// Computes it. To be `#[inline(always)]` and free of closures, or it isn't compiled for the level's instructions.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

impl Level {
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
    pub(crate) fn best() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| Self::present().last().unwrap_or(Self::Portable))
    }

    /// All that this processor has.
    pub(crate) fn present() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|level| level.is_present())
    }

    fn is_present(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => Self::Avx2.is_present() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_present()
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

    /// Runs `kernel` on this level, which must be present.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        debug_assert!(self.is_present(), "{self:?} on a processor that has it");
        match self {
            Self::Portable => kernel.run(Portable),
            // SAFETY: levels are taken from `best` or `present`, which have asked the processor for these features.
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
    fn the_best_level_is_the_last_present() {
        let levels: Vec<Level> = Level::present().collect();
        assert_eq!(levels[0], Level::Portable);
        assert_eq!(levels.last(), Some(&Level::best()));
    }
}
