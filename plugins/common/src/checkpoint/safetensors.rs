//! safetensors: a JSON header and raw data; shards are listed by an index file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::container::{Entry, MappedFile};
use super::{CheckpointError, DType, Tensors};

const FORMAT: &str = "safetensors";
/// Bytes of the header's length, at the start of the file.
const LENGTH_FIELD: usize = 8;

pub(super) fn read(file: &Arc<MappedFile>, tensors: &mut Tensors) -> Result<(), CheckpointError> {
    let (header, metadata) = SafeTensors::read_metadata(file.bytes()).map_err(|e| file.malformed(FORMAT, e))?;
    for (name, info) in metadata.tensors() {
        let dtype = match info.dtype {
            Dtype::F64 => DType::F64,
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::I64 => DType::I64,
            Dtype::I32 => DType::I32,
            Dtype::I16 => DType::I16,
            Dtype::I8 => DType::I8,
            Dtype::U8 => DType::U8,
            Dtype::BOOL => DType::Bool,
            other => {
                return Err(file.malformed(FORMAT, format!("tensor {name} has the unknown element type {other:?}")));
            }
        };
        let (start, end) = info.data_offsets;
        let entry = Entry {
            file: Arc::clone(file),
            dtype,
            shape: info.shape.clone(),
            strides: None,
            offset: LENGTH_FIELD + header + start,
            bytes: end.saturating_sub(start),
        };
        tensors.insert(&name, entry, FORMAT)?;
    }
    Ok(())
}

/// The files that an index names, each once, beside the index.
pub(super) fn shards(index: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let malformed =
        |reason: String| CheckpointError::Malformed { path: index.to_path_buf(), format: "shard index", reason };
    let text = fs::read(index).map_err(|source| CheckpointError::Io { path: index.to_path_buf(), source })?;
    let json: Value = serde_json::from_slice(&text).map_err(|e| malformed(e.to_string()))?;
    let map = json.get("weight_map").cloned().unwrap_or(Value::Null);
    let map: BTreeMap<String, String> =
        serde_json::from_value(map).map_err(|e| malformed(format!("weight_map: {e}")))?;
    let names: BTreeSet<String> = map.into_values().collect();
    let folder = index.parent().unwrap_or(Path::new(""));
    names
        .into_iter()
        .map(|name| {
            // A shard is a file beside its index; a downloaded index doesn't get to name others.
            let plain = Path::new(&name).file_name().is_some_and(|file| file == name.as_str());
            if plain { Ok(folder.join(name)) } else { Err(malformed(format!("{name:?} is not the name of a file"))) }
        })
        .collect()
}
