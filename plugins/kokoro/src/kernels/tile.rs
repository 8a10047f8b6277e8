//! Tiles of convolutions: some time steps of some output channels, whose sums stay in registers while the input passes by.

use syrinx_plugin_common::kernels::{Isa, Kernel, Lanes};

/// Time steps and output channels where there are many registers.
pub(super) const LARGE: (usize, usize) = (48, 8);
/// The same where there are few.
pub(super) const SMALL: (usize, usize) = (16, 6);

/// Sums of a tile, `[outputs, time]`; of a small one the first of each.
pub(super) type Sums<T> = [[T; LARGE.0]; LARGE.1];

/// Time steps and output channels of a tile.
pub(super) fn extents(isa: Isa) -> (usize, usize) {
    isa.run(Extents)
}

struct Extents;

impl Kernel for Extents {
    type Output = (usize, usize);

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) -> (usize, usize) {
        if L::PANELS == 2 { LARGE } else { SMALL }
    }
}
