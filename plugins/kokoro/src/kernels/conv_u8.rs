//! One-dimensional convolution of bytes with byte weights: what ONNX calls `ConvInteger`, without copying the input once per tap.
//!
//! Time runs along the vectors and the four bytes that one instruction multiplies are four channels: the input is laid out as
//! `[channels / 4, time, 4]`, so a tap is a shifted read, and the output comes out as `[channels, time]`. With `w' = w - 128` and its zero
//! point likewise, sums are `Σ (x - x₀)(w' - w₀) = Σ x·w' - x₀·Σ w' - w₀·Σ x + x₀·w₀·n`: only the first is made by the inner loop.

use syrinx_plugin_common::kernels::{Isa, Kernel, LANES, Lanes, Parallel, Shared};

use super::tile::{Fitting, LARGE, Sums, Tile, extents};

/// Extents of a convolution with stride 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Output channels.
    pub outputs: usize,
    /// Input channels.
    pub inputs: usize,
    /// Kernel size.
    pub taps: usize,
    /// Distance between taps.
    pub dilation: usize,
    /// Zeros before the first and after the last value.
    pub pads: (usize, usize),
}

impl ConvShape {
    /// How far the last tap is from the first.
    pub(super) fn reach(&self) -> usize {
        self.dilation * (self.taps - 1)
    }

    /// Values that come out of `length`; `None` when the input is too short for one.
    #[must_use]
    pub fn output_length(&self, length: usize) -> Option<usize> {
        (length + self.pads.0 + self.pads.1).checked_sub(self.reach()).filter(|length| *length > 0)
    }
}

/// Time steps that are laid out at a time.
const PACK_CHUNK: usize = 256;

/// Time steps and output channels of a tile where AVX2 multiplies words, which take registers, too.
const OF_WORDS: (usize, usize) = (16, 4);

/// The weights of a convolution, laid out for the processor.
#[derive(Debug)]
pub struct QuantizedConv {
    shape: ConvShape,
    isa: Isa,
    weights: PackedWeights,
    /// Sum of `w'` per output channel.
    weight_sums: Vec<i32>,
    /// Zero point of `w'` per output channel.
    zero_points: Vec<i32>,
}

#[derive(Debug)]
enum PackedWeights {
    /// `[outputs / block, inputs / 4, taps, block, 4]`
    Bytes(Vec<[i8; 4]>),
    /// For AVX2, which has no product of bytes that can't saturate: `[outputs / 4, inputs / 4, taps, 4, 4]`, of channels 0, 2, 1, 3.
    #[cfg(target_arch = "x86_64")]
    Words(Vec<[[i16; 4]; OF_WORDS.1]>),
}

impl QuantizedConv {
    /// Lays out `weights`, `[outputs, inputs, taps]` with values 0…255, and their zero points, one or one per output channel.
    ///
    /// # Errors
    ///
    /// Says which extents don't fit.
    pub fn new(isa: Isa, shape: ConvShape, weights: &[u8], zero_points: &[u8]) -> Result<Self, String> {
        let ConvShape { outputs, inputs, taps, .. } = shape;
        if outputs * inputs * taps == 0 || weights.len() != outputs * inputs * taps {
            return Err(format!("{} weights are not {outputs} · {inputs} · {taps}", weights.len()));
        }
        if zero_points.len() != 1 && zero_points.len() != outputs {
            return Err(format!("{} zero points for {outputs} output channels", zero_points.len()));
        }
        let centred = |byte: u8| (i32::from(byte) - 128) as i8;
        let at = |output: usize, input: usize, tap: usize| match output < outputs && input < inputs {
            true => centred(weights[(output * inputs + input) * taps + tap]),
            false => 0,
        };
        let quads = inputs.div_ceil(4);
        let (_, block) = tile(isa);
        let places = (0..outputs.div_ceil(block))
            .flat_map(|o| (0..quads).flat_map(move |q| (0..taps).map(move |tap| (o * block, q * 4, tap))));
        let weights = match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 { .. } => PackedWeights::Words(
                places
                    .map(|(o, c, tap)| std::array::from_fn(|i| [0, 2, 1, 3].map(|j| i16::from(at(o + i, c + j, tap)))))
                    .collect(),
            ),
            _ => PackedWeights::Bytes(
                places
                    .flat_map(|(o, c, tap)| (o..o + block).map(move |o| (o, c, tap)))
                    .map(|(o, c, tap)| std::array::from_fn(|j| at(o, c + j, tap)))
                    .collect(),
            ),
        };
        let sum = |o: usize| {
            (0..inputs).flat_map(|c| (0..taps).map(move |tap| (c, tap))).map(|(c, tap)| i32::from(at(o, c, tap))).sum()
        };
        Ok(QuantizedConv {
            shape,
            isa,
            weights,
            weight_sums: (0..outputs).map(sum).collect(),
            zero_points: (0..outputs).map(|o| i32::from(centred(zero_points[o % zero_points.len()]))).collect(),
        })
    }

    /// The extents.
    #[must_use]
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// `out[o, t] = (Σ (x - x₀)(w - w₀) + bias[o]) · scale[o]` for one item. `x` is `[inputs, time]`, `out` `[outputs, output length]`;
    /// there is one scale, or one per output channel.
    ///
    /// # Errors
    ///
    /// Says which length doesn't fit.
    pub fn run(
        &self,
        x: &[u8],
        x_zero: u8,
        scale: &[f32],
        bias: Option<&[i32]>,
        out: &mut [f32],
        parallel: &Parallel<'_>,
    ) -> Result<(), String> {
        let shape = self.shape;
        let length = x.len() / shape.inputs;
        let output_length = shape.output_length(length).ok_or("the input is shorter than the kernel")?;
        if x.len() != length * shape.inputs || out.len() != output_length * shape.outputs {
            return Err(format!("{} values in and {} out don't fit to {shape:?}", x.len(), out.len()));
        }
        if (scale.len() != 1 && scale.len() != shape.outputs) || bias.is_some_and(|bias| bias.len() != shape.outputs) {
            return Err(format!("scale or bias don't fit to {} output channels", shape.outputs));
        }
        let (time, block) = tile(self.isa);
        let tiles = output_length.div_ceil(time);
        let packed = Packed::new(&shape, x, length, x_zero, tiles * time, parallel, self.isa);
        let shared = Shared::new(out);
        parallel(tiles, &|tile| {
            let start = tile * time;
            let valid = time.min(output_length - start);
            let taps_sum = packed.sums_over_taps(&shape, start);
            let mut sums = [[0; LARGE.0]; LARGE.1];
            for first in (0..shape.outputs).step_by(block) {
                self.sums(&packed, start, first / block, &mut sums);
                for (o, sums) in (first..shape.outputs.min(first + block)).zip(&sums) {
                    let zero = self.zero_points[o];
                    let n = (shape.inputs * shape.taps) as i32;
                    let x_zero = i32::from(x_zero);
                    let constant = zero
                        .wrapping_mul(x_zero)
                        .wrapping_mul(n)
                        .wrapping_sub(x_zero.wrapping_mul(self.weight_sums[o]))
                        .wrapping_add(bias.map_or(0, |bias| bias[o]));
                    let scale = scale[o % scale.len()];
                    // SAFETY: within the row of `o`, since `start + valid` is at most its length; tiles don't overlap.
                    let row = unsafe { shared.part(o * output_length + start, valid) };
                    for ((out, sum), taps_sum) in row.iter_mut().zip(sums).zip(&taps_sum) {
                        *out = sum.wrapping_add(constant).wrapping_sub(zero.wrapping_mul(*taps_sum)) as f32 * scale;
                    }
                }
            }
        });
        Ok(())
    }

    /// `Σ x·w'` of the tile at time `start` and of block `block` of output channels.
    fn sums(&self, packed: &Packed, start: usize, block: usize, sums: &mut Sums<i32>) {
        let quads = self.shape.inputs.div_ceil(4);
        let steps = quads * self.shape.taps;
        let geometry = Geometry { quads, row: packed.row, taps: self.shape.taps, dilation: self.shape.dilation };
        let x = &packed.values[start..];
        let (time, outputs) = tile(self.isa);
        assert!(x.len() >= (quads - 1) * packed.row + self.shape.reach() + time, "a tile within the input");
        match &self.weights {
            PackedWeights::Bytes(weights) => {
                let weights = &weights[block * steps * outputs..][..steps * outputs];
                self.isa.run(Fitting(ByteTile { x, weights, geometry, sums }));
            }
            // SAFETY: there are words for processors with AVX2; the extents have been checked.
            #[cfg(target_arch = "x86_64")]
            PackedWeights::Words(weights) => unsafe {
                tile_avx2(x, &weights[block * steps..][..steps], geometry, sums);
            },
        }
    }
}

/// Time steps and output channels of a tile.
fn tile(isa: Isa) -> (usize, usize) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 { .. } => OF_WORDS,
        _ => extents(isa),
    }
}

/// Where the inner loop reads.
#[derive(Clone, Copy)]
struct Geometry {
    /// Groups of four channels.
    quads: usize,
    /// Time steps of a row.
    row: usize,
    taps: usize,
    dilation: usize,
}

/// An input, laid out as `[channels / 4, row]` of four channels each.
struct Packed {
    values: Vec<[u8; 4]>,
    /// Time steps of a row: input, pads, and what the last tile reads beyond.
    row: usize,
    /// Sum over the channels at each time step.
    sums: Vec<i32>,
}

impl Packed {
    fn new(
        shape: &ConvShape,
        x: &[u8],
        length: usize,
        zero: u8,
        tiled: usize,
        parallel: &Parallel<'_>,
        isa: Isa,
    ) -> Self {
        // Rows an odd number of cache lines apart, so that a column of them doesn't fall into a few sets of the cache.
        let lines = (tiled + shape.reach()).max(length + shape.pads.0 + shape.pads.1).div_ceil(16) | 1;
        let row = lines * 16;
        let quads = shape.inputs.div_ceil(4);
        let mut packed = Packed { values: vec![[0; 4]; quads * row], row, sums: vec![0; row] };
        let (values, sums) = (Shared::new(&mut packed.values), Shared::new(&mut packed.sums));
        parallel(row.div_ceil(PACK_CHUNK), &|chunk| {
            let start = chunk * PACK_CHUNK;
            let steps = PACK_CHUNK.min(row - start);
            // SAFETY: `start + steps` is at most `row`, the length of the sums and of each row of values; chunks don't overlap.
            let sums = unsafe { sums.part(start, steps) };
            for quad in 0..quads {
                let channels = 4.min(shape.inputs - quad * 4);
                // SAFETY: as above.
                let values = unsafe { values.part(quad * row + start, steps) };
                let pad = std::array::from_fn(|channel| if channel < channels { zero } else { 0 });
                // The part of the chunk that the input covers.
                let from = shape.pads.0.clamp(start, start + steps);
                let to = (shape.pads.0 + length).clamp(from, start + steps);
                values[..from - start].fill(pad);
                values[to - start..].fill(pad);
                let inside = &mut values[from - start..to - start];
                let rows = |channel: usize| match channel < channels && from < to {
                    true => &x[(quad * 4 + channel) * length..][from - shape.pads.0..to - shape.pads.0],
                    false => &[],
                };
                isa.run(Interleave { rows: [rows(0), rows(1), rows(2), rows(3)], out: inside });
                for (sum, values) in sums.iter_mut().zip(&*values) {
                    *sum += values.iter().map(|value| i32::from(*value)).sum::<i32>();
                }
            }
        });
        packed
    }

    /// `Σ x` over channels and taps for the time steps of the tile at `start`.
    fn sums_over_taps(&self, shape: &ConvShape, start: usize) -> [i32; LARGE.0] {
        let mut totals = [0; LARGE.0];
        for tap in 0..shape.taps {
            for (total, sum) in totals.iter_mut().zip(&self.sums[start + tap * shape.dilation..]) {
                *total += sum;
            }
        }
        totals
    }
}

/// `out[t] = [rows[0][t], …, rows[3][t]]`; missing rows are zeros.
struct Interleave<'a> {
    rows: [&'a [u8]; 4],
    out: &'a mut [[u8; 4]],
}

impl Kernel for Interleave<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let Self { rows, out } = self;
        if rows.iter().all(|row| row.len() == out.len()) {
            let [a, b, c, d] = rows;
            for ((((out, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *out = [*a, *b, *c, *d];
            }
        } else {
            for (t, out) in out.iter_mut().enumerate() {
                *out = rows.map(|row| row.get(t).copied().unwrap_or(0));
            }
        }
    }
}

/// A tile of bytes: `x` holds `(quads - 1) · row + (taps - 1) · dilation` quads and those of the tile's time, `weights` is
/// `[quads, taps, outputs of the tile]`.
struct ByteTile<'a> {
    x: &'a [[u8; 4]],
    weights: &'a [[i8; 4]],
    geometry: Geometry,
    sums: &'a mut Sums<i32>,
}

impl Tile for ByteTile<'_> {
    #[inline(always)]
    fn compute<L: Lanes, const V: usize, const O: usize>(self, l: L) {
        let Self { x, weights, geometry, sums } = self;
        let mut partial = [[l.splat_int(0); V]; O];
        let mut weights = weights.as_ptr().cast::<[[i8; 4]; O]>();
        for quad in 0..geometry.quads {
            for tap in 0..geometry.taps {
                // SAFETY: `V` vectors from (quad · row + tap · dilation) on, and the weights of this step, lie within the slices.
                unsafe {
                    let from = x.as_ptr().add(quad * geometry.row + tap * geometry.dilation).cast::<[[u8; 4]; LANES]>();
                    let mut x = [l.load_quads(&*from); V];
                    for (v, x) in x.iter_mut().enumerate().skip(1) {
                        *x = l.load_quads(&*from.add(v));
                    }
                    for (partial, weight) in partial.iter_mut().zip(&*weights) {
                        let weight = l.splat_quad(*weight);
                        for (partial, x) in partial.iter_mut().zip(x) {
                            *partial = l.add_quads(*partial, x, weight);
                        }
                    }
                    weights = weights.add(1);
                }
            }
        }
        for (partial, sums) in partial.iter().zip(sums) {
            for (partial, sums) in partial.iter().zip(sums.as_chunks_mut().0) {
                l.store_int(*partial, sums);
            }
        }
    }
}

/// Bytes are widened to 16 bits, channels 0 and 2 apart from 1 and 3: products of pairs can't saturate then.
///
/// # Safety
/// The processor has the features; `x` holds `(quads - 1) · row + (taps - 1) · dilation + 16` quads, `weights` `quads · taps` entries.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn tile_avx2(x: &[[u8; 4]], weights: &[[[i16; 4]; OF_WORDS.1]], geometry: Geometry, sums: &mut Sums<i32>) {
    use std::arch::x86_64::*;
    let mut partial = [[_mm256_setzero_si256(); 2]; 4];
    let mut weights = weights.as_ptr().cast::<i32>();
    let low_bytes = _mm256_set1_epi16(0xff);
    for quad in 0..geometry.quads {
        for tap in 0..geometry.taps {
            // SAFETY: reads 16 quads from (quad · row + tap · dilation) and the eight pairs of weights of this step, within the slices.
            unsafe {
                let x = x.as_ptr().add(quad * geometry.row + tap * geometry.dilation);
                let x: [__m256i; 2] = std::array::from_fn(|v| _mm256_loadu_si256(x.add(v * 8).cast()));
                let even = x.map(|x| _mm256_and_si256(x, low_bytes));
                let odd = x.map(|x| _mm256_srli_epi16::<8>(x));
                for (o, partial) in partial.iter_mut().enumerate() {
                    let w_even = _mm256_set1_epi32(weights.add(2 * o).read_unaligned());
                    let w_odd = _mm256_set1_epi32(weights.add(2 * o + 1).read_unaligned());
                    for (v, partial) in partial.iter_mut().enumerate() {
                        let products =
                            _mm256_add_epi32(_mm256_madd_epi16(even[v], w_even), _mm256_madd_epi16(odd[v], w_odd));
                        *partial = _mm256_add_epi32(*partial, products);
                    }
                }
                weights = weights.add(8);
            }
        }
    }
    for (partial, sums) in partial.iter().zip(sums) {
        for (partial, sums) in partial.iter().zip(sums.as_chunks_mut::<8>().0) {
            // SAFETY: eight integers.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), *partial) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::one_after_the_other;

    /// Bytes that look random.
    fn bytes(count: usize, seed: u32) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    /// What the operator's definition says.
    fn reference(shape: &ConvShape, x: &[u8], x_zero: u8, w: &[u8], w_zero: &[u8], length: usize) -> Vec<i32> {
        let output_length = shape.output_length(length).unwrap();
        let mut out = Vec::new();
        for o in 0..shape.outputs {
            for t in 0..output_length {
                let mut sum = 0;
                for c in 0..shape.inputs {
                    for tap in 0..shape.taps {
                        let at = (t + tap * shape.dilation).checked_sub(shape.pads.0).filter(|at| *at < length);
                        let x = at.map_or(0, |at| i32::from(x[c * length + at]) - i32::from(x_zero));
                        let w = i32::from(w[(o * shape.inputs + c) * shape.taps + tap]);
                        sum += x * (w - i32::from(w_zero[o % w_zero.len()]));
                    }
                }
                out.push(sum);
            }
        }
        out
    }

    #[test]
    fn sums_are_those_of_the_definition() {
        let cases = [
            (ConvShape { outputs: 8, inputs: 4, taps: 1, dilation: 1, pads: (0, 0) }, 48, vec![128]),
            (ConvShape { outputs: 13, inputs: 22, taps: 3, dilation: 1, pads: (1, 1) }, 7, vec![0]),
            (ConvShape { outputs: 1, inputs: 5, taps: 7, dilation: 3, pads: (9, 9) }, 301, vec![255]),
            (ConvShape { outputs: 3, inputs: 9, taps: 11, dilation: 5, pads: (25, 0) }, 600, vec![1, 130, 254]),
        ];
        for isa in Isa::available() {
            for (number, (shape, length, w_zero)) in cases.iter().enumerate() {
                let x = bytes(shape.inputs * length, number as u32);
                let w = bytes(shape.outputs * shape.inputs * shape.taps, 100 + number as u32);
                let bias: Vec<i32> = (0..shape.outputs as i32).map(|o| o * 1000 - 500).collect();
                for x_zero in [0, 77, 255] {
                    let sums = reference(shape, &x, x_zero, &w, w_zero, *length);
                    let rows = sums.chunks(sums.len() / shape.outputs).zip(&bias);
                    let expected: Vec<f32> =
                        rows.flat_map(|(row, bias)| row.iter().map(move |sum| (sum + bias) as f32 * 0.5)).collect();
                    let conv = QuantizedConv::new(isa, *shape, &w, w_zero).unwrap();
                    let mut out = vec![f32::NAN; expected.len()];
                    conv.run(&x, x_zero, &[0.5], Some(&bias), &mut out, &one_after_the_other).unwrap();
                    assert_eq!(out, expected, "{isa:?} {shape:?} zero point {x_zero}");
                }
            }
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let isa = Isa::best();
        let shape = ConvShape { outputs: 2, inputs: 2, taps: 3, dilation: 1, pads: (0, 0) };
        assert!(QuantizedConv::new(isa, shape, &[0; 11], &[0]).is_err());
        assert!(QuantizedConv::new(isa, shape, &[0; 12], &[0; 3]).is_err());
        let conv = QuantizedConv::new(isa, shape, &[0; 12], &[0]).unwrap();
        let mut out = [0.0; 4];
        assert!(conv.run(&[0; 4], 0, &[1.0], None, &mut out, &one_after_the_other).is_err());
        assert!(conv.run(&[0; 8], 0, &[1.0; 3], None, &mut out, &one_after_the_other).is_err());
        assert!(conv.run(&[0; 8], 0, &[1.0], None, &mut out, &one_after_the_other).is_ok());
    }
}
