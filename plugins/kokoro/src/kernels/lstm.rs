//! The recurrence of a long short-term memory. What goes into it from outside is projected for all steps at once before.

use syrinx_plugin_common::kernels::{Isa, Kernel, Lanes};

/// Gates per cell: input, forget, candidate, output (torch's order).
pub const GATES: usize = 4;

/// Lanes of the inner products.
const LANES: usize = 32;

/// Runs over `projected`, `[steps, 4 · hidden]` (input weights and both biases applied), and writes the states `[steps, hidden]`; backwards
/// from the last step when `reverse`. `recurrent` is `[4 · hidden, hidden]`.
pub fn recur(isa: Isa, projected: &[f32], recurrent: &[f32], hidden: usize, reverse: bool, states: &mut [f32]) {
    assert_eq!(projected.len(), GATES * states.len(), "four gates per state");
    assert_eq!(recurrent.len(), GATES * hidden * hidden, "recurrent weights");
    isa.run(Recurrence { projected, recurrent, hidden, reverse, states });
}

struct Recurrence<'a> {
    projected: &'a [f32],
    recurrent: &'a [f32],
    hidden: usize,
    reverse: bool,
    states: &'a mut [f32],
}

impl Kernel for Recurrence<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let Self { projected, recurrent, hidden, reverse, states } = self;
        let steps = states.len() / hidden.max(1);
        let (mut state, mut cell) = (vec![0.0; hidden], vec![0.0; hidden]);
        let mut gates = vec![0.0; GATES * hidden];
        for step in 0..steps {
            let step = if reverse { steps - 1 - step } else { step };
            let projected = &projected[step * GATES * hidden..][..GATES * hidden];
            for ((gate, projected), weights) in gates.iter_mut().zip(projected).zip(recurrent.chunks_exact(hidden)) {
                *gate = projected + dot(weights, &state);
            }
            for (unit, (state, cell)) in state.iter_mut().zip(&mut cell).enumerate() {
                let [input, forget, candidate, output] = std::array::from_fn(|gate| gates[gate * hidden + unit]);
                *cell = sigmoid(forget) * *cell + sigmoid(input) * candidate.tanh();
                *state = sigmoid(output) * cell.tanh();
            }
            states[step * hidden..][..hidden].copy_from_slice(&state);
        }
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With all gates at 1 the first state is σ(1)·tanh(σ(1)·tanh(1)).
    #[test]
    fn states_by_hand() {
        let projected: Vec<f32> = [1.0, -1.0, 2.0].iter().flat_map(|x| [*x; GATES]).collect();
        let mut states = [0.0; 3];
        recur(Isa::best(), &projected, &[0.0; 4], 1, false, &mut states);
        let first = sigmoid(1.0) * (sigmoid(1.0) * 1.0_f32.tanh()).tanh();
        assert!((states[0] - first).abs() < 1e-6);
        // Without recurrent weights the last step of the backward direction is the first of the forward one.
        let mut backward = [0.0; 1];
        recur(Isa::best(), &projected[..4], &[0.0; 4], 1, true, &mut backward);
        assert!((backward[0] - first).abs() < 1e-6);
    }

    #[test]
    fn all_processors_agree() {
        let (hidden, steps) = (40, 9);
        let value = |i: usize| ((i * 37) as f32 * 0.31).sin();
        let projected: Vec<f32> = (0..steps * GATES * hidden).map(value).collect();
        let recurrent: Vec<f32> = (0..GATES * hidden * hidden).map(|i| 0.2 * value(i + 5)).collect();
        for reverse in [false, true] {
            // The first of them is plain loops.
            let mut expected: Option<Vec<f32>> = None;
            for isa in Isa::available() {
                let mut states = vec![0.0; steps * hidden];
                recur(isa, &projected, &recurrent, hidden, reverse, &mut states);
                let expected = expected.get_or_insert_with(|| states.clone());
                let close = states.iter().zip(&*expected).all(|(a, b)| (a - b).abs() < 1e-5);
                assert!(close, "{isa:?}, reverse {reverse}");
            }
        }
    }
}
