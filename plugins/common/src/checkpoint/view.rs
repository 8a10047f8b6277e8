use std::fmt;

use half::{bf16, f16};

use super::{CheckpointError, blocks};

/// Type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DType {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    Q8K,
}

impl DType {
    /// Bytes of one element; of one block for the types that have blocks.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
            _ => blocks::bytes(self).unwrap_or(1),
        }
    }

    /// Whether elements are quantised in blocks.
    pub fn is_quantized(self) -> bool {
        blocks::bytes(self).is_some()
    }

    /// Bytes of so many elements; `None` if those are no whole blocks, or too many.
    pub(super) fn bytes(self, elements: usize) -> Option<usize> {
        let block = blocks::length(self);
        elements.is_multiple_of(block).then_some(elements / block)?.checked_mul(self.size())
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "float64",
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::I64 => "int64",
            Self::I32 => "int32",
            Self::I16 => "int16",
            Self::I8 => "int8",
            Self::U8 => "uint8",
            Self::Bool => "bool",
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Q8_0 => "q8_0",
            Self::Q2K => "q2_K",
            Self::Q3K => "q3_K",
            Self::Q4K => "q4_K",
            Self::Q5K => "q5_K",
            Self::Q6K => "q6_K",
            Self::Q8K => "q8_K",
        })
    }
}

/// A tensor in a mapped file: little-endian, at any alignment.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    pub(super) name: &'a str,
    pub(super) dtype: DType,
    pub(super) shape: &'a [usize],
    /// In elements; `None`: row-major without gaps.
    pub(super) strides: Option<&'a [usize]>,
    pub(super) data: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// The name in the checkpoint.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Type of the elements as stored.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The dimensions.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The stored bytes, if they are row-major without gaps.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        self.strides.is_none().then_some(self.data)
    }

    /// All elements in row-major order as f32. Integers are converted.
    ///
    /// # Errors
    /// The elements are of a type whose values f32 can't hold (int64).
    pub fn to_f32(&self) -> Result<Vec<f32>, CheckpointError> {
        Ok(match self.dtype {
            DType::F64 => self.convert(|b| f64::from_le_bytes(b) as f32),
            DType::F32 => self.convert(f32::from_le_bytes),
            DType::F16 => self.convert(|b| f16::from_le_bytes(b).to_f32()),
            DType::BF16 => self.convert(|b| bf16::from_le_bytes(b).to_f32()),
            DType::I32 => self.convert(|b| i32::from_le_bytes(b) as f32),
            DType::I16 => self.convert(|b| f32::from(i16::from_le_bytes(b))),
            DType::I8 => self.convert(|b| f32::from(i8::from_le_bytes(b))),
            DType::U8 | DType::Bool => self.convert(|[b]| f32::from(b)),
            DType::I64 => return Err(self.unsuitable()),
            _ => blocks::dequantize(self.dtype, self.data),
        })
    }

    /// All elements in row-major order as the half-precision numbers that are stored.
    ///
    /// # Errors
    /// The elements are not float16.
    pub fn to_f16(&self) -> Result<Vec<f16>, CheckpointError> {
        match self.dtype {
            DType::F16 => Ok(self.convert(f16::from_le_bytes)),
            _ => Err(self.unsuitable()),
        }
    }

    /// All elements in row-major order as the bytes that are stored.
    ///
    /// # Errors
    /// The elements are not int8.
    pub fn to_i8(&self) -> Result<Vec<i8>, CheckpointError> {
        match self.dtype {
            DType::I8 => Ok(self.convert(i8::from_le_bytes)),
            _ => Err(self.unsuitable()),
        }
    }

    /// All elements of a tensor of integers in row-major order.
    ///
    /// # Errors
    /// The elements are floats.
    pub fn to_i64(&self) -> Result<Vec<i64>, CheckpointError> {
        Ok(match self.dtype {
            DType::I64 => self.convert(i64::from_le_bytes),
            DType::I32 => self.convert(|b| i64::from(i32::from_le_bytes(b))),
            DType::I16 => self.convert(|b| i64::from(i16::from_le_bytes(b))),
            DType::I8 => self.convert(|b| i64::from(i8::from_le_bytes(b))),
            DType::U8 | DType::Bool => self.convert(|[b]| i64::from(b)),
            _ => return Err(self.unsuitable()),
        })
    }

    fn unsuitable(&self) -> CheckpointError {
        CheckpointError::Type { name: self.name.to_owned(), got: self.dtype }
    }

    fn convert<const N: usize, T>(&self, read: impl Fn([u8; N]) -> T) -> Vec<T> {
        let elements = self.data.as_chunks::<N>().0;
        let Some(strides) = self.strides else {
            return elements.iter().map(|&bytes| read(bytes)).collect();
        };
        let mut index = vec![0; self.shape.len()];
        let mut values = Vec::with_capacity(self.len());
        for _ in 0..self.len() {
            // Within `elements`: the container checked the furthest element when it made the entry.
            let at: usize = index.iter().zip(strides).map(|(i, stride)| i * stride).sum();
            values.push(read(elements[at]));
            for (i, &size) in index.iter_mut().zip(self.shape).rev() {
                *i += 1;
                if *i < size {
                    break;
                }
                *i = 0;
            }
        }
        values
    }
}
