//! Tiles of convolutions: some time steps of some output channels, whose sums stay in registers while the input passes by.

use syrinx_plugin_common::kernels::{Isa, Kernel, LANES, Lanes};

/// Time steps and output channels where there are many registers.
pub(super) const LARGE: (usize, usize) = (48, 8);
/// The same where there are few.
pub(super) const SMALL: (usize, usize) = (16, 6);

/// Sums of a tile, `[outputs, time]`; of a small one the first of each.
pub(super) type Sums<T> = [[T; LARGE.0]; LARGE.1];

/// A tile of some kind of numbers.
pub(super) trait Tile {
    /// Computes `V` vectors of time and `O` outputs.
    fn compute<L: Lanes, const V: usize, const O: usize>(self, l: L);
}

/// Computes a tile of the [`extents`].
pub(super) struct Fitting<T>(pub(super) T);

impl<T: Tile> Kernel for Fitting<T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        if L::PANELS == 2 {
            self.0.compute::<L, { LARGE.0 / LANES }, { LARGE.1 }>(l);
        } else {
            self.0.compute::<L, { SMALL.0 / LANES }, { SMALL.1 }>(l);
        }
    }
}

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
