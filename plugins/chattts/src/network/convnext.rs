//! Convolutions over time that work while their input arrives: what comes out in pieces is what comes out at once.
//!
//! A convolution that looks `margin` frames to both sides keeps the last `2 · margin` frames of its input. The true start and the true end of an
//! utterance are padded with zeros as in training, every other border gets its real neighbours. So layers can be stacked, and nothing is
//! computed twice.

use tch::{Kind, TchError, Tensor};

use super::{
    linear::Pointwise,
    weights::{Weights, size},
};
use crate::error::ChatTtsError;

/// Source: `LayerNorm(eps=1e-6)` of `ChatTTS/model/dvae.py:ConvNeXtBlock` and vocos.
pub(super) const EPSILON: f64 = 1e-6;

/// What a convolution remembers of its input.
#[derive(Debug, Default)]
pub(super) struct Context(Option<Tensor>);

impl Context {
    /// The input `[batch, channels, frames]` that the next outputs are made of: `margin` frames more than those on both sides. None: there is
    /// not enough input for an output yet.
    fn extend(&mut self, x: Option<Tensor>, margin: i64, is_last: bool) -> Result<Option<Tensor>, TchError> {
        let Some(some) = x.as_ref().or(self.0.as_ref()) else { return Ok(None) };
        let mut shape = some.size();
        if let Some(frames) = shape.last_mut() {
            *frames = margin;
        }
        let zeros = some.f_new_zeros(&shape, (some.f_kind()?, some.device()))?;
        let mut parts = vec![self.0.take().unwrap_or_else(|| zeros.shallow_clone())];
        parts.extend(x);
        if is_last {
            parts.push(zeros);
        }
        let window = Tensor::f_cat(&parts, -1)?;
        let length = size(&window, window.dim() - 1);
        if !is_last {
            let kept = length.min(2 * margin);
            self.0 = Some(window.f_narrow(-1, length - kept, kept)?.copy());
        }
        Ok((length > 2 * margin).then_some(window))
    }
}

/// A convolution along time, with zeros around.
#[derive(Debug)]
pub(super) struct Conv {
    weight: Tensor,
    bias: Option<Tensor>,
    dilation: i64,
    groups: i64,
    stride: i64,
}

impl Conv {
    /// The convolution `name`, with its bias if it has one.
    pub(super) fn load(weights: &Weights<'_>, name: &str) -> Result<Self, ChatTtsError> {
        let bias = weights.exact(&format!("{name}.bias")).ok();
        Ok(Self { weight: weights.exact(&format!("{name}.weight"))?, bias, dilation: 1, groups: 1, stride: 1 })
    }

    /// The same with steps of several frames.
    pub(super) fn strided(self, stride: i64) -> Self {
        Self { stride, ..self }
    }

    /// A convolution of each channel by itself.
    fn depthwise(self, dilation: i64) -> Self {
        Self { groups: size(&self.weight, 0), dilation, ..self }
    }

    /// Channels of its input.
    pub(super) fn inputs(&self) -> i64 {
        size(&self.weight, 1) * self.groups
    }

    /// Frames that it looks to each side.
    fn margin(&self) -> i64 {
        self.dilation * (size(&self.weight, 2) - 1) / 2
    }

    /// With zeros around: `[batch, in, frames]` to `[batch, out, frames]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        self.apply(x, self.margin())
    }

    fn apply(&self, x: &Tensor, padding: i64) -> Result<Tensor, TchError> {
        x.f_conv1d(&self.weight, self.bias.as_ref(), self.stride, padding, self.dilation, self.groups)
    }

    /// The outputs that the next piece of input makes possible.
    pub(super) fn push(
        &self,
        context: &mut Context,
        x: Option<Tensor>,
        is_last: bool,
    ) -> Result<Option<Tensor>, TchError> {
        let window = context.extend(x, self.margin(), is_last)?;
        window.map(|window| self.apply(&window, 0)).transpose()
    }
}

/// Normalisation over the channels.
#[derive(Debug)]
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    pub(super) fn load(weights: &Weights<'_>, name: &str) -> Result<Self, ChatTtsError> {
        Ok(Self { weight: weights.exact(&format!("{name}.weight"))?, bias: weights.exact(&format!("{name}.bias"))? })
    }

    /// `[batch, frames, channels]`
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), EPSILON, false)
    }
}

/// A block of ConvNeXt.
#[derive(Debug)]
pub(super) struct Block {
    depthwise: Conv,
    norm: Norm,
    up: Pointwise,
    down: Pointwise,
    scale: Tensor,
}

impl Block {
    /// With the name of its scale per channel, which differs between the networks.
    pub(super) fn load(weights: &Weights<'_>, dilation: i64, scale: &str) -> Result<Self, ChatTtsError> {
        let pointwise = |name: &str| -> Result<Pointwise, ChatTtsError> {
            let part = weights.part(name);
            Ok(Pointwise::new(&part.stored("weight")?, &part.stored("bias")?, weights.place)?)
        };
        Ok(Self {
            depthwise: Conv::load(weights, "dwconv")?.depthwise(dilation),
            norm: Norm::load(weights, "norm")?,
            up: pointwise("pwconv1")?,
            down: pointwise("pwconv2")?,
            scale: weights.exact(scale)?,
        })
    }

    /// With zeros around: `[batch, channels, frames]` to the same shape.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        self.mix(&self.depthwise.forward(x)?, x)
    }

    /// The outputs that the next piece of input makes possible.
    pub(super) fn push(
        &self,
        context: &mut Context,
        x: Option<Tensor>,
        is_last: bool,
    ) -> Result<Option<Tensor>, TchError> {
        let margin = self.depthwise.margin();
        let Some(window) = context.extend(x, margin, is_last)? else { return Ok(None) };
        let around = self.depthwise.apply(&window, 0)?;
        let own = window.f_narrow(2, margin, size(&around, 2))?;
        self.mix(&around, &own).map(Some)
    }

    /// The block behind its depthwise convolution, with the residual.
    fn mix(&self, around: &Tensor, own: &Tensor) -> Result<Tensor, TchError> {
        let normed = self.norm.forward(&around.f_transpose(1, 2)?)?;
        let wide = self.up.forward(&normed)?.f_gelu("none")?;
        let narrow = self.down.forward(&wide)?.f_to_kind(Kind::Float)?.f_mul(&self.scale)?;
        narrow.f_transpose(1, 2)?.f_add(own)
    }
}
