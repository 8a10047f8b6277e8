//! whisper.cpp's model files (`ggml-base.bin`, `ggml-large-v3-q5_0.bin` …): sizes, mel filters, the vocabulary, then tensors to the end of the file.
//!
//! Source: `models/convert-pt-to-ggml.py` and `src/whisper.cpp: whisper_model_load` of whisper.cpp.

use std::path::Path;
use std::sync::Arc;

use super::container::{Entry, MappedFile};
use super::{CheckpointError, DType, Tensors};

const FORMAT: &str = "ggml";
/// First four bytes of a file.
pub const MAGIC: [u8; 4] = 0x6767_6d6c_u32.to_le_bytes();
/// Of a tensor.
const MAX_RANK: usize = 4;
/// Sizes at the start of a file, in order, under the names of openai's `ModelDimensions`.
const DIMS: [&str; 10] = [
    "n_vocab",
    "n_audio_ctx",
    "n_audio_state",
    "n_audio_head",
    "n_audio_layer",
    "n_text_ctx",
    "n_text_state",
    "n_text_head",
    "n_text_layer",
    "n_mels",
];

/// Whether the file at `path` begins like one of these.
pub fn is_ggml(path: &Path) -> bool {
    let mut start = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut start));
    read.is_ok() && start == MAGIC
}

/// The ordinary tokens in a file, in order of their ids.
///
/// # Errors
/// The file can't be read, or is no ggml file of whisper.cpp.
pub fn vocabulary(path: &Path) -> Result<Vec<Vec<u8>>, CheckpointError> {
    let file = MappedFile::open(path)?;
    let mut reader = Reader { file: &file, at: 0 };
    reader.dims()?;
    reader.filters()?;
    reader.tokens()
}

/// Takes in the tensors, and the sizes as scalars (`dims.n_mels` …).
pub(super) fn read(file: &Arc<MappedFile>, tensors: &mut Tensors) -> Result<(), CheckpointError> {
    let mut reader = Reader { file, at: 0 };
    for (name, value) in DIMS.into_iter().zip(reader.dims()?) {
        tensors.insert_scalar(format!("dims.{name}"), f64::from(value));
    }
    reader.filters()?;
    reader.tokens()?;
    while reader.at < file.bytes().len() {
        let (name, entry) = reader.tensor()?;
        tensors.insert(&name, entry, FORMAT)?;
    }
    Ok(())
}

struct Reader<'a> {
    file: &'a Arc<MappedFile>,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Magic, ten sizes, and the type of most tensors, which each tensor states again.
    fn dims(&mut self) -> Result<[u32; DIMS.len()], CheckpointError> {
        if self.take(MAGIC.len())? != MAGIC {
            return Err(self.malformed("it doesn't begin with ggml's magic number".to_owned()));
        }
        let mut dims = [0; DIMS.len()];
        for value in &mut dims {
            *value = self.u32()?;
        }
        self.u32()?;
        Ok(dims)
    }

    fn filters(&mut self) -> Result<(), CheckpointError> {
        let (rows, columns) = (self.size()?, self.size()?);
        let bytes = rows.checked_mul(columns).and_then(|count| count.checked_mul(size_of::<f32>()));
        self.take(bytes.unwrap_or(usize::MAX)).map(drop)
    }

    fn tokens(&mut self) -> Result<Vec<Vec<u8>>, CheckpointError> {
        let count = self.size()?;
        let mut tokens = Vec::new();
        for _ in 0..count {
            let length = self.size()?;
            tokens.push(self.take(length)?.to_vec());
        }
        Ok(tokens)
    }

    fn tensor(&mut self) -> Result<(String, Entry), CheckpointError> {
        let (rank, name_length, kind) = (self.size()?, self.size()?, self.u32()?);
        if rank > MAX_RANK {
            return Err(self.malformed(format!("a tensor at byte {} has {rank} dimensions", self.at)));
        }
        let mut shape = (0..rank).map(|_| self.size()).collect::<Result<Vec<_>, _>>()?;
        shape.reverse(); // the file has the fastest one first
        let name = String::from_utf8_lossy(self.take(name_length)?).into_owned();
        let Some(dtype) = element_type(kind) else {
            return Err(self.malformed(format!("tensor {name} is of the type {kind}; known are {KNOWN_TYPES}")));
        };
        let elements = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        let Some(bytes) = elements.and_then(|elements| dtype.bytes(elements)) else {
            return Err(
                self.malformed(format!("tensor {name} of shape {shape:?} has no whole number of {dtype} blocks"))
            );
        };
        let offset = self.at;
        self.take(bytes)?;
        Ok((name, Entry { file: Arc::clone(self.file), dtype, shape, strides: None, offset, bytes }))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], CheckpointError> {
        let bytes = self.at.checked_add(count).and_then(|end| self.file.bytes().get(self.at..end));
        let bytes = bytes.ok_or_else(|| self.malformed(format!("it ends within a field at byte {}", self.at)))?;
        self.at += count;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, CheckpointError> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(bytes))
    }

    fn size(&mut self) -> Result<usize, CheckpointError> {
        self.u32().map(|size| size as usize)
    }

    fn malformed(&self, reason: String) -> CheckpointError {
        self.file.malformed(FORMAT, reason)
    }
}

/// What [`element_type`] knows, in words.
pub(super) const KNOWN_TYPES: &str = "f32, f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0 and q2_K to q6_K and q8_K";

/// `enum ggml_type`
pub(super) fn element_type(number: u32) -> Option<DType> {
    Some(match number {
        0 => DType::F32,
        1 => DType::F16,
        2 => DType::Q4_0,
        3 => DType::Q4_1,
        6 => DType::Q5_0,
        7 => DType::Q5_1,
        8 => DType::Q8_0,
        10 => DType::Q2K,
        11 => DType::Q3K,
        12 => DType::Q4K,
        13 => DType::Q5K,
        14 => DType::Q6K,
        15 => DType::Q8K,
        30 => DType::BF16,
        _ => return None,
    })
}
