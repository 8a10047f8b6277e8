//! Tensors of a case: small, owned, floats or integers.

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// A named array of a case, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    values: Values,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    Float(Vec<f64>),
    Int(Vec<i64>),
}

impl Tensor {
    /// A float tensor; `values` in row-major order.
    pub fn float(shape: &[usize], values: Vec<f32>) -> Self {
        Self { shape: shape.to_vec(), values: Values::Float(values.into_iter().map(f64::from).collect()) }
    }

    /// An integer tensor; `values` in row-major order.
    pub fn int(shape: &[usize], values: Vec<i64>) -> Self {
        Self { shape: shape.to_vec(), values: Values::Int(values) }
    }

    /// The dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match &self.values {
            Values::Float(values) => values.len(),
            Values::Int(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values as f32, integers converted.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.values {
            Values::Float(values) => values.iter().map(|&v| v as f32).collect(),
            Values::Int(values) => values.iter().map(|&v| v as f32).collect(),
        }
    }

    /// The values as f64, integers converted.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.values {
            Values::Float(values) => values.clone(),
            Values::Int(values) => values.iter().map(|&v| v as f64).collect(),
        }
    }

    /// The values of an integer tensor.
    ///
    /// # Errors
    /// The tensor holds floats.
    pub fn to_i64(&self) -> Result<Vec<i64>, String> {
        match &self.values {
            Values::Int(values) => Ok(values.clone()),
            Values::Float(_) => Err("a tensor of integers is needed, this one holds floats".to_owned()),
        }
    }

    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// Whether shape and number of values belong together (an op may get this wrong; that is a failed case, not a panic).
    pub(super) fn is_consistent(&self) -> bool {
        self.shape.iter().product::<usize>() == self.len()
    }

    pub(super) fn from_view(view: &TensorView<'_>) -> Result<Self, String> {
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F64 => Values::Float(fixed(data, f64::from_le_bytes)),
            Dtype::F32 => Values::Float(fixed(data, |b| f64::from(f32::from_le_bytes(b)))),
            Dtype::F16 => Values::Float(fixed(data, |b| f16::from_le_bytes(b).to_f64())),
            Dtype::BF16 => Values::Float(fixed(data, |b| bf16::from_le_bytes(b).to_f64())),
            Dtype::I64 => Values::Int(fixed(data, i64::from_le_bytes)),
            Dtype::I32 => Values::Int(fixed(data, |b| i64::from(i32::from_le_bytes(b)))),
            Dtype::I16 => Values::Int(fixed(data, |b| i64::from(i16::from_le_bytes(b)))),
            Dtype::U16 => Values::Int(fixed(data, |b| i64::from(u16::from_le_bytes(b)))),
            Dtype::U32 => Values::Int(fixed(data, |b| i64::from(u32::from_le_bytes(b)))),
            Dtype::I8 => Values::Int(fixed(data, |b| i64::from(i8::from_le_bytes(b)))),
            Dtype::U8 | Dtype::BOOL => Values::Int(data.iter().map(|&b| i64::from(b)).collect()),
            other => return Err(format!("element type {other:?} is not supported")),
        };
        Ok(Self { shape: view.shape().to_vec(), values })
    }
}

fn fixed<const N: usize, T>(data: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>().0.iter().map(|&bytes| read(bytes)).collect()
}
