//! Scaled dot-product attention of several heads, a block of queries at a time: what a block needs stays in the cache.

use syrinx_plugin_common::kernels::{Isa, Kernel, LANES, Lanes, Parallel, Shared, exp};

use super::columns::Columns;
use super::float::FloatMatrix;

/// Queries of one task.
const BLOCK: usize = 48;

/// How to attend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// Instruction set.
    pub isa: Isa,
    /// Heads.
    pub heads: usize,
    /// Factor of scores.
    pub scale: f32,
}

/// What is added to scores. Keys at the end that −∞ is added to, for all queries, don't count.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// Row-major, last the keys (or 1), before them the queries (or 1).
    pub bias: &'a [f32],
    /// Keys of a row of `bias`, or 1.
    pub width: usize,
    /// Rows of `bias`: of queries, or 1.
    pub rows: usize,
}

impl Keys<'_> {
    /// How many of the keys count.
    fn counted(&self, keys: usize) -> usize {
        if self.rows > 1 || self.width != keys {
            return keys;
        }
        self.bias.iter().rposition(|bias| *bias > f32::NEG_INFINITY).map_or(0, |last| last + 1)
    }

    /// What is added to the first `keys` scores of each row, in whole vectors; −∞ behind the last.
    fn in_lines(&self, keys: usize) -> Vec<[f32; LANES]> {
        let lines = keys.div_ceil(LANES);
        let mut biases = vec![[f32::NEG_INFINITY; LANES]; self.rows * lines];
        for (filled, bias) in biases.chunks_exact_mut(lines).zip(self.bias.chunks_exact(self.width)) {
            let filled = &mut filled.as_flattened_mut()[..keys];
            match bias {
                [bias] => filled.fill(*bias),
                biases => filled.copy_from_slice(&biases[..keys]),
            }
        }
        biases
    }
}

impl Attention {
    /// Of one item: `q` and `out` are `[queries, width]`, `k` and `v` `[keys, width]`. Where no key counts, `out` is 0.
    ///
    /// # Errors
    /// Says which extents don't fit.
    pub fn run(
        &self,
        [q, k, v]: [Columns<'_>; 3],
        added: Keys<'_>,
        out: &mut [f32],
        parallel: &Parallel<'_>,
    ) -> Result<(), String> {
        let width = q.width;
        let head = width / self.heads.max(1);
        let (queries, keys) = (q.rows(), k.rows());
        let fits = head * self.heads == width
            && [q, k, v].iter().all(|tensor| tensor.is_whole() && tensor.width == width)
            && out.len() == queries * width
            && v.rows() == keys;
        if !fits {
            return Err(format!("{queries} queries, {keys} keys and {} values don't fit", v.rows()));
        }
        let bias_fits = (added.width == 1 || added.width == keys)
            && (added.rows == 1 || added.rows == queries)
            && added.bias.len() == added.rows * added.width;
        if !bias_fits {
            return Err(format!("{} values are added to {queries} · {keys} scores", added.bias.len()));
        }
        let keys = added.counted(keys);
        if keys == 0 {
            out.fill(0.0);
            return Ok(());
        }
        // A query's scores fill whole vectors; nothing is multiplied with those behind the last key.
        let lines = keys.div_ceil(LANES);
        let mut laid_out: Vec<Option<[FloatMatrix; 2]>> = (0..self.heads).map(|_| None).collect();
        let places = Shared::new(&mut laid_out);
        parallel(self.heads, &|number| {
            let at = number * head;
            let keys_of = FloatMatrix::of_rows(self.isa, k.from(0, at), k.stride, keys, head).filled_up();
            let values_of = FloatMatrix::of_strided_columns(self.isa, v.from(0, at), v.stride, head, keys);
            // SAFETY: each head has a place of its own.
            unsafe { places.part(number, 1)[0] = Some([keys_of, values_of]) };
        });
        let biases = added.in_lines(keys);
        let blocks = queries.div_ceil(BLOCK);
        let shared = Shared::new(out);
        parallel(self.heads * blocks, &|task| {
            let (number, first) = (task / blocks, task % blocks * BLOCK);
            let count = BLOCK.min(queries - first);
            let Some([keys_of, values_of]) = &laid_out[number] else { return };
            let mut scores = vec![[0.0; LANES]; count * lines];
            keys_of.product_here(
                q.from(first, number * head),
                q.stride,
                count,
                scores.as_flattened_mut(),
                lines * LANES,
            );
            for (row, scores) in scores.chunks_exact_mut(lines).enumerate() {
                let row = if added.rows == 1 { 0 } else { first + row };
                let bias = &biases[row * lines..][..lines];
                self.isa.run(Softmax { scores, bias, scale: self.scale });
            }
            let mut mixed = vec![0.0; count * head];
            values_of.product_here(scores.as_flattened(), lines * LANES, count, &mut mixed, head);
            for (row, mixed) in mixed.chunks_exact(head).enumerate() {
                // SAFETY: each head of each query is of one task.
                unsafe { shared.part((first + row) * width + number * head, head) }.copy_from_slice(mixed);
            }
        });
        Ok(())
    }
}

/// Probabilities out of scores, after scale and bias.
struct Softmax<'a> {
    scores: &'a mut [[f32; LANES]],
    bias: &'a [[f32; LANES]],
    scale: f32,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let scale = l.splat(self.scale);
        let mut peaks = l.splat(f32::NEG_INFINITY);
        for (scores, bias) in self.scores.iter_mut().zip(self.bias) {
            let values = l.mul_add(l.load(scores), scale, l.load(bias));
            peaks = l.max(peaks, values);
            l.store(values, scores);
        }
        let mut lanes = [0.0; LANES];
        l.store(peaks, &mut lanes);
        let minus = l.splat(-lanes.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let mut sums = l.splat(0.0);
        for scores in self.scores.iter_mut() {
            let values = exp(l, l.add(l.load(scores), minus));
            sums = l.add(sums, values);
            l.store(values, scores);
        }
        l.store(sums, &mut lanes);
        let share = l.splat(lanes.iter().sum::<f32>().recip());
        for scores in self.scores.iter_mut() {
            let values = l.mul(l.load(scores), share);
            l.store(values, scores);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::one_after_the_other;

    fn reference(
        [q, k, v]: [&[f32]; 3],
        width: usize,
        heads: usize,
        scale: f32,
        bias: impl Fn(usize, usize) -> f32,
    ) -> Vec<f64> {
        let head = width / heads;
        let (queries, keys) = (q.len() / width, k.len() / width);
        let mut out = vec![0.0; q.len()];
        for number in 0..heads {
            for i in 0..queries {
                let of = |j: usize| {
                    let dot: f64 = (0..head)
                        .map(|c| {
                            f64::from(q[i * width + number * head + c]) * f64::from(k[j * width + number * head + c])
                        })
                        .sum();
                    dot * f64::from(scale) + f64::from(bias(i, j))
                };
                let scores: Vec<f64> = (0..keys).map(of).collect();
                let peak = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().map(|score| (score - peak).exp()).sum();
                for c in 0..head {
                    out[i * width + number * head + c] = (0..keys)
                        .map(|j| (scores[j] - peak).exp() / sum * f64::from(v[j * width + number * head + c]))
                        .sum();
                }
            }
        }
        out
    }

    #[test]
    fn it_is_the_definition() {
        for isa in Isa::available() {
            for (queries, keys, width, heads) in [(1, 1, 4, 4), (5, 40, 24, 4), (100, 100, 64, 2), (60, 33, 32, 1)] {
                let value = |i: usize| (i as f32 * 0.91).sin();
                let q: Vec<f32> = (0..queries * width).map(value).collect();
                let k: Vec<f32> = (0..keys * width).map(|i| value(i + 7)).collect();
                let v: Vec<f32> = (0..keys * width).map(|i| value(i * 3)).collect();
                let attention = Attention { isa, heads, scale: 0.5 };
                let per_key: Vec<f32> = (0..keys).map(|j| if j > 20 { -1e4 } else { 0.1 * j as f32 }).collect();
                let per_query: Vec<f32> = (0..queries * keys).map(value).collect();
                for (bias, rows, bias_width) in [(&per_key, 1, keys), (&per_query, queries, keys), (&vec![0.0], 1, 1)] {
                    let added = Keys { bias, width: bias_width, rows };
                    let mut out = vec![f32::NAN; q.len()];
                    let parts = [&q, &k, &v].map(|values| Columns::all(values, width));
                    attention.run(parts, added, &mut out, &one_after_the_other).unwrap();
                    let at = |i: usize, j: usize| bias[i % rows * bias_width + j % bias_width];
                    let want = reference([&q, &k, &v], width, heads, 0.5, at);
                    for (got, want) in out.iter().zip(want) {
                        assert!((f64::from(*got) - want).abs() < 1e-5, "{isa:?} {queries} {keys}: {got} {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn parts_of_rows_are_taken_where_they_lie_and_masked_keys_do_not_count() {
        let (queries, width, heads) = (20, 32, 4);
        let joined: Vec<f32> = (0..queries * 3 * width).map(|i| (i as f32 * 0.37).cos()).collect();
        let part = |number: usize| Columns { values: &joined, stride: 3 * width, first: number * width, width };
        let copied = |number: usize, rows: usize| -> Vec<f32> {
            joined.chunks_exact(3 * width).take(rows).flat_map(|row| &row[number * width..][..width]).copied().collect()
        };
        for isa in Isa::available() {
            let attention = Attention { isa, heads, scale: 0.3 };
            for counted in [0, 1, 15, 16, 20] {
                let bias: Vec<f32> =
                    (0..queries).map(|key| if key < counted { 0.0 } else { f32::NEG_INFINITY }).collect();
                let added = Keys { bias: &bias, width: queries, rows: 1 };
                let mut out = vec![f32::NAN; queries * width];
                attention.run([0, 1, 2].map(part), added, &mut out, &one_after_the_other).unwrap();
                let (q, k, v) = (copied(0, queries), copied(1, counted), copied(2, counted));
                let want = reference([&q, &k, &v], width, heads, 0.3, |_, _| 0.0);
                for (got, want) in out.iter().zip(want) {
                    assert!((f64::from(*got) - want).abs() < 1e-5, "{isa:?} {counted}: {got} {want}");
                }
            }
        }
    }
}
