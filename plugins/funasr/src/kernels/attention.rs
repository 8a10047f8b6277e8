//! Scaled dot-product attention of several heads, a block of queries at a time: what a block needs stays in the cache.

use syrinx_plugin_common::kernels::{Isa, Kernel, LANES, Lanes, Parallel, Shared, exp};

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

/// What is added to scores.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// Row-major, last the keys (or 1), before them the queries (or 1).
    pub bias: &'a [f32],
    /// Keys of a row of `bias`, or 1.
    pub width: usize,
    /// Rows of `bias`: of queries, or 1.
    pub rows: usize,
}

impl Attention {
    /// Of one item: `q` and `out` are `[queries, width]`, `k` and `v` `[keys, width]`.
    ///
    /// # Errors
    /// Says which extents don't fit.
    pub fn run(
        &self,
        [q, k, v]: [&[f32]; 3],
        width: usize,
        added: Keys<'_>,
        out: &mut [f32],
        parallel: &Parallel<'_>,
    ) -> Result<(), String> {
        let head = width / self.heads.max(1);
        let (queries, keys) = (q.len() / width.max(1), k.len() / width.max(1));
        let fits = head * self.heads == width
            && width > 0
            && q.len() == queries * width
            && out.len() == q.len()
            && k.len() == keys * width
            && v.len() == k.len();
        if !fits {
            return Err(format!("{} queries, {} keys and {} values don't fit", q.len(), k.len(), v.len()));
        }
        let bias_fits = (added.width == 1 || added.width == keys)
            && (added.rows == 1 || added.rows == queries)
            && added.bias.len() == added.rows * added.width;
        if !bias_fits {
            return Err(format!("{} values are added to {queries} · {keys} scores", added.bias.len()));
        }
        let mut laid_out: Vec<Option<[FloatMatrix; 2]>> = vec![None; self.heads];
        let places = Shared::new(&mut laid_out);
        parallel(self.heads, &|number| {
            let at = number * head;
            let keys_of = FloatMatrix::of_rows(self.isa, &k[at..], width, keys, head);
            let values_of = FloatMatrix::of_strided_columns(self.isa, &v[at..], width, head, keys);
            // SAFETY: each head has a place of its own.
            unsafe { places.part(number, 1)[0] = Some([keys_of, values_of]) };
        });
        let blocks = queries.div_ceil(BLOCK);
        let shared = Shared::new(out);
        parallel(self.heads * blocks, &|task| {
            let (number, first) = (task / blocks, task % blocks * BLOCK);
            let count = BLOCK.min(queries - first);
            let Some([keys_of, values_of]) = &laid_out[number] else { return };
            let mut scores = vec![0.0; count * keys];
            keys_of.product_here(&q[first * width + number * head..], width, count, &mut scores, keys);
            for (row, scores) in scores.chunks_exact_mut(keys.max(1)).enumerate() {
                let row = if added.rows == 1 { 0 } else { first + row };
                let bias = &added.bias[row * added.width..][..added.width];
                self.isa.run(Softmax { scores, bias, scale: self.scale });
            }
            let mut mixed = vec![0.0; count * head];
            values_of.product_here(&scores, keys, count, &mut mixed, head);
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
    scores: &'a mut [f32],
    bias: &'a [f32],
    scale: f32,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (scores, rest) = self.scores.as_chunks_mut::<LANES>();
        let start = scores.len() * LANES;
        let bias = |at: usize| if self.bias.len() == 1 { self.bias[0] } else { self.bias[at] };
        let scale = l.splat(self.scale);
        let mut peaks = l.splat(f32::NEG_INFINITY);
        for (block, scores) in scores.iter_mut().enumerate() {
            let bias = match self.bias[(block * LANES).min(self.bias.len() - 1)..].first_chunk() {
                Some(bias) => l.load(bias),
                None => l.splat(self.bias[0]),
            };
            let values = l.mul_add(l.load(scores), scale, bias);
            peaks = l.max(peaks, values);
            l.store(values, scores);
        }
        let mut lanes = [0.0; LANES];
        l.store(peaks, &mut lanes);
        let mut peak = lanes.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for (lane, score) in rest.iter_mut().enumerate() {
            *score = *score * self.scale + bias(start + lane);
            peak = peak.max(*score);
        }
        let minus = l.splat(-peak);
        let mut sums = l.splat(0.0);
        for scores in scores.iter_mut() {
            let values = exp(l, l.add(l.load(scores), minus));
            sums = l.add(sums, values);
            l.store(values, scores);
        }
        l.store(sums, &mut lanes);
        let mut sum: f32 = lanes.iter().sum();
        if !rest.is_empty() {
            let mut last = [f32::NEG_INFINITY; LANES];
            last[..rest.len()].copy_from_slice(rest);
            let values = exp(l, l.add(l.load(&last), minus));
            l.store(values, &mut last);
            rest.copy_from_slice(&last[..rest.len()]);
            sum += rest.iter().sum::<f32>();
        }
        let share = l.splat(sum.recip());
        for scores in scores.iter_mut() {
            let values = l.mul(l.load(scores), share);
            l.store(values, scores);
        }
        rest.iter_mut().for_each(|score| *score /= sum);
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
                    attention.run([&q, &k, &v], width, added, &mut out, &one_after_the_other).unwrap();
                    let at = |i: usize, j: usize| bias[i % rows * bias_width + j % bias_width];
                    let want = reference([&q, &k, &v], width, heads, 0.5, at);
                    for (got, want) in out.iter().zip(want) {
                        assert!((f64::from(*got) - want).abs() < 1e-5, "{isa:?} {queries} {keys}: {got} {want}");
                    }
                }
            }
        }
    }
}
