//! `y = x Wᵀ + b` of weights that are bytes: `x` is quantised as ONNX's `DynamicQuantizeLinear` does, and the sums of products are the same
//! to the bit as `MatMulInteger`'s.
//!
//! With `x' = x − 128` (so that it is signed) and its zero point likewise, sums are
//! `Σ (x' − x₀)(w − w₀) = Σ x'·w − x₀·Σ w − w₀·Σ x' + x₀·w₀·n`: only the first is made by the inner loop.

use syrinx_plugin_common::kernels::{Isa, Kernel, LANES, Lanes, Parallel, Shared};

use super::float::Sweep;
use super::line::Line;
use super::sweep::{Ahead, Finish, Place, Stored, Tasks, Tiles};

/// What makes an unsigned byte signed.
const CENTRE: i32 = 128;
/// Values that one task quantises.
const CHUNK: usize = 64 * 1024;
/// Longest rows whose sums can't overflow: 65 000 · 255 · 128 < 2³¹.
const MOST_INPUTS: usize = 65_000;

/// A matrix of bytes `[outputs, inputs]`, laid out for the inner loop: sixteen outputs to a panel, and in it four columns after four columns.
#[derive(Clone, Debug)]
pub struct ByteMatrix {
    isa: Isa,
    outputs: usize,
    inputs: usize,
    /// `[panels, inputs / 4]`; what is missing is zero.
    lines: Vec<Line<[u8; 4]>>,
    /// Per output, filled up to whole panels: what 1 stands for, the zero point, and the sum of the weights.
    scales: Vec<Line<f32>>,
    zeros: Vec<Line<i32>>,
    sums: Vec<Line<i32>>,
}

impl ByteMatrix {
    /// Lays out `columns`, `[inputs, outputs]` as ONNX has weights; `zeros` and `scales` are one or one per output.
    ///
    /// # Errors
    /// Says which extents don't fit.
    pub fn of_columns(isa: Isa, columns: &[u8], outputs: usize, zeros: &[u8], scales: &[f32]) -> Result<Self, String> {
        let inputs = columns.len() / outputs.max(1);
        let fits = |length: usize| length == 1 || length == outputs;
        if columns.len() != inputs * outputs || inputs > MOST_INPUTS || !fits(zeros.len()) || !fits(scales.len()) {
            return Err(format!("{} weights, {} zero points, {} scales", columns.len(), zeros.len(), scales.len()));
        }
        let (panels, quads) = (outputs.div_ceil(LANES), inputs.div_ceil(4));
        let mut matrix = Self {
            isa,
            outputs,
            inputs,
            lines: vec![Line([[0; 4]; LANES]); panels * quads],
            scales: vec![Line([0.0; LANES]); panels],
            zeros: vec![Line([0; LANES]); panels],
            sums: vec![Line([0; LANES]); panels],
        };
        for (panel, lines) in matrix.lines.chunks_exact_mut(quads.max(1)).enumerate() {
            let first = panel * LANES;
            let count = LANES.min(outputs - first);
            for (input, row) in columns.chunks_exact(outputs).enumerate() {
                let row = &row[first..first + count];
                for (place, value) in lines[input / 4].0.iter_mut().zip(row) {
                    place[input % 4] = *value;
                }
                matrix.sums[panel].0.iter_mut().zip(row).for_each(|(sum, value)| *sum += i32::from(*value));
            }
            for lane in 0..count {
                matrix.scales[panel].0[lane] = scales[(first + lane) % scales.len()];
                matrix.zeros[panel].0[lane] = i32::from(zeros[(first + lane) % zeros.len()]);
            }
        }
        Ok(matrix)
    }

    /// Quantises `columns`, `[inputs, outputs]`, each output by a scale of its own.
    ///
    /// # Errors
    /// Says which extents don't fit.
    pub fn quantized(isa: Isa, columns: &[f32], outputs: usize) -> Result<Self, String> {
        let mut peaks = vec![0.0_f32; outputs];
        for row in columns.chunks_exact(outputs.max(1)) {
            peaks.iter_mut().zip(row).for_each(|(peak, value)| *peak = peak.max(value.abs()));
        }
        let scales: Vec<f32> = peaks.iter().map(|peak| if *peak > 0.0 { peak / 127.0 } else { 1.0 }).collect();
        let quantize = |(value, scale): (&f32, &f32)| ((value / scale).round_ties_even() as i32 + CENTRE) as u8;
        let bytes: Vec<u8> =
            columns.chunks_exact(outputs.max(1)).flat_map(|row| row.iter().zip(&scales).map(quantize)).collect();
        Self::of_columns(isa, &bytes, outputs, &[CENTRE as u8], &scales)
    }

    /// Values of a row of the product.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Values of a row of what is multiplied.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// `y`, `[rows, outputs]`, of `x`, `[rows, inputs]`.
    ///
    /// # Errors
    /// Says which extents don't fit.
    pub fn product(&self, x: &[f32], y: &mut [f32], finish: Finish<'_>, parallel: &Parallel<'_>) -> Result<(), String> {
        finish.rows(x, self.inputs, y, self.outputs)?;
        let quantized = Quantized::new(self.isa, x, self.inputs, parallel);
        self.product_of(&quantized, y, finish, parallel);
        Ok(())
    }

    fn product_of(&self, x: &Quantized, y: &mut [f32], finish: Finish<'_>, parallel: &Parallel<'_>) {
        let place = Place { start: y.as_mut_ptr(), stride: self.outputs, outputs: self.outputs, finish };
        let tiles = ByteTiles { x, matrix: self, place };
        let tasks = Tasks::new(x.sums.len(), x.stride, self.outputs.div_ceil(LANES));
        parallel(tasks.count(), &|task| {
            let (rows, panels) = tasks.part(task);
            self.isa.run(Sweep { tiles, rows, panels });
        });
    }
}

/// Quantised rows.
struct Quantized {
    /// `[rows, stride]`; columns behind the last are zeros.
    values: Vec<i8>,
    /// Values of a row with what is missing to whole quads.
    stride: usize,
    /// Sums of rows.
    sums: Vec<i32>,
    /// What 1 stands for.
    scale: f32,
    /// What stands for 0.
    zero: i32,
}

impl Quantized {
    /// Source: ONNX `DynamicQuantizeLinear`.
    fn new(isa: Isa, x: &[f32], inputs: usize, parallel: &Parallel<'_>) -> Self {
        let chunks = x.len().div_ceil(CHUNK);
        let mut ranges = vec![[0.0_f32; 2]; chunks];
        let found = Shared::new(&mut ranges);
        parallel(chunks, &|chunk| {
            let part = &x[chunk * CHUNK..x.len().min((chunk + 1) * CHUNK)];
            // SAFETY: each chunk has a place of its own.
            let range = unsafe { &mut found.part(chunk, 1)[0] };
            isa.run(Range { values: part, range });
        });
        let low = ranges.iter().fold(0.0_f32, |low, range| low.min(range[0]));
        let high = ranges.iter().fold(0.0_f32, |high, range| high.max(range[1]));
        let scale = if high > low { (high - low) / 255.0 } else { 1.0 };
        let zero = (-low / scale).round_ties_even().clamp(0.0, 255.0);

        let (rows, stride) = (x.len() / inputs.max(1), inputs.next_multiple_of(4));
        let mut quantized =
            Self { values: vec![0; rows * stride], stride, sums: vec![0; rows], scale, zero: zero as i32 - CENTRE };
        let (values, sums) = (Shared::new(&mut quantized.values), Shared::new(&mut quantized.sums));
        let block = (CHUNK / inputs.max(1)).max(1);
        parallel(rows.div_ceil(block), &|task| {
            let first = task * block;
            let count = block.min(rows - first);
            // SAFETY: each block of rows is of one task.
            let (values, sums) = unsafe { (values.part(first * stride, count * stride), sums.part(first, count)) };
            let rows = x[first * inputs..(first + count) * inputs].chunks_exact(inputs);
            for ((row, values), sum) in rows.zip(values.chunks_exact_mut(stride)).zip(sums) {
                isa.run(QuantizeRow { row, values: &mut values[..inputs], scale, zero });
                *sum = values.iter().map(|value| i32::from(*value)).sum();
            }
        });
        quantized
    }
}

struct Range<'a> {
    values: &'a [f32],
    range: &'a mut [f32; 2],
}

impl Kernel for Range<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (blocks, rest) = self.values.as_chunks::<LANES>();
        let (mut lows, mut highs) = (l.splat(0.0), l.splat(0.0));
        for block in blocks {
            let values = l.load(block);
            (lows, highs) = (l.min(lows, values), l.max(highs, values));
        }
        let (mut low, mut high) = ([0.0; LANES], [0.0; LANES]);
        l.store(lows, &mut low);
        l.store(highs, &mut high);
        for value in low.iter().chain(&high).chain(rest) {
            self.range[0] = self.range[0].min(*value);
            self.range[1] = self.range[1].max(*value);
        }
    }
}

struct QuantizeRow<'a> {
    row: &'a [f32],
    values: &'a mut [i8],
    scale: f32,
    /// Of unsigned bytes.
    zero: f32,
}

impl Kernel for QuantizeRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (blocks, rest) = self.row.as_chunks::<LANES>();
        let (out, out_rest) = self.values.as_chunks_mut::<LANES>();
        let centre = CENTRE as f32;
        for (block, out) in blocks.iter().zip(out) {
            let steps = l.round(l.div(l.load(block), l.splat(self.scale)));
            let bytes = l.add(steps, l.splat(self.zero));
            let bytes = l.min(l.max(bytes, l.splat(0.0)), l.splat(255.0));
            l.store_i8(l.sub(bytes, l.splat(centre)), out);
        }
        for (value, out) in rest.iter().zip(out_rest) {
            let byte = ((value / self.scale).round_ties_even() + self.zero).clamp(0.0, 255.0);
            *out = (byte - centre) as i8;
        }
    }
}

#[derive(Clone, Copy)]
struct ByteTiles<'a> {
    x: &'a Quantized,
    matrix: &'a ByteMatrix,
    place: Place<'a>,
}

impl Tiles for ByteTiles<'_> {
    #[inline(always)]
    fn stored(self) -> Stored {
        let (lines, steps) = (&self.matrix.lines, self.matrix.inputs.div_ceil(4));
        let panels = self.matrix.outputs.div_ceil(LANES);
        Stored { start: lines.as_ptr().cast(), panel: steps * size_of::<Line<[u8; 4]>>(), panels, steps }
    }

    #[inline(always)]
    unsafe fn tile<L: Lanes, const R: usize, const P: usize>(self, l: L, row: usize, panel: usize, ahead: Ahead) {
        let quads = self.matrix.inputs.div_ceil(4);
        let mut sums = [[l.splat_int(0); P]; R];
        // SAFETY: `R` rows of whole quads and `P` panels of as many lines exist, as the caller promises.
        unsafe {
            let x = self.x.values.as_ptr().add(row * self.x.stride);
            let w = self.matrix.lines.as_ptr().add(panel * quads);
            for k in 0..quads {
                ahead.fetch(l, k);
                let mut weights = [l.load_quads(&(*w.add(k)).0); P];
                for (p, weights) in weights.iter_mut().enumerate().skip(1) {
                    *weights = l.load_quads(&(*w.add(p * quads + k)).0);
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = l.splat_quad(x.add(r * self.x.stride + k * 4).cast::<[i8; 4]>().read_unaligned());
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = l.add_quads(*sum, weights, x);
                    }
                }
            }
            // Out of the registers at once: what is finished one by one would be kept in memory all along.
            let mut done = [[[0; LANES]; P]; R];
            for (sums, done) in sums.iter().zip(&mut done) {
                for (sum, done) in sums.iter().zip(done) {
                    l.store_int(*sum, done);
                }
            }
            for p in 0..P {
                let panel = panel + p;
                let zeros = l.load_int(&self.matrix.zeros.get_unchecked(panel).0);
                let weight_sums = l.load_int(&self.matrix.sums.get_unchecked(panel).0);
                let scales = l.mul(l.load(&self.matrix.scales.get_unchecked(panel).0), l.splat(self.x.scale));
                // x₀·(w₀·n − Σ w)
                let count = l.splat_int(self.matrix.inputs as i32);
                let fixed = l.mul_int(l.splat_int(self.x.zero), l.sub_int(l.mul_int(zeros, count), weight_sums));
                for (r, done) in done.iter().enumerate() {
                    let of_row = l.mul_int(zeros, l.splat_int(*self.x.sums.get_unchecked(row + r)));
                    let sum = l.sub_int(l.add_int(l.load_int(&done[p]), fixed), of_row);
                    self.place.put(l, l.mul(l.to_float(sum), scales), row + r, panel);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::one_after_the_other;

    /// What the operators' definitions say.
    fn reference(x: &[f32], w: &[u8], outputs: usize, zeros: &[u8], scales: &[f32]) -> Vec<f32> {
        let inputs = w.len() / outputs;
        let low = x.iter().copied().fold(0.0_f32, f32::min);
        let high = x.iter().copied().fold(0.0_f32, f32::max);
        let scale = if high > low { (high - low) / 255.0 } else { 1.0 };
        let zero = (-low / scale).round_ties_even().clamp(0.0, 255.0) as i32;
        let bytes: Vec<i32> =
            x.iter().map(|value| ((value / scale).round_ties_even() as i32 + zero).clamp(0, 255)).collect();
        let mut y = Vec::new();
        for row in bytes.chunks_exact(inputs) {
            for o in 0..outputs {
                let w0 = i32::from(zeros[o % zeros.len()]);
                let sum: i32 = (0..inputs).map(|k| (row[k] - zero) * (i32::from(w[k * outputs + o]) - w0)).sum();
                y.push(sum as f32 * (scales[o % scales.len()] * scale));
            }
        }
        y
    }

    #[test]
    fn sums_are_those_of_the_definition() {
        for isa in Isa::available() {
            for (rows, inputs, outputs) in [(1, 4, 16), (3, 7, 5), (13, 64, 48), (30, 513, 33), (5, 2048, 16)] {
                let x: Vec<f32> = (0..rows * inputs).map(|i| ((i * 31 % 97) as f32 - 40.0) * 0.11).collect();
                let w: Vec<u8> = (0..inputs * outputs).map(|i| (i * 89 % 256) as u8).collect();
                let scales: Vec<f32> = (0..outputs).map(|o| 0.01 + o as f32 * 0.001).collect();
                let zeros: Vec<u8> = (0..outputs).map(|o| (o * 53 % 256) as u8).collect();
                for (zeros, scales) in [(&zeros[..], &scales[..]), (&[128][..], &[0.5][..])] {
                    let matrix = ByteMatrix::of_columns(isa, &w, outputs, zeros, scales).unwrap();
                    for x in [x.clone(), vec![0.0; x.len()], x.iter().map(|v| v.abs() + 1.0).collect()] {
                        let mut y = vec![f32::NAN; rows * outputs];
                        matrix.product(&x, &mut y, Finish::default(), &one_after_the_other).unwrap();
                        assert_eq!(y, reference(&x, &w, outputs, zeros, scales), "{isa:?} {rows} {inputs} {outputs}");
                    }
                }
            }
            assert!(ByteMatrix::of_columns(isa, &[0; 6], 4, &[0], &[1.0]).is_err());
        }
    }

    #[test]
    fn quantised_weights_are_near() {
        let isa = Isa::best();
        let (inputs, outputs) = (64, 20);
        let w: Vec<f32> = (0..inputs * outputs).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.01).collect();
        let x: Vec<f32> = (0..inputs).map(|i| (i as f32 * 0.3).sin()).collect();
        let matrix = ByteMatrix::quantized(isa, &w, outputs).unwrap();
        let mut y = vec![0.0; outputs];
        matrix.product(&x, &mut y, Finish::default(), &one_after_the_other).unwrap();
        for (o, got) in y.iter().enumerate() {
            let want: f32 = (0..inputs).map(|k| x[k] * w[k * outputs + o]).sum();
            assert!((got - want).abs() < 0.05, "{got} {want}");
        }
    }
}
