//! The weights in an ONNX graph, for networks that are simple enough to be run without ONNX Runtime. The graph itself is not read.
//!
//! Source: `onnx/onnx.proto3` (messages `ModelProto`, `GraphProto`, `TensorProto`).

use std::ops::Range;
use std::sync::Arc;

use super::container::{Entry, MappedFile};
use super::{CheckpointError, DType, Tensors};
use crate::protobuf::{Fields, Value, varint};

const FORMAT: &str = "ONNX";

/// Numbers of the fields that are read.
mod field {
    pub(super) const MODEL_GRAPH: u64 = 7;
    pub(super) const GRAPH_INITIALIZER: u64 = 5;
    pub(super) const TENSOR_DIMS: u64 = 1;
    pub(super) const TENSOR_TYPE: u64 = 2;
    pub(super) const TENSOR_FLOATS: u64 = 4;
    pub(super) const TENSOR_NAME: u64 = 8;
    pub(super) const TENSOR_RAW: u64 = 9;
}

/// Takes in the initializers whose data lies in the file itself. Types that no tensor here has (text, 4-bit numbers) are left out.
pub(super) fn read(file: &Arc<MappedFile>, tensors: &mut Tensors) -> Result<(), CheckpointError> {
    let damaged = |error: crate::protobuf::WireError| file.malformed(FORMAT, error.to_string());
    for graph in Fields::new(file.bytes(), 0..file.bytes().len()) {
        let (field::MODEL_GRAPH, Value::Bytes(graph)) = graph.map_err(damaged)? else { continue };
        for initializer in Fields::new(file.bytes(), graph) {
            let (field::GRAPH_INITIALIZER, Value::Bytes(tensor)) = initializer.map_err(damaged)? else { continue };
            if let Some((name, entry)) = read_tensor(file, tensor)? {
                tensors.insert(&name, entry, FORMAT)?;
            }
        }
    }
    Ok(())
}

fn read_tensor(file: &Arc<MappedFile>, tensor: Range<usize>) -> Result<Option<(String, Entry)>, CheckpointError> {
    let mut name = String::new();
    let mut shape = Vec::new();
    let mut dtype = None;
    let mut data = None;
    let size = |size: u64| usize::try_from(size).map_err(|_| file.malformed(FORMAT, "a dimension is negative"));
    let damaged = |error: crate::protobuf::WireError| file.malformed(FORMAT, error.to_string());
    for found in Fields::new(file.bytes(), tensor) {
        match found.map_err(damaged)? {
            (field::TENSOR_DIMS, Value::Number(dim)) => shape.push(size(dim)?),
            (field::TENSOR_DIMS, Value::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    let (dim, after) = varint(file.bytes(), packed.clone()).map_err(damaged)?;
                    shape.push(size(dim)?);
                    packed.start = after;
                }
            }
            (field::TENSOR_TYPE, Value::Number(number)) => dtype = element_type(number),
            // Packed floats are little-endian floats one after the other, as raw data is.
            (field::TENSOR_FLOATS | field::TENSOR_RAW, Value::Bytes(bytes)) => data = Some(bytes),
            (field::TENSOR_NAME, Value::Bytes(bytes)) => {
                name = String::from_utf8_lossy(&file.bytes()[bytes]).into_owned();
            }
            _ => {}
        }
    }
    let (Some(dtype), Some(data)) = (dtype, data) else { return Ok(None) };
    let entry = Entry { file: Arc::clone(file), dtype, shape, strides: None, offset: data.start, bytes: data.len() };
    Ok(Some((name, entry)))
}

/// `TensorProto.DataType`
fn element_type(number: u64) -> Option<DType> {
    Some(match number {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        16 => DType::BF16,
        _ => return None,
    })
}
