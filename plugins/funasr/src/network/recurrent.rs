//! LSTMs, from torch's gates to ONNX's.

use syrinx_plugin_common::checkpoint::CheckpointError;
use syrinx_plugin_common::onnx::{Attribute, Value};

use super::Net;

/// Where ONNX's gates (input, output, forget, cell) stand among torch's (input, forget, cell, output).
const GATES: [usize; 4] = [0, 3, 1, 2];

impl Net<'_> {
    /// One layer over `[batch, steps, width]`: `[batch, steps, directions · hidden]`; of each row only as many steps as `lengths` says.
    pub(super) fn lstm(
        &mut self,
        x: &Value,
        lengths: Option<&Value>,
        name: &str,
        layer: usize,
        is_bidirectional: bool,
    ) -> Result<Value, CheckpointError> {
        let directions: &[&str] = if is_bidirectional { &["", "_reverse"] } else { &[""] };
        let (mut w, mut r, mut b) = (Vec::new(), Vec::new(), Vec::new());
        let (mut inputs, mut hidden) = (0, 0);
        for direction in directions {
            let tensor = |leaf: &str| self.weights.get(&format!("{name}.{leaf}_l{layer}{direction}"));
            let (shape, values) = tensor("weight_ih")?;
            [_, inputs] = super::matrix(name, &shape)?;
            w.extend(reordered(&values));
            let (shape, values) = tensor("weight_hh")?;
            [_, hidden] = super::matrix(name, &shape)?;
            r.extend(reordered(&values));
            b.extend(reordered(&tensor("bias_ih")?.1));
            b.extend(reordered(&tensor("bias_hh")?.1));
        }
        let count = directions.len();
        let w = self.graph.f32s("", &[count, 4 * hidden, inputs], &w);
        let r = self.graph.f32s("", &[count, 4 * hidden, hidden], &r);
        let b = self.graph.f32s("", &[count, 8 * hidden], &b);
        let steps_first = self.transpose(x, &[1, 0, 2]);
        let attributes = [
            ("hidden_size", Attribute::Int(hidden as i64)),
            ("direction", Attribute::Text(if is_bidirectional { "bidirectional" } else { "forward" })),
        ];
        let [y] = self.graph.op_with("LSTM", &[Some(&steps_first), Some(&w), Some(&r), Some(&b), lengths], &attributes);
        // [steps, directions, batch, hidden]
        let y = self.transpose(&y, &[2, 0, 1, 3]);
        Ok(self.reshape(&y, &[0, 0, (count * hidden) as i64]))
    }
}

/// Rows of the four gates in ONNX's order.
fn reordered(values: &[f32]) -> impl Iterator<Item = f32> {
    let gate = values.len() / 4;
    GATES.into_iter().flat_map(move |from| values[from * gate..(from + 1) * gate].iter().copied())
}
