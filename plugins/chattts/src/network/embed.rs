//! Embeddings of text and code tokens, and the heads that predict them.

use half::f16;
use tch::{Device, Kind, Tensor};

use super::{
    Linear,
    weights::{Weights, size},
};
use crate::{
    error::ChatTtsError,
    generate::{CODEBOOKS, Kind as Predicts},
};

/// What stands at one position of the input: rows of the table that are added up.
pub type Entry = [i64; CODEBOOKS];

/// Where tokens are in the table of embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    text_tokens: i64,
    code_tokens: i64,
}

impl Vocabulary {
    /// The code that ends sound: the last one of a codebook.
    #[must_use]
    pub fn end(self) -> u32 {
        (self.code_tokens - 1) as u32
    }

    /// The entry of a text token.
    #[must_use]
    pub fn text(self, id: i64) -> Entry {
        let zero = self.text_tokens + CODEBOOKS as i64 * self.code_tokens;
        [id.clamp(0, self.text_tokens - 1), zero, zero, zero]
    }

    /// The entry of one token of every codebook.
    #[must_use]
    pub fn codes(self, ids: [i64; CODEBOOKS]) -> Entry {
        std::array::from_fn(|k| self.text_tokens + k as i64 * self.code_tokens + ids[k].clamp(0, self.code_tokens - 1))
    }
}

/// Embeddings and heads. All embeddings are one table: those of text, of the codebooks one after the other, and a row of zeros, so that a text
/// token is the sum of four rows as well.
pub struct Embed {
    table: Tensor,
    vocabulary: Vocabulary,
    head_text: Linear,
    head_code: Linear,
}

impl Embed {
    /// Loads `Embed.safetensors`.
    ///
    /// # Errors
    /// Tensors are missing or don't fit.
    pub fn load(weights: &Weights<'_>) -> Result<Self, ChatTtsError> {
        let text = weights.stored("emb_text.weight")?;
        let names: Vec<String> = (0..CODEBOOKS).map(|k| format!("emb_code.{k}.weight")).collect();
        let codes = weights.stacked(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let zeros = Tensor::f_zeros([1, size(&text, 1)], (Kind::Float, Device::Cpu))?;
        let place = weights.place;
        let heads =
            (0..CODEBOOKS).map(|k| weights.weight_normed(&format!("head_code.{k}"))).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            vocabulary: Vocabulary { text_tokens: size(&text, 0), code_tokens: size(&codes, 0) / CODEBOOKS as i64 },
            table: place.bring(&Tensor::f_cat(&[text, codes, zeros], 0)?, place.flow())?,
            head_text: Linear::new(&weights.weight_normed("head_text")?, place)?,
            head_code: Linear::new(&Tensor::f_cat(&heads, 0)?, place)?,
        })
    }

    /// What is in the table.
    #[must_use]
    pub fn vocabulary(&self) -> Vocabulary {
        self.vocabulary
    }

    /// Embeddings `[positions, hidden]`.
    ///
    /// # Errors
    /// The device failed.
    pub fn forward(&self, entries: &[Entry]) -> Result<Tensor, ChatTtsError> {
        let index = Tensor::f_from_slice(entries.as_flattened())?.f_to_device(self.table.device())?;
        let rows = self.table.f_index_select(0, &index)?;
        let rows = rows.f_reshape([entries.len() as i64, CODEBOOKS as i64, size(&self.table, 1)])?;
        Ok(rows.f_sum_dim_intlist(1_i64, false, rows.f_kind()?)?)
    }

    /// Puts a speaker's vector, scaled to length 1, in place of the embeddings at `positions`. Scaled in float16 like the reference does it:
    /// length and quotient are rounded.
    ///
    /// # Errors
    /// The vector has another width than the embeddings.
    pub fn apply_speaker(&self, emb: &Tensor, positions: &[usize], speaker: &[f16]) -> Result<Tensor, ChatTtsError> {
        let (width, hidden) = (speaker.len(), size(&self.table, 1) as usize);
        if width != hidden {
            return Err(ChatTtsError::Speaker { width, hidden });
        }
        let scaled: Vec<f32> = unit(speaker).iter().map(|value| value.to_f32()).collect();
        let vector = Tensor::f_from_slice(&scaled)?.f_to_device(emb.device())?.f_to_kind(emb.f_kind()?)?;
        let result = emb.copy();
        for &position in positions {
            result.f_get(position as i64)?.f_copy_(&vector)?;
        }
        Ok(result)
    }

    /// Logits `[rows, tokens]` of hidden states `[rows, hidden]`; of code rows for all codebooks, one after the other.
    ///
    /// # Errors
    /// The device failed.
    pub fn logits(&self, hidden: &Tensor, predicts: Predicts) -> Result<Tensor, ChatTtsError> {
        let head = match predicts {
            Predicts::Code => &self.head_code,
            Predicts::Text => &self.head_text,
        };
        Ok(head.forward(hidden)?)
    }
}

/// A vector of length 1, in float16.
fn unit(vector: &[f16]) -> Vec<f16> {
    /// Below this, a length counts as this. Source: `torch.nn.functional.normalize`; float16 makes it zero.
    const LEAST: f32 = 1e-12;
    let square: f32 = vector.iter().map(|value| value.to_f32() * value.to_f32()).sum();
    let norm = f16::from_f32(square.sqrt().max(LEAST)).to_f32();
    vector.iter().map(|value| f16::from_f32(if norm == 0.0 { 0.0 } else { value.to_f32() / norm })).collect()
}
