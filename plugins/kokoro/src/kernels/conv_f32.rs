//! One-dimensional convolution of floats, laid out like the one of bytes: time along the vectors, a tap is a shifted read, nothing is
//! copied once per tap.

use syrinx_plugin_common::kernels::{Isa, LANES, Lanes, Parallel, Shared};

use super::conv_u8::ConvShape;
use super::tile::{Fitting, LARGE, Sums, Tile, extents};

/// The weights of a convolution, laid out for the processor.
#[derive(Debug)]
pub struct FloatConv {
    shape: ConvShape,
    isa: Isa,
    /// `[outputs / block, inputs, taps, block]`
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl FloatConv {
    /// Lays out `weights`, `[outputs, inputs, taps]`; `bias` is empty for none.
    ///
    /// # Errors
    ///
    /// Says which extents don't fit.
    pub fn new(isa: Isa, shape: ConvShape, weights: &[f32], bias: &[f32]) -> Result<Self, String> {
        let ConvShape { outputs, inputs, taps, .. } = shape;
        if outputs * inputs * taps == 0 || weights.len() != outputs * inputs * taps {
            return Err(format!("{} weights are not {outputs} · {inputs} · {taps}", weights.len()));
        }
        if !bias.is_empty() && bias.len() != outputs {
            return Err(format!("{} offsets for {outputs} output channels", bias.len()));
        }
        let (_, block) = extents(isa);
        let mut packed = Vec::with_capacity(outputs.div_ceil(block) * block * inputs * taps);
        for first in (0..outputs).step_by(block) {
            for place in 0..inputs * taps {
                let rows =
                    (first..first + block).map(|o| if o < outputs { weights[o * inputs * taps + place] } else { 0.0 });
                packed.extend(rows);
            }
        }
        let bias = if bias.is_empty() { vec![0.0; outputs] } else { bias.to_vec() };
        Ok(FloatConv { shape, isa, weights: packed, bias })
    }

    /// The extents.
    #[must_use]
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// One item: `x` is `[inputs, time]`, `out` `[outputs, output length]`.
    ///
    /// # Errors
    ///
    /// Says which length doesn't fit.
    pub fn run(&self, x: &[f32], out: &mut [f32], parallel: &Parallel<'_>) -> Result<(), String> {
        let shape = self.shape;
        let length = x.len() / shape.inputs;
        let output_length = shape.output_length(length).ok_or("the input is shorter than the kernel")?;
        if x.len() != length * shape.inputs || out.len() != output_length * shape.outputs {
            return Err(format!("{} values in and {} out don't fit to {shape:?}", x.len(), out.len()));
        }
        let (time, block) = extents(self.isa);
        let tiles = output_length.div_ceil(time);
        // Rows an odd number of cache lines apart, so that a column of them doesn't fall into a few sets of the cache.
        let row = ((tiles * time + shape.reach()).max(length + shape.pads.0 + shape.pads.1).div_ceil(16) | 1) * 16;
        let mut padded = vec![0.0; shape.inputs * row];
        for (padded, x) in padded.chunks_exact_mut(row).zip(x.chunks_exact(length)) {
            padded[shape.pads.0..shape.pads.0 + length].copy_from_slice(x);
        }
        let shared = Shared::new(out);
        parallel(tiles, &|tile| {
            let start = tile * time;
            let valid = time.min(output_length - start);
            let mut sums = [[0.0; LARGE.0]; LARGE.1];
            for first in (0..shape.outputs).step_by(block) {
                self.sums(&padded[start..], row, first / block, &mut sums);
                for (o, sums) in (first..shape.outputs.min(first + block)).zip(&sums) {
                    // SAFETY: within the row of `o`, since `start + valid` is at most its length; tiles don't overlap.
                    let out = unsafe { shared.part(o * output_length + start, valid) };
                    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum + self.bias[o]);
                }
            }
        });
        Ok(())
    }

    /// Sums of the tile at the start of `x` and of block `block` of output channels.
    fn sums(&self, x: &[f32], row: usize, block: usize, sums: &mut Sums<f32>) {
        let ConvShape { inputs, taps, dilation, .. } = self.shape;
        let (time, outputs) = extents(self.isa);
        assert!(x.len() >= (inputs - 1) * row + self.shape.reach() + time, "a tile within the input");
        let weights = &self.weights[block * inputs * taps * outputs..][..inputs * taps * outputs];
        self.isa.run(Fitting(FloatTile { x, row, weights, inputs, taps, dilation, sums }));
    }
}

/// A tile: `x` holds `(inputs - 1) · row + (taps - 1) · dilation` values and those of the tile's time, `weights` is
/// `[inputs, taps, outputs of the tile]`.
struct FloatTile<'a> {
    x: &'a [f32],
    row: usize,
    weights: &'a [f32],
    inputs: usize,
    taps: usize,
    dilation: usize,
    sums: &'a mut Sums<f32>,
}

impl Tile for FloatTile<'_> {
    #[inline(always)]
    fn compute<L: Lanes, const V: usize, const O: usize>(self, l: L) {
        let mut partial = [[l.splat(0.0); V]; O];
        let mut weights = self.weights.as_ptr().cast::<[f32; O]>();
        for input in 0..self.inputs {
            for tap in 0..self.taps {
                // SAFETY: `V` vectors from (input · row + tap · dilation) on, and the weights of this step, lie within the slices.
                unsafe {
                    let from = self.x.as_ptr().add(input * self.row + tap * self.dilation).cast::<[f32; LANES]>();
                    let mut x = [l.splat(0.0); V];
                    for (v, x) in x.iter_mut().enumerate() {
                        *x = l.load(&*from.add(v));
                    }
                    for (partial, weight) in partial.iter_mut().zip(&*weights) {
                        let weight = l.splat(*weight);
                        for (partial, x) in partial.iter_mut().zip(x) {
                            *partial = l.mul_add(weight, x, *partial);
                        }
                    }
                    weights = weights.add(1);
                }
            }
        }
        for (partial, sums) in partial.iter().zip(self.sums) {
            for (partial, sums) in partial.iter().zip(sums.as_chunks_mut().0) {
                l.store(*partial, sums);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::one_after_the_other;

    #[test]
    fn as_the_definition() {
        let shapes = [
            (ConvShape { outputs: 9, inputs: 5, taps: 3, dilation: 1, pads: (1, 1) }, 100),
            (ConvShape { outputs: 4, inputs: 1, taps: 11, dilation: 5, pads: (25, 25) }, 10),
            (ConvShape { outputs: 17, inputs: 6, taps: 2, dilation: 1, pads: (1, 1) }, 3),
        ];
        for isa in Isa::available() {
            for (shape, length) in shapes {
                let value = |i: usize| (i as f32 * 0.7).sin();
                let x: Vec<f32> = (0..shape.inputs * length).map(value).collect();
                let w: Vec<f32> = (0..shape.outputs * shape.inputs * shape.taps).map(|i| value(i * 3 + 1)).collect();
                let bias: Vec<f32> = (0..shape.outputs).map(|o| o as f32).collect();
                let output_length = shape.output_length(length).unwrap();
                let mut out = vec![f32::NAN; output_length * shape.outputs];
                let conv = FloatConv::new(isa, shape, &w, &bias).unwrap();
                conv.run(&x, &mut out, &one_after_the_other).unwrap();
                for (at, got) in out.iter().enumerate() {
                    let (o, t) = (at / output_length, at % output_length);
                    let mut sum = f64::from(bias[o]);
                    for c in 0..shape.inputs {
                        for tap in 0..shape.taps {
                            let place = (t + tap * shape.dilation).checked_sub(shape.pads.0).filter(|t| *t < length);
                            let x = place.map_or(0.0, |t| f64::from(x[c * length + t]));
                            sum += x * f64::from(w[(o * shape.inputs + c) * shape.taps + tap]);
                        }
                    }
                    assert!((f64::from(*got) - sum).abs() < 1e-4, "{isa:?} {shape:?} at {at}: {got} for {sum}");
                }
            }
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let isa = Isa::best();
        let shape = ConvShape { outputs: 2, inputs: 2, taps: 3, dilation: 1, pads: (0, 0) };
        assert!(FloatConv::new(isa, shape, &[0.0; 11], &[]).is_err());
        assert!(FloatConv::new(isa, shape, &[0.0; 12], &[0.0; 3]).is_err());
        let conv = FloatConv::new(isa, shape, &[0.0; 12], &[]).unwrap();
        assert!(conv.run(&[0.0; 4], &mut [0.0; 4], &one_after_the_other).is_err());
        assert!(conv.run(&[0.0; 8], &mut [0.0; 4], &one_after_the_other).is_ok());
    }
}
