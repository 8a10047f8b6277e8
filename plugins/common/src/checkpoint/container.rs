use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use super::{CheckpointError, DType, TensorView, ctranslate2, ggml, gguf, onnx, safetensors, torch};

/// An opened checkpoint: names to tensors, over one or more mapped files.
#[derive(Debug, Default)]
pub struct Tensors {
    entries: BTreeMap<String, Entry>,
    scalars: BTreeMap<String, f64>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) file: Arc<MappedFile>,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Option<Vec<usize>>,
    /// First byte in the file.
    pub(super) offset: usize,
    /// Bytes from there that the tensor may use.
    pub(super) bytes: usize,
}

/// A file in memory, with its name for messages.
#[derive(Debug)]
pub(super) struct MappedFile {
    path: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl MappedFile {
    pub(super) fn open(path: &Path) -> Result<Arc<Self>, CheckpointError> {
        let io = |source| CheckpointError::Io { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(io)?;
        // SAFETY: the map is only read. Model files are never written in place (the store renames finished downloads), so the bytes
        // under the map don't change; a user who truncates a model file while it is in use kills the process, as with any mapped file.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Ok(Arc::new(Self { path: path.to_path_buf(), content: Content::Mapped(map) }))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Mapped(map) => map,
            Content::Owned(bytes) => bytes,
        }
    }

    pub(super) fn malformed(&self, format: &'static str, reason: impl ToString) -> CheckpointError {
        CheckpointError::Malformed { path: self.path.clone(), format, reason: reason.to_string() }
    }
}

impl Tensors {
    /// Opens safetensors files; together they are one checkpoint.
    ///
    /// # Errors
    /// A file can't be read, is not safetensors, or holds element types this crate doesn't know.
    pub fn safetensors<P: AsRef<Path>>(paths: &[P]) -> Result<Self, CheckpointError> {
        let mut tensors = Self::default();
        for path in paths {
            safetensors::read(&MappedFile::open(path.as_ref())?, &mut tensors)?;
        }
        Ok(tensors)
    }

    /// Opens the shards that an index (`model.safetensors.index.json`) lists; they lie beside it.
    ///
    /// # Errors
    /// As [`Tensors::safetensors`]; also when the index is no index.
    pub fn safetensors_index(index: &Path) -> Result<Self, CheckpointError> {
        Self::safetensors(&safetensors::shards(index)?)
    }

    /// Opens what `torch.save` wrote, as a zip archive or, before torch 1.6, as pickles in a row. Dictionaries in it become prefixes
    /// (`model_state_dict.encoder.conv1.weight`), a tensor that was saved alone has the name `""`; numbers become [`Tensors::scalar`]s.
    /// Nothing in the pickle is executed.
    ///
    /// # Errors
    /// The file can't be read, is neither of those, or its tensors don't fit the data in it.
    pub fn torch(path: &Path) -> Result<Self, CheckpointError> {
        let mut tensors = Self::default();
        torch::read(&MappedFile::open(path)?, &mut tensors)?;
        Ok(tensors)
    }

    /// As [`Tensors::torch`], of a file that is in memory; `name` stands for its path in messages. The bytes may come from anyone: time and
    /// memory are bounded by their number.
    ///
    /// # Errors
    /// As [`Tensors::torch`].
    pub fn torch_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        let mut tensors = Self::default();
        let file = MappedFile { path: PathBuf::from(name), content: Content::Owned(bytes) };
        torch::read(&Arc::new(file), &mut tensors)?;
        Ok(tensors)
    }

    /// Opens the shards that an index (`pytorch_model.bin.index.json`) lists; they lie beside it.
    ///
    /// # Errors
    /// As [`Tensors::torch`]; also when the index is no index.
    pub fn torch_index(index: &Path) -> Result<Self, CheckpointError> {
        let mut tensors = Self::default();
        for path in safetensors::shards(index)? {
            torch::read(&MappedFile::open(&path)?, &mut tensors)?;
        }
        Ok(tensors)
    }

    /// Opens CTranslate2's `model.bin`; aliases are tensors too. Scalars in it are both tensors and [`Tensors::scalar`]s.
    ///
    /// # Errors
    /// The file can't be read, is no CTranslate2 model or of a version before 4.
    pub fn ctranslate2(path: &Path) -> Result<Self, CheckpointError> {
        let mut tensors = Self::default();
        ctranslate2::read_into(&MappedFile::open(path)?, &mut tensors)?;
        Ok(tensors)
    }

    /// Opens a model file of whisper.cpp. The sizes in it are [`Tensors::scalar`]s: `dims.n_audio_head` ….
    ///
    /// # Errors
    /// The file can't be read, is none of those, or holds element types this crate doesn't know.
    pub fn ggml(path: &Path) -> Result<Self, CheckpointError> {
        let mut tensors = Self::default();
        ggml::read(&MappedFile::open(path)?, &mut tensors)?;
        Ok(tensors)
    }

    /// Opens a GGUF file. Numbers in its metadata are [`Tensors::scalar`]s under their keys.
    ///
    /// # Errors
    /// The file can't be read, is none of those, or holds element types this crate doesn't know.
    pub fn gguf(path: &Path) -> Result<Self, CheckpointError> {
        let mut tensors = Self::default();
        gguf::read(&MappedFile::open(path)?, &mut tensors)?;
        Ok(tensors)
    }

    /// Opens the initializers (weights) of an ONNX graph, as far as they lie in the file itself.
    ///
    /// # Errors
    /// The file can't be read or is no ONNX graph.
    pub fn onnx(path: &Path) -> Result<Self, CheckpointError> {
        let mut tensors = Self::default();
        onnx::read(&MappedFile::open(path)?, &mut tensors)?;
        Ok(tensors)
    }

    /// The tensor called `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, name: &str) -> Result<TensorView<'_>, CheckpointError> {
        self.find(name).ok_or_else(|| CheckpointError::Missing { name: name.to_owned() })
    }

    /// The tensor called `name`, if there is one.
    pub fn find(&self, name: &str) -> Option<TensorView<'_>> {
        let (name, entry) = self.entries.get_key_value(name)?;
        Some(TensorView {
            name,
            dtype: entry.dtype,
            shape: &entry.shape,
            strides: entry.strides.as_deref(),
            data: &entry.file.bytes()[entry.offset..entry.offset + entry.bytes],
        })
    }

    /// A number that the checkpoint holds beside its tensors.
    pub fn scalar(&self, name: &str) -> Option<f64> {
        self.scalars.get(name).copied()
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    pub(super) fn insert_scalar(&mut self, name: String, value: f64) {
        self.scalars.insert(name, value);
    }

    /// Takes an entry in after checking that all of it lies in its file.
    pub(super) fn insert(&mut self, name: &str, mut entry: Entry, format: &'static str) -> Result<(), CheckpointError> {
        let damaged = |reason: &str| entry.file.malformed(format, format!("tensor {name} {reason}"));
        let elements = entry
            .shape
            .iter()
            .try_fold(1_usize, |product, &size| product.checked_mul(size))
            .ok_or_else(|| damaged("has an impossible shape"))?;
        let needed = match &entry.strides {
            _ if elements == 0 => Some(0),
            None => Some(elements),
            Some(strides) => entry
                .shape
                .iter()
                .zip(strides)
                .try_fold(1_usize, |last, (&size, &stride)| last.checked_add((size - 1).checked_mul(stride)?)),
        };
        let bytes = needed.and_then(|n| entry.dtype.bytes(n)).ok_or_else(|| damaged("has impossible strides"))?;
        let end = entry.offset.checked_add(bytes).ok_or_else(|| damaged("has an impossible offset"))?;
        if bytes > entry.bytes || end > entry.file.bytes().len() {
            return Err(damaged("reaches beyond the end of its data"));
        }
        entry.bytes = bytes;
        if entry.strides.as_ref().is_some_and(|strides| is_row_major(&entry.shape, strides)) {
            entry.strides = None;
        }
        self.entries.insert(name.to_owned(), entry);
        Ok(())
    }

    pub(super) fn alias(&mut self, alias: &str, name: &str) -> bool {
        let Some(entry) = self.entries.get(name).cloned() else { return false };
        self.entries.insert(alias.to_owned(), entry);
        true
    }
}

fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || stride == expected;
        expected *= size.max(1);
        fits
    })
}
