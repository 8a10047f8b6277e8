//! The networks, on libtorch. Names are those of the checkpoints.

mod convnext;
mod dvae;
mod embed;
mod gpt;
mod linear;
mod place;
mod quantizer;
mod synthesizer;
mod vocoder;
mod weights;

pub use dvae::{Dvae, MelDecoder, MelState};
pub use embed::{Embed, Entry, Vocabulary};
pub use gpt::{Gpt, Rows};
pub use place::{Place, Precision};
pub use quantizer::Quantizer;
pub use synthesizer::{Steps, Synthesizer, Utterance};
pub use vocoder::{Vocoder, VocoderState};
pub use weights::{Checkpoint, Weights, values};

use linear::Linear;

use crate::{
    config::{GptConfig, ModelFiles},
    error::ChatTtsError,
};

/// What predicts tokens.
pub struct LanguageModel {
    /// The transformer.
    pub gpt: Gpt,
    /// Its embeddings and heads.
    pub embed: Embed,
}

impl LanguageModel {
    /// Loads it at `place`.
    ///
    /// # Errors
    /// Files are missing or broken.
    pub fn load(files: &ModelFiles, place: Place) -> Result<Self, ChatTtsError> {
        let config = GptConfig::read(&files.gpt_config())?;
        Ok(Self {
            gpt: Gpt::load(&Checkpoint::open(&files.gpt())?.weights(place), &config)?,
            embed: Embed::load(&Checkpoint::open(&files.embed())?.weights(place))?,
        })
    }
}
