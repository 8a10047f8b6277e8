//! What `torch.save` writes: pickles that describe tensors, and the storages with their data.
//!
//! - A zip archive: `NAME/data.pkl` describes tensors, `NAME/data/KEY` holds a storage, uncompressed.
//! - Before torch 1.6, in one row: pickles of a magic number, the version, the machine, the tensors and the list of storage keys; then per
//!   key the number of elements and the elements (`torch/serialization.py: _legacy_load`).

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::sync::Arc;

use zip::{CompressionMethod, ZipArchive};

use super::container::{Entry, MappedFile};
use super::pickle::{self, Object, Pickle};
use super::{CheckpointError, DType, Tensors};

const FORMAT: &str = "torch checkpoint";
/// Dictionaries in dictionaries; checkpoints have two levels.
const MAX_DEPTH: usize = 8;
/// Bytes of a tensor's name with its prefixes.
const MAX_NAME: usize = 1024;
/// How a zip archive begins.
const ZIP_MAGIC: &[u8] = b"PK";
/// The first pickle of a legacy file: protocol 2, the number 0x1950a86a20f9469cfc6c.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// Pickles between the magic number and the tensors: the version, the machine.
const LEGACY_PREFACE: usize = 2;

/// Storage key to first byte and size.
type Storages = HashMap<String, (usize, usize)>;

pub(super) fn read(file: &Arc<MappedFile>, tensors: &mut Tensors) -> Result<(), CheckpointError> {
    let (pickle, storages) = if file.bytes().starts_with(ZIP_MAGIC) {
        archive(file)?
    } else if let Some(rest) = file.bytes().strip_prefix(LEGACY_MAGIC) {
        legacy(file.bytes(), rest).map_err(|e| file.malformed(FORMAT, e))?
    } else {
        return Err(file.malformed(FORMAT, "it is neither a zip archive nor torch's older format"));
    };
    // Every entry of a dictionary takes up at least a byte, unless a dictionary is in the file many times over.
    let mut walk = Walk { file, storages: &storages, pickle: &pickle, tensors, entries_left: pickle.length() };
    walk.visit("", pickle.root(), 0)
}

fn archive(file: &MappedFile) -> Result<(Pickle, Storages), CheckpointError> {
    let malformed = |reason: String| file.malformed(FORMAT, reason);
    let mut archive = ZipArchive::new(Cursor::new(file.bytes())).map_err(|e| malformed(e.to_string()))?;
    let mut storages = HashMap::new();
    let mut description = Vec::new();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(|e| malformed(e.to_string()))?;
        let name = member.name().map_err(|e| malformed(e.to_string()))?.into_owned();
        let is_storage = name.contains("data/");
        let is_description = name.ends_with("/data.pkl") || name == "data.pkl";
        let is_byte_order = name.ends_with("/byteorder");
        if (is_storage || is_description || is_byte_order) && member.compression() != CompressionMethod::Stored {
            return Err(malformed(format!("{name} is compressed")));
        }
        if is_byte_order {
            let mut order = String::new();
            member.read_to_string(&mut order).map_err(|e| malformed(e.to_string()))?;
            if order.trim() != "little" {
                return Err(malformed(format!("its byte order is {order}")));
            }
        } else if is_description {
            member.read_to_end(&mut description).map_err(|e| malformed(e.to_string()))?;
        } else if let Some((_, key)) = name.rsplit_once("data/") {
            let start = member.data_start().ok_or_else(|| malformed(format!("{name} has no data")))?;
            let range = (usize::try_from(start).ok(), usize::try_from(member.size()).ok());
            let (Some(start), Some(size)) = range else { return Err(malformed(format!("{name} is too large"))) };
            storages.insert(key.to_owned(), (start, size));
        }
    }
    if description.is_empty() {
        return Err(malformed("it has no data.pkl".to_owned()));
    }
    let pickle = pickle::parse(&description).map_err(|e| malformed(format!("data.pkl: {e}")))?;
    Ok((pickle, storages))
}

/// `rest` is what follows the magic number in `whole`.
fn legacy(whole: &[u8], rest: &[u8]) -> Result<(Pickle, Storages), String> {
    let mut at = whole.len() - rest.len();
    let mut next = || {
        let pickle = pickle::parse(&whole[at..])?;
        at += pickle.length();
        Ok::<_, String>((pickle, at))
    };
    for _ in 0..LEGACY_PREFACE {
        next()?;
    }
    let (pickle, _) = next()?;
    let (keys, mut at) = next()?;
    let Object::List(list) = keys.root() else { return Err("the storages are not listed".to_owned()) };
    let types: HashMap<&str, Option<DType>> =
        pickle.storages().iter().map(|storage| (&*storage.key, storage.dtype)).collect();
    let mut storages = HashMap::new();
    for key in keys.list(*list) {
        let Object::Text(key) = key else { return Err("a storage's key is no text".to_owned()) };
        let Some(Some(dtype)) = types.get(&**key) else {
            return Err(format!("the type of storage {key} is unknown"));
        };
        let count = whole[at..].first_chunk().ok_or("it ends too early")?;
        at += count.len();
        let elements = usize::try_from(u64::from_le_bytes(*count)).ok();
        let bytes = elements.and_then(|elements| elements.checked_mul(dtype.size()));
        let bytes = bytes.filter(|bytes| *bytes <= whole.len() - at).ok_or("it ends too early")?;
        storages.insert(key.to_string(), (at, bytes));
        at += bytes;
    }
    Ok((pickle, storages))
}

struct Walk<'a> {
    file: &'a Arc<MappedFile>,
    storages: &'a Storages,
    pickle: &'a Pickle,
    tensors: &'a mut Tensors,
    /// How many more entries of dictionaries are read.
    entries_left: usize,
}

impl Walk<'_> {
    fn visit(&mut self, name: &str, object: &Object, depth: usize) -> Result<(), CheckpointError> {
        match object {
            Object::Dict(id) if depth < MAX_DEPTH => {
                for (key, value) in self.pickle.dict(*id) {
                    self.entries_left = self
                        .entries_left
                        .checked_sub(1)
                        .ok_or_else(|| self.file.malformed(FORMAT, "its dictionaries hold each other"))?;
                    if let Object::Text(key) = key {
                        if name.len() + key.len() >= MAX_NAME {
                            return Err(self.file.malformed(FORMAT, "a tensor's name is too long"));
                        }
                        let full = if name.is_empty() { key.to_string() } else { format!("{name}.{key}") };
                        self.visit(&full, value, depth + 1)?;
                    }
                }
                Ok(())
            }
            Object::Int(value) => {
                self.tensors.insert_scalar(name.to_owned(), *value as f64);
                Ok(())
            }
            Object::Float(value) => {
                self.tensors.insert_scalar(name.to_owned(), *value);
                Ok(())
            }
            Object::Tensor(tensor) => {
                let size = tensor.dtype.size();
                let (start, bytes) = *self.storages.get(&*tensor.storage).ok_or_else(|| {
                    self.file.malformed(FORMAT, format!("the storage {} of tensor {name} is missing", tensor.storage))
                })?;
                let skipped =
                    tensor.offset.checked_mul(size).filter(|&skipped| skipped <= bytes).ok_or_else(|| {
                        self.file.malformed(FORMAT, format!("tensor {name} begins beyond its storage"))
                    })?;
                let entry = Entry {
                    file: Arc::clone(self.file),
                    dtype: tensor.dtype,
                    shape: tensor.shape.clone(),
                    strides: Some(tensor.strides.clone()),
                    offset: start + skipped,
                    bytes: bytes - skipped,
                };
                self.tensors.insert(name, entry, FORMAT)
            }
            // Settings of the training run and the like.
            _ => Ok(()),
        }
    }
}
