//! The weights in an ONNX graph, for networks that are simple enough to be run without ONNX Runtime. The graph itself is not read.
//!
//! Source: `onnx/onnx.proto3` (messages `ModelProto`, `GraphProto`, `TensorProto`) and the protocol buffers' wire format.

use std::ops::Range;
use std::sync::Arc;

use super::container::{Entry, MappedFile};
use super::{CheckpointError, DType, Tensors};

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
    let model = Fields::new(file, 0..file.bytes().len());
    for graph in model {
        let (field::MODEL_GRAPH, Value::Bytes(graph)) = graph? else { continue };
        for initializer in Fields::new(file, graph) {
            let (field::GRAPH_INITIALIZER, Value::Bytes(tensor)) = initializer? else { continue };
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
    for found in Fields::new(file, tensor) {
        match found? {
            (field::TENSOR_DIMS, Value::Number(dim)) => shape.push(size(dim)?),
            (field::TENSOR_DIMS, Value::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    let (dim, after) = varint(file, packed.clone())?;
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

/// A field's content: a number, or the place of its bytes in the file.
enum Value {
    Number(u64),
    Bytes(Range<usize>),
}

/// The fields of one message.
struct Fields<'a> {
    file: &'a MappedFile,
    rest: Range<usize>,
}

impl<'a> Fields<'a> {
    fn new(file: &'a MappedFile, message: Range<usize>) -> Self {
        Self { file, rest: message }
    }

    fn field(&mut self) -> Result<(u64, Value), CheckpointError> {
        let key = self.number()?;
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = self.number()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Bytes(self.take(4)?),
            wire => return Err(self.file.malformed(FORMAT, format!("a field is of the unknown wire type {wire}"))),
        };
        Ok((key >> 3, value))
    }

    fn number(&mut self) -> Result<u64, CheckpointError> {
        let (number, after) = varint(self.file, self.rest.clone())?;
        self.rest.start = after;
        Ok(number)
    }

    fn take(&mut self, length: u64) -> Result<Range<usize>, CheckpointError> {
        let end = usize::try_from(length).ok().and_then(|length| self.rest.start.checked_add(length));
        let Some(end) = end.filter(|end| *end <= self.rest.end) else {
            return Err(self.file.malformed(FORMAT, format!("it ends within a field at byte {}", self.rest.start)));
        };
        let bytes = self.rest.start..end;
        self.rest.start = end;
        Ok(bytes)
    }
}

impl Iterator for Fields<'_> {
    type Item = Result<(u64, Value), CheckpointError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let found = self.field();
        if found.is_err() {
            self.rest.start = self.rest.end; // what follows damage means nothing
        }
        Some(found)
    }
}

/// A number of seven bits a byte, least significant first, and where the next thing starts.
fn varint(file: &MappedFile, at: Range<usize>) -> Result<(u64, usize), CheckpointError> {
    let mut number = 0_u64;
    for (i, byte) in file.bytes()[at.clone()].iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok((number, at.start + i + 1));
        }
    }
    Err(file.malformed(FORMAT, format!("a number at byte {} has no end", at.start)))
}
