//! What kernels of our own operators have in common.

use ort::operator::ComputeContext;
use ort::value::{ValueRef, ValueRefMut};

use super::RuntimeError;
use crate::kernels::one_after_the_other;

/// The element that a node's attribute names.
///
/// # Errors
/// There is none.
pub fn element_of<T>(list: &[T], index: Option<i64>) -> Result<&T, RuntimeError> {
    let found = index.and_then(|index| list.get(usize::try_from(index).ok()?));
    found.ok_or_else(|| RuntimeError::new("the node's attribute names nothing"))
}

/// An input that must be there.
///
/// # Errors
/// It is missing.
pub fn input(context: &ComputeContext, index: usize) -> Result<ValueRef<'_>, RuntimeError> {
    context.input(index)?.ok_or_else(|| RuntimeError::new(format!("input {index} is missing")))
}

/// The first output, of the given extents.
///
/// # Errors
/// There is none, or no memory for it.
pub fn output<'c>(context: &'c ComputeContext, shape: &[i64]) -> Result<ValueRefMut<'c>, RuntimeError> {
    context.output(0, shape.to_vec())?.ok_or_else(|| RuntimeError::new("the output is missing"))
}

/// The extents of a tensor of three dimensions.
///
/// # Errors
/// It has more or fewer; `names` says what is expected.
pub fn three(shape: &[i64], names: &str) -> Result<[usize; 3], RuntimeError> {
    match shape {
        [a, b, c] => Ok([*a, *b, *c].map(|extent| extent as usize)),
        _ => Err(RuntimeError::new(format!("a tensor of {} dimensions instead of {names}", shape.len()))),
    }
}

/// Runs `job` for each index below `count` on the session's threads.
pub fn run_parallel(context: &ComputeContext, count: usize, job: &(dyn Fn(usize) + Sync)) {
    // It fails only for a missing argument; then nothing has run.
    if context.par_for(count, 0, job).is_err() {
        one_after_the_other(count, job);
    }
}
