//! One query over rows of keys and values that lie wherever they were appended.

use syrinx_plugin_common::kernels::{Isa, Kernel, LANES, Lanes};

use super::dot::inner_product;
use super::softmax::Softmax;

/// What is looked at, and where: columns `column .. column + query.len()` of the given rows, each `width` long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct History<'a> {
    pub(crate) keys: &'a [f32],
    pub(crate) values: &'a [f32],
    pub(crate) width: usize,
    pub(crate) column: usize,
    pub(crate) rows: &'a [u32],
}

/// `mixed = softmax(scale · query · keysᵀ) · values`; `scores` (one per row) is work space.
pub(crate) fn recall(query: &[f32], history: History<'_>, scale: f32, scores: &mut [f32], mixed: &mut [f32]) {
    Isa::best().run(Recall { query, history, scale, scores, mixed });
}

struct Recall<'a> {
    query: &'a [f32],
    history: History<'a>,
    scale: f32,
    scores: &'a mut [f32],
    mixed: &'a mut [f32],
}

impl Kernel for Recall<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { query, history, scale, scores, mixed } = self;
        let head = query.len();
        for (score, &row) in scores.iter_mut().zip(history.rows) {
            let key = &history.keys[row as usize * history.width + history.column..][..head];
            *score = scale * inner_product(l, key, query);
        }
        Softmax(scores).run(l);
        let (blocks, rest) = mixed.as_chunks_mut::<LANES>();
        for (index, block) in blocks.iter_mut().enumerate() {
            let mut sums = l.splat(0.0);
            for (&weight, &row) in scores.iter().zip(history.rows) {
                let at = row as usize * history.width + history.column + index * LANES;
                if let Some(value) = history.values[at..].first_chunk::<LANES>() {
                    sums = l.mul_add(l.load(value), l.splat(weight), sums);
                }
            }
            l.store(sums, block);
        }
        let first = head - rest.len();
        for (c, place) in rest.iter_mut().enumerate() {
            *place = 0.0;
            for (&weight, &row) in scores.iter().zip(history.rows) {
                *place += weight * history.values[row as usize * history.width + history.column + first + c];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likely_rows_are_mixed() {
        let (width, head, column) = (60, 20, 20);
        let numbers =
            |step: usize| (0..9 * width).map(|i| ((i * step % 37) as f32 - 18.0) / 16.0).collect::<Vec<f32>>();
        let (keys, values, rows) = (numbers(5), numbers(11), [7, 0, 3, 8]);
        let query = &numbers(3)[..head];
        let weights: Vec<f64> = rows
            .iter()
            .map(|&row| {
                let key = &keys[row as usize * width + column..][..head];
                (0.5 * query.iter().zip(key).map(|(q, k)| f64::from(q * k)).sum::<f64>()).exp()
            })
            .collect();
        let sum: f64 = weights.iter().sum();
        for isa in Isa::available() {
            let (mut scores, mut mixed) = ([0.0; 4], [0.0; 20]);
            let history = History { keys: &keys, values: &values, width, column, rows: &rows };
            isa.run(Recall { query, history, scale: 0.5, scores: &mut scores, mixed: &mut mixed });
            for (c, got) in mixed.iter().enumerate() {
                let parts = rows.iter().zip(&weights);
                let want =
                    parts.map(|(&row, w)| w / sum * f64::from(values[row as usize * width + column + c])).sum::<f64>();
                assert!((f64::from(*got) - want).abs() < 1e-5, "{isa:?}: {got} {want}");
            }
        }
    }
}
