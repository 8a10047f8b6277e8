//! The large matrix products.

use tch::{Device, Kind, TchError, Tensor};

use super::{Place, Precision, weights::size};

/// `x · Wᵀ`.
#[derive(Debug)]
pub(super) struct Linear {
    weight: Weight,
    /// What inputs are converted to.
    kind: Kind,
}

#[derive(Debug)]
enum Weight {
    /// `[out, in]`
    Dense(Tensor),
    /// `[out, in]` in 8 bits, and what each row is multiplied by.
    Int8 { values: Tensor, scales: Tensor },
}

impl Linear {
    /// With `weight` `[out, in]` of float32.
    pub(super) fn new(weight: &Tensor, place: Place) -> Result<Self, TchError> {
        let kind = place.precision.kind();
        let weight = if place.precision == Precision::Int8 {
            /// Largest magnitude of a signed byte that has a negative.
            const LARGEST: f64 = 127.0;
            let peaks = weight.f_abs()?.f_amax(1_i64, true)?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?;
            // Rounded as it is used.
            let scales = peaks.f_div_scalar(LARGEST)?.f_to_kind(kind)?;
            let values = weight.f_div(&scales.f_to_kind(Kind::Float)?)?.f_round()?.f_clamp(-LARGEST, LARGEST)?;
            Weight::Int8 { values: values.f_to_kind(Kind::Int8)?.f_contiguous()?, scales: scales.f_reshape(-1_i64)? }
        } else {
            Weight::Dense(place.bring(weight, kind)?.f_contiguous()?)
        };
        Ok(Self { weight, kind })
    }

    /// `[…, in]` to `[…, out]`, of the same type.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let kind = x.f_kind()?;
        let low = x.f_to_kind(self.kind)?;
        let out = match &self.weight {
            Weight::Dense(weight) => low.f_linear(weight, None::<&Tensor>)?,
            Weight::Int8 { values, scales } => {
                let mut shape = x.size();
                let flat = low.f_reshape([-1, size(values, 1)])?.f_internal_weight_int8pack_mm(values, scales)?;
                if let Some(last) = shape.last_mut() {
                    *last = size(values, 0);
                }
                flat.f_reshape(&shape)?
            }
        };
        out.f_to_kind(kind)
    }

    /// Rows of the matrix.
    pub(super) fn outputs(&self) -> i64 {
        match &self.weight {
            Weight::Dense(weight) => size(weight, 0),
            Weight::Int8 { values, .. } => size(values, 0),
        }
    }
}

/// A product over the channels of `[1, channels, frames]`. On the processor it is written as a convolution: oneDNN's, which is twice as fast in
/// float32 as the product that libtorch takes from MKL on processors that are not Intel's.
#[derive(Debug)]
pub(super) struct Pointwise {
    /// `[out, in]` on a card, else `[out, in, 1, 1]` with channels last.
    weight: Tensor,
    bias: Tensor,
    is_convolution: bool,
    kind: Kind,
}

impl Pointwise {
    /// With `weight` `[out, in]` and `bias` `[out]` of float32.
    pub(super) fn new(weight: &Tensor, bias: &Tensor, place: Place) -> Result<Self, TchError> {
        // 8 bits are for weights that are read once per step; here every weight is used for many frames.
        let kind = place.precision.kind();
        let is_convolution = place.device == Device::Cpu && kind == Kind::Float;
        let mut weight = place.bring(weight, kind)?.f_contiguous()?;
        if is_convolution {
            weight = weight.f_reshape([size(&weight, 0), 1, 1, size(&weight, 1)])?.f_permute([0, 3, 1, 2])?;
        }
        Ok(Self { weight, bias: place.bring(bias, kind)?, is_convolution, kind })
    }

    /// `[1, frames, in]` to `[1, frames, out]`, of the products' type.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let x = x.f_to_kind(self.kind)?;
        if !self.is_convolution {
            return x.f_linear(&self.weight, Some(&self.bias));
        }
        // [1, in, 1, frames] with channels last: the same bytes.
        let image = x.f_unsqueeze(1)?.f_permute([0, 3, 1, 2])?;
        let out = image.f_conv2d(&self.weight, Some(&self.bias), [1_i64, 1], [0_i64, 0], [1_i64, 1], 1)?;
        out.f_permute([0, 2, 3, 1])?.f_squeeze_dim(1)
    }
}
