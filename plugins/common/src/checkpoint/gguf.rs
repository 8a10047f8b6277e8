//! GGUF: metadata, a table of tensors, then their data.
//!
//! Source: `docs/gguf.md` of ggml, versions 2 and 3 (little-endian).

use std::sync::Arc;

use super::container::{Entry, MappedFile};
use super::ggml::{KNOWN_TYPES, element_type};
use super::{CheckpointError, Tensors};

const FORMAT: &str = "GGUF";
const MAGIC: &[u8; 4] = b"GGUF";
/// Of a tensor.
const MAX_RANK: u32 = 4;
/// Arrays in arrays; files in use have none.
const MAX_DEPTH: usize = 4;
/// Of the data, unless `general.alignment` says otherwise.
const DEFAULT_ALIGNMENT: usize = 32;

/// Takes in the tensors, and the numbers of the metadata as scalars.
pub(super) fn read(file: &Arc<MappedFile>, tensors: &mut Tensors) -> Result<(), CheckpointError> {
    let mut reader = Reader { file, at: 0 };
    if reader.take(MAGIC.len())? != MAGIC {
        return Err(reader.malformed("it doesn't begin with GGUF".to_owned()));
    }
    let version = reader.u32()?;
    if !(2..=3).contains(&version) {
        return Err(reader.malformed(format!("it is of version {version}; known are 2 and 3")));
    }
    let (count, entries) = (reader.size()?, reader.size()?);
    let mut alignment = DEFAULT_ALIGNMENT;
    for _ in 0..entries {
        let key = reader.text()?;
        let kind = reader.u32()?;
        if let Some(number) = reader.value(kind, 0)? {
            if key == "general.alignment" {
                alignment = number as usize;
            }
            tensors.insert_scalar(key, number);
        }
    }
    if !alignment.is_power_of_two() {
        return Err(reader.malformed(format!("its alignment is {alignment}, no power of two")));
    }
    // Each takes some bytes of the file, so that a damaged count ends with it.
    let mut described = Vec::new();
    for _ in 0..count {
        described.push(reader.tensor()?);
    }
    let data = reader.at.next_multiple_of(alignment);
    for (name, mut entry) in described {
        entry.offset = entry
            .offset
            .checked_add(data)
            .ok_or_else(|| reader.malformed(format!("{name} has an impossible offset")))?;
        tensors.insert(&name, entry, FORMAT)?;
    }
    Ok(())
}

struct Reader<'a> {
    file: &'a Arc<MappedFile>,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Name, dimensions (fastest first), type, and where its data is behind the table.
    fn tensor(&mut self) -> Result<(String, Entry), CheckpointError> {
        let name = self.text()?;
        let rank = self.u32()?;
        if rank > MAX_RANK {
            return Err(self.malformed(format!("tensor {name} has {rank} dimensions")));
        }
        let mut shape = (0..rank).map(|_| self.size()).collect::<Result<Vec<_>, _>>()?;
        shape.reverse();
        let kind = self.u32()?;
        let offset = self.size()?;
        let Some(dtype) = element_type(kind) else {
            return Err(self.malformed(format!("tensor {name} is of the type {kind}; known are {KNOWN_TYPES}")));
        };
        let elements = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        let Some(bytes) = elements.and_then(|elements| dtype.bytes(elements)) else {
            return Err(
                self.malformed(format!("tensor {name} of shape {shape:?} has no whole number of {dtype} blocks"))
            );
        };
        Ok((name, Entry { file: Arc::clone(self.file), dtype, shape, strides: None, offset, bytes }))
    }

    /// A value of the metadata; what is no number is skipped.
    fn value(&mut self, kind: u32, depth: usize) -> Result<Option<f64>, CheckpointError> {
        Ok(match kind {
            0 => Some(f64::from(self.array::<1>()?[0])),
            1 => Some(f64::from(i8::from_le_bytes(self.array()?))),
            2 => Some(f64::from(u16::from_le_bytes(self.array()?))),
            3 => Some(f64::from(i16::from_le_bytes(self.array()?))),
            4 => Some(f64::from(self.u32()?)),
            5 => Some(f64::from(i32::from_le_bytes(self.array()?))),
            6 => Some(f64::from(f32::from_le_bytes(self.array()?))),
            7 => Some(f64::from(self.array::<1>()?[0])),
            8 => self.text().map(|_| None)?,
            9 if depth < MAX_DEPTH => {
                let kind = self.u32()?;
                for _ in 0..self.size()? {
                    self.value(kind, depth + 1)?;
                }
                None
            }
            10 => Some(u64::from_le_bytes(self.array()?) as f64),
            11 => Some(i64::from_le_bytes(self.array()?) as f64),
            12 => Some(f64::from_le_bytes(self.array()?)),
            _ => return Err(self.malformed(format!("a value at byte {} is of the unknown type {kind}", self.at))),
        })
    }

    fn text(&mut self) -> Result<String, CheckpointError> {
        let length = self.size()?;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn size(&mut self) -> Result<usize, CheckpointError> {
        let size = u64::from_le_bytes(self.array()?);
        usize::try_from(size).map_err(|_| self.malformed(format!("a size of {size} at byte {}", self.at)))
    }

    fn u32(&mut self) -> Result<u32, CheckpointError> {
        self.array().map(u32::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CheckpointError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], CheckpointError> {
        let bytes = self.at.checked_add(count).and_then(|end| self.file.bytes().get(self.at..end));
        let bytes = bytes.ok_or_else(|| self.malformed(format!("it ends within a field at byte {}", self.at)))?;
        self.at += count;
        Ok(bytes)
    }

    fn malformed(&self, reason: String) -> CheckpointError {
        self.file.malformed(FORMAT, reason)
    }
}
