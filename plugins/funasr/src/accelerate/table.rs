//! Finds tables of embeddings, of which a request needs a few rows: they stay in the file, and what is read of it is in memory.

use std::sync::Arc;

use memmap2::Mmap;
use syrinx_plugin_common::onnx::model::{GraphModel, Node};
use syrinx_plugin_common::onnx::rewrite::Changes;

use super::{Content, DOMAIN};

/// Name of the operator: ids in, rows out.
pub(super) const OPERATOR: &str = "Rows";
/// The attribute that says which table.
pub(super) const TABLE: &str = "table";

/// Smaller tables are not worth it, bytes.
const LEAST: usize = 1 << 20;

/// A table of floats in a file.
#[derive(Debug)]
pub(super) struct Table {
    file: Arc<Mmap>,
    start: usize,
    rows: usize,
    width: usize,
}

impl Table {
    /// Values of a row.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Copies the row of `id`; negative ones count from the end. `None` when there is none.
    pub(super) fn copy(&self, id: i32, out: &mut [f32]) -> Option<()> {
        let id = if id < 0 { i64::from(id) + self.rows as i64 } else { i64::from(id) };
        let row = usize::try_from(id).ok().filter(|row| *row < self.rows)?;
        let size = self.width * size_of::<f32>();
        let bytes = &self.file[self.start + row * size..][..size];
        out.iter_mut().zip(bytes.as_chunks().0).for_each(|(out, bytes)| *out = f32::from_le_bytes(*bytes));
        Some(())
    }
}

/// Replaces look-ups in large tables; returns the tables.
pub(super) fn replace(graph: &GraphModel<'_>, content: &Content<'_>, changes: &mut Changes) -> Vec<Table> {
    let Content::File(file) = content else { return Vec::new() };
    let mut tables = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let [table, ids] = node.inputs.as_slice() else { continue };
        let is_by_rows = node.integers.get("axis").is_none_or(|axis| axis == &[0]);
        if node.operator != "Gather" || !is_by_rows || graph.is_constant(ids) {
            continue;
        }
        let Some((shape, bytes)) = graph.float_bytes(table).filter(|(_, bytes)| bytes.len() >= LEAST) else { continue };
        let [rows, width] = shape[..] else { continue };
        let start = bytes.as_ptr().addr() - file.as_ptr().addr();
        let new = Node::new(DOMAIN, OPERATOR, &node.name, vec![ids.clone()], node.outputs.clone());
        changes.replace(&[index], new.with_integer(TABLE, tables.len() as i64));
        tables.push(Table { file: Arc::clone(file), start, rows, width });
    }
    tables
}
