//! The language model: Llama over embeddings, for rows that join and leave.

use tch::{Device, Kind, Tensor};

use super::{
    Linear, Place,
    weights::{Weights, size},
};
use crate::{config::GptConfig, error::ChatTtsError};

/// The network, without embeddings and heads.
pub struct Gpt {
    layers: Vec<Layer>,
    norm: Tensor,
    rotation: Tensor,
    heads: i64,
    head_size: i64,
    epsilon: f64,
    place: Place,
}

struct Layer {
    input_norm: Tensor,
    /// Queries and keys with the two halves of each head interleaved, see [`interleaved`]; then values.
    qkv: Linear,
    output: Linear,
    post_norm: Tensor,
    /// Gates, then what they let through.
    gate_up: Linear,
    down: Linear,
}

/// Keys and values of the rows so far. Rows are numbered without gaps.
#[derive(Debug, Default)]
pub struct Rows {
    /// Per layer: keys and values, `[slots, capacity, hidden]`.
    layers: Vec<(Tensor, Tensor)>,
    slots: i64,
    capacity: i64,
    /// Positions that each row has.
    lengths: Vec<i64>,
}

/// Positions that memory is reserved for at a time. A multiple of 8, as kernels of attention under a mask want it.
const CAPACITY_STEP: i64 = 256;

/// What all layers of one pass have in common.
struct Pass {
    /// `[rows, positions, 1, head / 2]`, complex.
    rotation: Tensor,
    /// Where keys and values go: index into `slots · capacity`.
    places: Tensor,
    first_row: i64,
    rows: i64,
    /// Positions that are looked at.
    seen: i64,
    mask: Option<Tensor>,
    is_causal: bool,
}

impl Gpt {
    /// Loads `gpt/model.safetensors`. The embeddings in it are never used and left alone.
    ///
    /// # Errors
    /// Tensors are missing or don't fit.
    pub fn load(weights: &Weights<'_>, config: &GptConfig) -> Result<Self, ChatTtsError> {
        let heads = config.num_attention_heads as i64;
        let head_size = config.hidden_size as i64 / heads;
        let place = weights.place;
        let layer = |index: usize| -> Result<Layer, ChatTtsError> {
            let part = weights.part(format_args!("layers.{index}"));
            let attention = part.part("self_attn");
            let query = interleaved(&attention.stored("q_proj.weight")?, heads, head_size)?;
            let key = interleaved(&attention.stored("k_proj.weight")?, heads, head_size)?;
            let qkv = Tensor::f_cat(&[query, key, attention.stored("v_proj.weight")?], 0)?;
            let mlp = part.part("mlp");
            Ok(Layer {
                input_norm: part.flowing("input_layernorm.weight")?,
                qkv: Linear::new(&qkv, place)?,
                output: attention.linear("o_proj.weight")?,
                post_norm: part.flowing("post_attention_layernorm.weight")?,
                gate_up: Linear::new(&mlp.stacked(&["gate_proj.weight", "up_proj.weight"])?, place)?,
                down: mlp.linear("down_proj.weight")?,
            })
        };
        Ok(Self {
            layers: (0..weights.count("layers")).map(layer).collect::<Result<_, _>>()?,
            norm: weights.flowing("norm.weight")?,
            rotation: rotation(config, head_size)?.f_to_device(place.device)?,
            heads,
            head_size,
            epsilon: config.rms_norm_eps,
            place,
        })
    }

    /// Positions that a row can have.
    #[must_use]
    pub fn positions(&self) -> usize {
        size(&self.rotation, 0) as usize
    }

    /// Adds a row with the embeddings `x` `[positions, hidden]` and returns their hidden states. The row comes last.
    ///
    /// # Errors
    /// There are too many positions, or none; the device failed. The rows are as they were then.
    pub fn admit(&self, rows: &mut Rows, x: &Tensor) -> Result<Tensor, ChatTtsError> {
        let (row, length) = (rows.lengths.len() as i64, size(x, 0));
        if length < 1 || length >= size(&self.rotation, 0) {
            return Err(ChatTtsError::TooLong { tokens: length as usize, most: self.positions() - 1 });
        }
        rows.reserve(self, row + 1, length)?;
        let pass = Pass {
            rotation: self.rotation.f_narrow(0, 0, length)?.f_unsqueeze(0)?.f_unsqueeze(2)?,
            places: Tensor::f_arange_start(
                row * rows.capacity,
                row * rows.capacity + length,
                (Kind::Int64, self.place.device),
            )?,
            first_row: row,
            rows: 1,
            seen: length,
            mask: None,
            is_causal: true,
        };
        let hidden = self.forward(&x.f_unsqueeze(0)?, &pass, rows)?;
        rows.lengths.push(length);
        Ok(hidden.f_squeeze_dim(0)?)
    }

    /// Gives every row its next position, `x` `[rows, hidden]`, and returns the hidden states.
    ///
    /// # Errors
    /// A row has all its positions; the device failed.
    pub fn step(&self, rows: &mut Rows, x: &Tensor) -> Result<Tensor, ChatTtsError> {
        let count = rows.lengths.len() as i64;
        let longest = rows.lengths.iter().copied().max().unwrap_or(0) + 1;
        if longest > size(&self.rotation, 0) {
            return Err(ChatTtsError::TooLong { tokens: longest as usize, most: self.positions() });
        }
        rows.reserve(self, count, longest)?;
        let device = self.place.device;
        let positions = Tensor::f_from_slice(&rows.lengths)?;
        let starts = Tensor::f_arange(count, (Kind::Int64, Device::Cpu))?.f_mul_scalar(rows.capacity)?;
        let is_ragged = rows.lengths.iter().any(|&length| length + 1 != longest);
        let seen = if is_ragged { round_up(longest, 8) } else { longest };
        let pass = Pass {
            rotation: self
                .rotation
                .f_index_select(0, &positions.f_to_device(device)?)?
                .f_unsqueeze(1)?
                .f_unsqueeze(2)?,
            places: starts.f_add(&positions)?.f_to_device(device)?,
            first_row: 0,
            rows: count,
            seen,
            mask: is_ragged.then(|| self.mask(&rows.lengths, seen)).transpose()?,
            is_causal: false,
        };
        let hidden = self.forward(&x.f_unsqueeze(1)?, &pass, rows)?;
        for length in &mut rows.lengths {
            *length += 1;
        }
        Ok(hidden.f_squeeze_dim(1)?)
    }

    /// What is added to the scores: nothing up to a row's own position, and after it what makes a weight of zero. `[rows, 1, 1, seen]`
    fn mask(&self, lengths: &[i64], seen: i64) -> Result<Tensor, ChatTtsError> {
        let row = |&length: &i64| (0..seen).map(move |at| if at <= length { 0.0 } else { f32::NEG_INFINITY });
        let values: Vec<f32> = lengths.iter().flat_map(row).collect();
        let mask = Tensor::f_from_slice(&values)?.f_reshape([lengths.len() as i64, 1, 1, seen])?;
        Ok(self.place.bring(&mask, self.place.flow())?)
    }

    /// `[rows, positions, hidden]` to the same shape.
    fn forward(&self, x: &Tensor, pass: &Pass, rows: &mut Rows) -> Result<Tensor, ChatTtsError> {
        let mut x = x.f_to_kind(self.place.flow())?;
        for (layer, cache) in self.layers.iter().zip(&mut rows.layers) {
            let attended = self.attend(layer, &self.normed(&x, &layer.input_norm)?, pass, cache)?;
            x = x.f_add(&attended)?;
            let both = layer.gate_up.forward(&self.normed(&x, &layer.post_norm)?)?;
            let half = layer.gate_up.outputs() / 2;
            let gated = both.f_narrow(-1, 0, half)?.f_silu()?.f_mul(&both.f_narrow(-1, half, half)?)?;
            x = x.f_add(&layer.down.forward(&gated)?)?;
        }
        Ok(self.normed(&x, &self.norm)?)
    }

    fn normed(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor, tch::TchError> {
        x.f_rms_norm(weight.size(), Some(weight), self.epsilon)
    }

    fn attend(
        &self,
        layer: &Layer,
        x: &Tensor,
        pass: &Pass,
        (keys, values): &mut (Tensor, Tensor),
    ) -> Result<Tensor, tch::TchError> {
        let (rows, positions, hidden) = (size(x, 0), size(x, 1), self.heads * self.head_size);
        let qkv = layer.qkv.forward(x)?;
        // [rows, positions, heads of queries and of keys, head / 2, 2]: pairs that are turned.
        let pairs = [rows, positions, 2 * self.heads, self.head_size / 2, 2];
        let turned = qkv.f_narrow(-1, 0, 2 * hidden)?.f_reshape(pairs)?.f_to_kind(Kind::Float)?.f_view_as_complex()?;
        let turned = turned.f_mul(&pass.rotation)?.f_view_as_real()?.f_to_kind(qkv.f_kind()?)?;
        let turned = turned.f_reshape([rows, positions, 2, hidden])?;
        let flat = [rows * positions, hidden];
        let _ = keys.f_view([-1, hidden])?.f_index_copy_(0, &pass.places, &turned.f_select(2, 1)?.f_reshape(flat)?)?;
        let value = qkv.f_narrow(-1, 2 * hidden, hidden)?.f_reshape(flat)?;
        let _ = values.f_view([-1, hidden])?.f_index_copy_(0, &pass.places, &value)?;
        // [rows, heads, positions, head]
        let by_head = |tensor: &Tensor, positions: i64| {
            tensor.f_reshape([pass.rows, positions, self.heads, self.head_size])?.f_transpose(1, 2)
        };
        let seen = |cache: &Tensor| {
            let part = cache.f_narrow(0, pass.first_row, pass.rows)?.f_narrow(1, 0, pass.seen)?;
            part.f_unflatten(2, [self.heads, self.head_size])?.f_transpose(1, 2)
        };
        let attended = self.mixed(&by_head(&turned.f_select(2, 0)?, positions)?, &seen(keys)?, &seen(values)?, pass)?;
        layer.output.forward(&attended.f_transpose(1, 2)?.f_reshape([rows, positions, hidden])?)
    }
}

impl Gpt {
    /// Attention of `queries` `[rows, heads, positions, head]` to `keys` and `values` `[rows, heads, seen, head]`, in the queries' shape.
    fn mixed(&self, queries: &Tensor, keys: &Tensor, values: &Tensor, pass: &Pass) -> Result<Tensor, tch::TchError> {
        let mask = pass.mask.as_ref();
        if self.place.device == Device::Cpu {
            return Tensor::f_scaled_dot_product_attention(
                queries,
                keys,
                values,
                mask,
                0.0,
                pass.is_causal,
                None,
                false,
            );
        }
        // Left to itself, libtorch takes cuDNN's kernel for half precision, which is prepared anew for every length: a step took 74 ms
        // so on an H100, and 8 ms with this one on an H200.
        let mask =
            mask.map(|mask| mask.f_expand([pass.rows, self.heads, size(queries, 2), pass.seen], false)).transpose()?;
        let (mixed, ..) = Tensor::f_internal_scaled_dot_product_efficient_attention(
            queries,
            keys,
            values,
            mask.as_ref(),
            false,
            0.0,
            pass.is_causal,
            None,
        )?;
        Ok(mixed)
    }
}

impl Rows {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Positions of a row.
    #[must_use]
    pub fn length(&self, row: usize) -> usize {
        self.lengths.get(row).map_or(0, |&length| length as usize)
    }

    /// Takes a row out; the last one gets its number.
    ///
    /// # Errors
    /// The device failed.
    pub fn remove(&mut self, row: usize) -> Result<(), ChatTtsError> {
        let Some(last) = self.lengths.len().checked_sub(1).filter(|&last| row <= last) else { return Ok(()) };
        self.lengths.swap_remove(row);
        if row < last {
            let length = self.lengths[row];
            for cache in self.layers.iter().flat_map(|(keys, values)| [keys, values]) {
                let part = |row: usize| cache.f_get(row as i64)?.f_narrow(0, 0, length);
                part(row)?.f_copy_(&part(last)?)?;
            }
        }
        Ok(())
    }

    /// Makes room for `rows` rows of `length` positions.
    fn reserve(&mut self, gpt: &Gpt, rows: i64, length: i64) -> Result<(), ChatTtsError> {
        if rows <= self.slots && length <= self.capacity && self.layers.len() == gpt.layers.len() {
            return Ok(());
        }
        let slots = if rows > self.slots { rows.max(self.slots * 2) } else { self.slots };
        let mut capacity = self.capacity;
        if length > capacity {
            capacity = round_up(length.max(capacity + capacity / 2), CAPACITY_STEP);
        }
        let hidden = gpt.heads * gpt.head_size;
        let options = (gpt.place.flow(), gpt.place.device);
        // Zeros, since what is behind a row's end is multiplied by zero.
        let larger = |old: Option<&Tensor>| -> Result<Tensor, tch::TchError> {
            let new = Tensor::f_zeros([slots, capacity, hidden], options)?;
            if let Some(old) = old {
                new.f_narrow(0, 0, self.slots)?.f_narrow(1, 0, self.capacity)?.f_copy_(old)?;
            }
            Ok(new)
        };
        for index in 0..gpt.layers.len() {
            let old = self.layers.get(index);
            let pair = (larger(old.map(|pair| &pair.0))?, larger(old.map(|pair| &pair.1))?);
            match self.layers.get_mut(index) {
                Some(place) => *place = pair,
                None => self.layers.push(pair),
            }
        }
        (self.slots, self.capacity) = (slots, capacity);
        Ok(())
    }
}

/// Rows of a projection to queries or keys, so that the numbers that the rotary embedding turns together, which are half a head apart in the
/// checkpoint, become neighbours. Scores stay the same, since queries and keys are changed alike.
fn interleaved(weight: &Tensor, heads: i64, head_size: i64) -> Result<Tensor, tch::TchError> {
    let width = size(weight, 1);
    weight.f_reshape([heads, 2, head_size / 2, width])?.f_transpose(1, 2)?.f_reshape([heads * head_size, width])
}

/// The turns of all positions, `[positions, head / 2]`, complex. Angles are float32 like those of `transformers.LlamaRotaryEmbedding`.
fn rotation(config: &GptConfig, head_size: i64) -> Result<Tensor, tch::TchError> {
    let half = head_size / 2;
    let frequencies: Vec<f32> =
        (0..half).map(|i| config.rope_theta.powf(-(2 * i) as f64 / head_size as f64) as f32).collect();
    let turns = (0..config.max_position_embeddings).flat_map(|position| {
        frequencies.iter().flat_map(move |frequency| {
            let angle = f64::from(position as f32 * frequency);
            [angle.cos() as f32, angle.sin() as f32]
        })
    });
    let turns: Vec<f32> = turns.collect();
    Tensor::f_from_slice(&turns)?.f_reshape([-1, half, 2])?.f_view_as_complex()
}

/// The next multiple of `step`.
fn round_up(number: i64, step: i64) -> i64 {
    (number + step - 1) / step * step
}
