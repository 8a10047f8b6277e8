//! Paraformer and its variants: from features to ids of tokens and the weights that tell their times.

mod cut;
mod official;
mod seaco;

use syrinx_plugin_common::onnx::{OnnxError, Runtime};

use super::batch::Batch;
use super::hotwords::{BiasEmbeddings, Embedder, Spelling};
use super::timestamps::{self, PEAK_SHIFT, Timing};
use super::{Utterance, ctc};
use crate::accelerate::{self, NetworkOptions};
use crate::config::{ModelFiles, RecognizerConfig};
use crate::error::FunasrError;
use crate::frontend::Features;
use crate::network::paraformer::{Checkpoint, Kind};
use crate::text::sentence;
use crate::text::tokens::Tokens;
use cut::Cut;
use official::Official;

pub use cut::{Predicted, predict, upsampled};

/// Ids that are no text: blank, start, end.
const NO_TEXT: [usize; 3] = [0, 1, 2];
/// More hot words than this are filtered by how much attention they get. Source: FunASR `models/seaco_paraformer/model.py`.
const MOST_SEACO_WORDS: usize = 50;

/// What the network says about one utterance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// Ids of the tokens.
    pub ids: Vec<u32>,
    /// Weights of frames and their sums, in frames of the encoder or finer ones.
    pub weights: Option<FrameWeights>,
}

/// What times are read from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FrameWeights {
    /// Weights.
    pub alphas: Vec<f32>,
    /// Their sums.
    pub peaks: Vec<f32>,
    /// Frames per encoder frame.
    pub upsampling: usize,
}

/// Hot words of one request.
#[derive(Clone, Debug)]
pub struct Hotwords {
    /// Their embeddings.
    pub embeddings: BiasEmbeddings,
    /// How much they count (contextual models of torch checkpoints).
    pub scale: f32,
}

/// A loaded Paraformer.
#[derive(Debug)]
pub struct Paraformer {
    engine: Engine,
    kind: Kind,
    tokens: Tokens,
    spelling: Option<Spelling>,
    embedder: Option<Embedder>,
    is_english: bool,
}

#[derive(Debug)]
enum Engine {
    Official(Box<Official>),
    Cut(Box<Cut>),
}

impl Paraformer {
    /// Loads the ONNX release, or makes graphs of the torch release.
    ///
    /// # Errors
    /// Files are missing or something else.
    pub fn load(
        runtime: &Runtime,
        files: &ModelFiles,
        quantized: bool,
        options: &NetworkOptions,
    ) -> Result<Self, FunasrError> {
        let config = files.config::<RecognizerConfig>()?;
        let tokens = Tokens::new(files.tokens()?);
        let spelling = files.find("tokenizer_conf/seg_dict_file", &["seg_dict"]);
        let spelling = spelling.map(|path| Spelling::read(&path)).transpose()?;
        let is_english = config.lang.as_deref() == Some("en-bpe");
        let (engine, kind, embedder) = if let Some(path) = files.graph("model", quantized) {
            let official = Official::load(runtime, &path, options)?;
            let kind = official.kind();
            let embedder = if official.words.is_some() {
                let path = files.graph("model_eb", quantized).ok_or_else(|| FunasrError::Missing {
                    directory: files.directory().to_owned(),
                    what: "embedder of hot words",
                    needed: "model_eb.onnx or model_eb_quant.onnx".to_owned(),
                })?;
                Some(Embedder::new(accelerate::session(runtime, &path, None, options)?, true))
            } else {
                None
            };
            (Engine::Official(Box::new(official)), kind, embedder)
        } else {
            let path = files.checkpoint().ok_or_else(|| FunasrError::Missing {
                directory: files.directory().to_owned(),
                what: "recogniser",
                needed: "model.onnx, model_quant.onnx or model.pt".to_owned(),
            })?;
            let checkpoint = Checkpoint::open(&path)?;
            let embedder = if checkpoint.kind.is_contextual || checkpoint.kind.is_seaco {
                Some(Embedder::new(
                    accelerate::session(runtime, &path, Some(&checkpoint.hotword_graph()?), options)?,
                    false,
                ))
            } else {
                None
            };
            let cut = Cut::load(runtime, &path, &checkpoint, config, options)?;
            (Engine::Cut(Box::new(cut)), checkpoint.kind, embedder)
        };
        Ok(Self { engine, kind, tokens, spelling, embedder, is_english })
    }

    /// Whether tokens have times.
    #[must_use]
    pub fn has_timestamps(&self) -> bool {
        self.kind.has_timestamps
    }

    /// Whether utterances are recognised one at a time, because the graph makes tokens in a way that is not known here.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        matches!(&self.engine, Engine::Official(official) if official.is_alone())
    }

    /// Whether it takes hot words.
    #[must_use]
    pub fn takes_hotwords(&self) -> bool {
        self.embedder.is_some()
    }

    /// The list of tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// How words are spelt.
    #[must_use]
    pub fn spelling(&self) -> Option<&Spelling> {
        self.spelling.as_ref()
    }

    /// Embeds hot words, given as ids. `None` where the model takes none.
    ///
    /// # Errors
    /// The run fails.
    pub fn embed(&self, words: &[Vec<u32>], scale: f32) -> Result<Option<Hotwords>, FunasrError> {
        let Some(embedder) = &self.embedder else { return Ok(None) };
        Ok(Some(Hotwords { embeddings: embedder.embed(words)?, scale }))
    }

    /// Recognises utterances together. Without hot words, models that need some get the entry "no hot word".
    ///
    /// # Errors
    /// The run fails.
    pub fn decode(&self, utterances: &[&Features], hotwords: Option<&Hotwords>) -> Result<Vec<Decoded>, FunasrError> {
        let audible: Vec<usize> = (0..utterances.len()).filter(|&i| utterances[i].frames > 0).collect();
        let mut decoded = vec![Decoded::default(); utterances.len()];
        // A long list of hot words is filtered by one utterance.
        let many = self.kind.is_seaco && hotwords.is_some_and(|words| words.embeddings.words > MOST_SEACO_WORDS);
        let alone = many || self.is_alone();
        let size = if alone { 1 } else { audible.len().max(1) };
        for group in audible.chunks(size) {
            let members: Vec<&Features> = group.iter().map(|&i| utterances[i]).collect();
            for (&i, result) in group.iter().zip(self.decode_batch(&members, hotwords)?) {
                decoded[i] = result;
            }
        }
        Ok(decoded)
    }

    fn decode_batch(&self, utterances: &[&Features], hotwords: Option<&Hotwords>) -> Result<Vec<Decoded>, FunasrError> {
        match &self.engine {
            Engine::Cut(cut) => cut.run(&Batch::new(utterances), hotwords, self.embedder.as_ref()),
            Engine::Official(official) => {
                match official.run(&Batch::new(utterances), hotwords, self.embedder.as_ref()) {
                    // The official graphs fail when no token is made: each utterance alone tells which.
                    Err(FunasrError::Onnx(OnnxError::Run(message))) if !super::is_out_of_memory(&message) => {
                        if utterances.len() == 1 {
                            return Ok(vec![Decoded::default()]);
                        }
                        let one = |utterance: &&Features| self.decode_batch(&[*utterance], hotwords);
                        Ok(utterances.iter().map(one).collect::<Result<Vec<_>, _>>()?.concat())
                    }
                    other => other,
                }
            }
        }
    }

    /// The text of tokens; with times where there are weights and `timed` asks for them.
    #[must_use]
    pub fn utterance(&self, decoded: &Decoded, timed: bool) -> Utterance {
        if decoded.ids.is_empty() {
            return Utterance::default();
        }
        let tokens: Vec<&str> = decoded.ids.iter().map(|&id| self.tokens.text(id)).collect();
        if self.is_english {
            let sentence = sentence::compose_pieces(&tokens);
            return Utterance { text: sentence.text, units: sentence.units, spans: None };
        }
        let spans = decoded.weights.as_ref().filter(|_| timed).map(|weights| {
            let timing = Timing { upsampling: weights.upsampling, shift: PEAK_SHIFT, offset: 0.0 };
            // Models without a second head call the reference's function with weights and sums exchanged.
            let (alphas, peaks) = if self.kind.has_timestamps {
                (&weights.alphas, &weights.peaks)
            } else {
                (&weights.peaks, &weights.alphas)
            };
            timestamps::spans(&timestamps::align(alphas, peaks, &tokens, timing))
        });
        let sentence = sentence::compose(&tokens, spans.as_deref());
        Utterance { text: sentence.text, units: sentence.units, spans: sentence.spans }
    }
}

/// Ids of the best classes of the first rows, without those that are no text.
#[must_use]
pub fn greedy(logits: &[f32], classes: usize, tokens: usize) -> Vec<u32> {
    text_ids(logits.chunks_exact(classes.max(1)).take(tokens).map(ctc::best))
}

/// Ids of classes, without those that are no text.
fn text_ids(classes: impl IntoIterator<Item = usize>) -> Vec<u32> {
    classes.into_iter().filter(|id| !NO_TEXT.contains(id)).map(|id| id as u32).collect()
}

/// "No hot word", for models that can't run without any.
fn no_words(embedder: Option<&Embedder>) -> Result<BiasEmbeddings, FunasrError> {
    match embedder {
        Some(embedder) => embedder.embed(&[vec![1]]),
        None => Ok(BiasEmbeddings::default()),
    }
}
