//! CTranslate2's `model.bin`: a sequence of named variables, then aliases; little-endian, no padding.
//!
//! Source: `ctranslate2` 4.x, `models/model.cc:Model::load` and `python/ctranslate2/specs/model_spec.py:_serialize`.

use std::path::Path;
use std::sync::Arc;

use super::container::{Entry, MappedFile};
use super::{CheckpointError, DType, Tensors};

const FORMAT: &str = "CTranslate2 model";
/// Before this version a variable states an item size instead of an element type.
const OLDEST_VERSION: u32 = 4;
/// Of a variable; more is damage (CTranslate2 itself has at most 3).
const MAX_RANK: usize = 8;

/// Everything a model file says about itself.
#[derive(Clone, Debug)]
pub struct Header {
    /// Version of the container.
    pub version: u32,
    /// Kind of model, e.g. `WhisperSpec`.
    pub spec: String,
    /// Revision of that kind.
    pub revision: u32,
    /// Variables in the order of the file.
    pub variables: Vec<Variable>,
    /// Second names: (alias, variable).
    pub aliases: Vec<(String, String)>,
}

/// One variable of a model file.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// The dimensions; none for a scalar.
    pub shape: Vec<usize>,
    /// Type of the elements.
    pub dtype: DType,
    /// First byte of the data in the file.
    pub offset: usize,
    /// Number of bytes.
    pub bytes: usize,
}

impl Header {
    /// Reads what the file at `path` says about itself.
    ///
    /// # Errors
    /// The file can't be read, is no CTranslate2 model or of a version before 4.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let file = MappedFile::open(path)?;
        parse(&file)
    }
}

pub(super) fn read_into(file: &Arc<MappedFile>, tensors: &mut Tensors) -> Result<(), CheckpointError> {
    let header = parse(file)?;
    for variable in header.variables {
        let entry = Entry {
            file: Arc::clone(file),
            dtype: variable.dtype,
            shape: variable.shape,
            strides: None,
            offset: variable.offset,
            bytes: variable.bytes,
        };
        let is_scalar = entry.shape.is_empty();
        tensors.insert(&variable.name, entry, FORMAT)?;
        if is_scalar && let Some(&value) = tensors.get(&variable.name)?.to_f32()?.first() {
            tensors.insert_scalar(variable.name, f64::from(value));
        }
    }
    for (alias, name) in header.aliases {
        if !tensors.alias(&alias, &name) {
            return Err(file.malformed(FORMAT, format!("alias {alias} stands for {name}, which is not there")));
        }
    }
    Ok(())
}

fn parse(file: &MappedFile) -> Result<Header, CheckpointError> {
    let mut reader = Reader { file, at: 0 };
    let version = reader.u32()?;
    if version < OLDEST_VERSION {
        return Err(file.malformed(
            FORMAT,
            format!("version {version} is too old, convert the model again (4 or later is needed)"),
        ));
    }
    let spec = reader.string()?;
    let revision = reader.u32()?;
    let mut variables = Vec::new();
    for _ in 0..reader.u32()? {
        variables.push(reader.variable()?);
    }
    let mut aliases = Vec::new();
    for _ in 0..reader.u32()? {
        aliases.push((reader.string()?, reader.string()?));
    }
    if reader.at != file.bytes().len() {
        return Err(file.malformed(FORMAT, format!("{} bytes are left over", file.bytes().len() - reader.at)));
    }
    Ok(Header { version, spec, revision, variables, aliases })
}

struct Reader<'a> {
    file: &'a MappedFile,
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], CheckpointError> {
        let bytes = self.at.checked_add(count).and_then(|end| self.file.bytes().get(self.at..end));
        let bytes =
            bytes.ok_or_else(|| self.file.malformed(FORMAT, format!("it ends within a field at byte {}", self.at)))?;
        self.at += count;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CheckpointError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, CheckpointError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Length (with the closing NUL), characters, NUL.
    fn string(&mut self) -> Result<String, CheckpointError> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        let bytes = self.take(length)?;
        let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        String::from_utf8(text.to_vec())
            .map_err(|_| self.file.malformed(FORMAT, format!("a name at byte {} is not text", self.at)))
    }

    fn variable(&mut self) -> Result<Variable, CheckpointError> {
        let name = self.string()?;
        let rank = usize::from(self.array::<1>()?[0]);
        if rank > MAX_RANK {
            return Err(self.file.malformed(FORMAT, format!("variable {name} has {rank} dimensions")));
        }
        let shape = (0..rank).map(|_| self.u32().map(|size| size as usize)).collect::<Result<Vec<_>, _>>()?;
        let dtype = match self.array::<1>()?[0] {
            0 => DType::F32,
            1 => DType::I8,
            2 => DType::I16,
            3 => DType::I32,
            4 => DType::F16,
            5 => DType::BF16,
            other => {
                return Err(self
                    .file
                    .malformed(FORMAT, format!("variable {name} has the unknown element type {other}")));
            }
        };
        let bytes = self.u32()? as usize;
        let offset = self.at;
        self.take(bytes)?;
        let needed = shape.iter().try_fold(dtype.size(), |product, &size| product.checked_mul(size));
        if needed != Some(bytes) {
            return Err(self.file.malformed(FORMAT, format!("variable {name} of shape {shape:?} has {bytes} bytes")));
        }
        Ok(Variable { name, shape, dtype, offset, bytes })
    }
}

/// Quantises rows to int8 as CTranslate2 does when it converts a model: `scale = 127 / max|row|` (1 for a row of zeros),
/// `q = round_half_even(row · scale)`; hence `value ≈ q / scale`. Returns `q` and one scale per row.
///
/// Source: `model_spec.py:LayerSpec._quantize`.
pub fn quantize_int8(rows: &[f32], row_length: usize) -> (Vec<i8>, Vec<f32>) {
    const LARGEST: f32 = 127.0; // of int8, symmetric
    if row_length == 0 {
        return (Vec::new(), Vec::new());
    }
    let mut quantized = Vec::with_capacity(rows.len());
    let mut scales = Vec::with_capacity(rows.len() / row_length);
    for row in rows.chunks_exact(row_length) {
        let peak = row.iter().fold(0.0_f32, |peak, value| peak.max(value.abs()));
        let scale = if peak == 0.0 { 1.0 } else { LARGEST / peak };
        quantized.extend(row.iter().map(|value| (value * scale).round_ties_even() as i8));
        scales.push(scale);
    }
    (quantized, scales)
}
