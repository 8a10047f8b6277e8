//! Torch's zip format: `NAME/data.pkl` describes tensors, `NAME/data/KEY` holds their storages, uncompressed.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::sync::Arc;

use zip::{CompressionMethod, ZipArchive};

use super::container::{Entry, MappedFile};
use super::pickle::{self, Object, Pickle};
use super::{CheckpointError, Tensors};

const FORMAT: &str = "torch checkpoint";
/// Dictionaries in dictionaries; checkpoints have two levels.
const MAX_DEPTH: usize = 8;

pub(super) fn read(file: &Arc<MappedFile>, tensors: &mut Tensors) -> Result<(), CheckpointError> {
    let malformed = |reason: String| file.malformed(FORMAT, reason);
    let mut archive = ZipArchive::new(Cursor::new(file.bytes()))
        .map_err(|e| malformed(format!("{e} (files of torch before 1.6 have to be saved again)")))?;
    let mut storages = HashMap::new();
    let mut description = Vec::new();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(|e| malformed(e.to_string()))?;
        let name = member.name().map_err(|e| malformed(e.to_string()))?.into_owned();
        if name.ends_with("/byteorder") {
            let mut order = String::new();
            member.read_to_string(&mut order).map_err(|e| malformed(e.to_string()))?;
            if order.trim() != "little" {
                return Err(malformed(format!("its byte order is {order}")));
            }
        } else if name.ends_with("/data.pkl") || name == "data.pkl" {
            member.read_to_end(&mut description).map_err(|e| malformed(e.to_string()))?;
        } else if let Some((_, key)) = name.rsplit_once("data/") {
            if member.compression() != CompressionMethod::Stored {
                return Err(malformed(format!("{name} is compressed")));
            }
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
    let mut walk = Walk { file, storages: &storages, pickle: &pickle, tensors };
    walk.visit("", pickle.root(), 0)
}

struct Walk<'a> {
    file: &'a Arc<MappedFile>,
    /// Storage key to first byte and size.
    storages: &'a HashMap<String, (usize, usize)>,
    pickle: &'a Pickle,
    tensors: &'a mut Tensors,
}

impl Walk<'_> {
    fn visit(&mut self, name: &str, object: &Object, depth: usize) -> Result<(), CheckpointError> {
        match object {
            Object::Dict(id) if depth < MAX_DEPTH => {
                for (key, value) in self.pickle.dict(*id) {
                    if let Object::Text(key) = key {
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
