//! Paraformer and its variants: from features to ids of tokens and the weights that tell their times.

use std::path::{Path, PathBuf};

use syrinx_plugin_common::onnx::{Input, OnnxError, Runtime, Session, SessionOptions};

use super::batch::{self, Batch};
use super::hotwords::{BiasEmbeddings, Embedder, Spelling};
use super::timestamps::{self, FIRING, PEAK_SHIFT, Timing};
use super::{Utterance, cif, ctc};
use crate::config::{ModelConfig, ModelFiles, PredictorConfig, RecognizerConfig};
use crate::error::FunasrError;
use crate::frontend::Features;
use crate::network::add_positions;
use crate::network::paraformer::{Checkpoint, Kind};
use crate::text::sentence;
use crate::text::tokens::Tokens;

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
        options: &SessionOptions,
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
                Some(Embedder::new(runtime.session(&path, options)?, true))
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
                Some(Embedder::new(runtime.session_of(&path, &checkpoint.hotword_graph()?, options)?, false))
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
        // A long list of hot words is filtered by one utterance; and in official graphs the network that tells times reads backwards, so
        // that padding would change what it says.
        let many = self.kind.is_seaco && hotwords.is_some_and(|words| words.embeddings.words > MOST_SEACO_WORDS);
        let alone = many || (self.kind.has_timestamps && matches!(self.engine, Engine::Official(_)));
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
    let rows = logits.chunks_exact(classes.max(1)).take(tokens);
    rows.map(ctc::best).filter(|id| !NO_TEXT.contains(id)).map(|id| id as u32).collect()
}

/// "No hot word", for models that can't run without any.
fn no_words(embedder: Option<&Embedder>) -> Result<BiasEmbeddings, FunasrError> {
    match embedder {
        Some(embedder) => embedder.embed(&[vec![1]]),
        None => Ok(BiasEmbeddings::default()),
    }
}

/// An official export: everything in one graph.
#[derive(Debug)]
struct Official {
    session: Session,
    speech: String,
    lengths: String,
    /// Input for hot words, if the graph has one.
    words: Option<String>,
    logits: String,
    token_num: String,
    /// Outputs with weights and sums for times.
    weights: Option<[String; 2]>,
}

impl Official {
    fn load(runtime: &Runtime, path: &Path, options: &SessionOptions) -> Result<Self, FunasrError> {
        let session = runtime.session(path, options)?;
        let input = |i: usize| session.inputs().get(i).map(|port| port.name.clone());
        let output = |i: usize| session.outputs().get(i).map(|port| port.name.clone());
        let needs = |name: Option<String>| {
            name.ok_or_else(|| {
                FunasrError::layout(path, "speech and speech_lengths to logits and token_num are expected")
            })
        };
        let (speech, lengths, words) = (needs(input(0))?, needs(input(1))?, input(2));
        if words.as_deref() == Some("language") {
            return Err(FunasrError::layout(path, "it is SenseVoice, but config.yaml says Paraformer"));
        }
        let (logits, token_num) = (needs(output(0))?, needs(output(1))?);
        let weights = output(2).zip(output(3)).map(|(alphas, peaks)| [alphas, peaks]);
        Ok(Self { speech, lengths, words, logits, token_num, weights, session })
    }

    fn kind(&self) -> Kind {
        let (has_timestamps, has_words) = (self.weights.is_some(), self.words.is_some());
        Kind { has_timestamps, is_contextual: has_words && !has_timestamps, is_seaco: has_words && has_timestamps }
    }

    fn run(
        &self,
        batch: &Batch,
        hotwords: Option<&Hotwords>,
        embedder: Option<&Embedder>,
    ) -> Result<Vec<Decoded>, FunasrError> {
        let count = batch.len();
        let shape = [count, batch.frames, batch.dim];
        let lengths: Vec<i32> = batch.lengths.iter().map(|&length| length as i32).collect();
        let mut inputs = vec![
            (self.speech.as_str(), Input::F32 { shape: &shape, data: &batch.data }),
            (self.lengths.as_str(), Input::I32 { shape: &shape[..1], data: &lengths }),
        ];
        let (words, words_shape);
        if let Some(port) = &self.words {
            let embeddings = match hotwords {
                Some(hotwords) => &hotwords.embeddings,
                None => &no_words(embedder)?,
            };
            words = embeddings.repeated(count);
            words_shape = [count, embeddings.words, embeddings.width];
            inputs.push((port, Input::F32 { shape: &words_shape, data: &words }));
        }
        let mut wanted = vec![self.logits.as_str(), self.token_num.as_str()];
        wanted.extend(self.weights.iter().flatten().map(String::as_str));
        let outputs = self.session.run(&inputs, &wanted)?;
        let token_num = outputs.integers(&self.token_num)?;
        let logits = outputs.f32(&self.logits)?; // [batch, tokens, classes]
        let logits_shape = outputs.shape(&self.logits)?;
        let [_, rows, classes] = logits_shape[..] else {
            return Err(FunasrError::layout(&PathBuf::from(&self.logits), "an output of three dimensions is expected"));
        };
        let mut decoded = Vec::with_capacity(count);
        for (i, &length) in batch.lengths.iter().enumerate() {
            let tokens = usize::try_from(token_num.get(i).copied().unwrap_or(0)).unwrap_or(0).min(rows);
            let ids = greedy(&logits[i * rows * classes..(i + 1) * rows * classes], classes, tokens);
            let weights = match &self.weights {
                Some([alphas, peaks]) => {
                    let upsampling = outputs.f32(alphas)?.len() / (count * batch.frames).max(1);
                    // What belongs to padding would shift the last times.
                    let row = |values: &[f32]| {
                        let width = batch.frames * upsampling;
                        values[i * width..i * width + length * upsampling].to_vec()
                    };
                    Some(FrameWeights {
                        alphas: row(outputs.f32(alphas)?),
                        peaks: row(outputs.f32(peaks)?),
                        upsampling,
                    })
                }
                None => None,
            };
            decoded.push(Decoded { ids, weights });
        }
        Ok(decoded)
    }
}

/// A torch checkpoint as graphs that are cut where tokens are made of frames.
#[derive(Debug)]
struct Cut {
    encoder: Session,
    decoder: Session,
    seaco: Option<Seaco>,
    kind: Kind,
    predictor: PredictorConfig,
    d_model: usize,
}

/// SeACo's own graphs.
#[derive(Debug)]
struct Seaco {
    decoder: Session,
    /// Chooses among many words; models with few layers have none.
    filter: Option<Session>,
    no_bias: usize,
}

impl Cut {
    fn load(
        runtime: &Runtime,
        path: &Path,
        checkpoint: &Checkpoint,
        config: ModelConfig<RecognizerConfig>,
        options: &SessionOptions,
    ) -> Result<Self, FunasrError> {
        let session = |model: Vec<u8>| runtime.session_of(path, &model, options);
        let seaco = if checkpoint.kind.is_seaco {
            Some(Seaco {
                decoder: session(checkpoint.seaco_graph(&config)?)?,
                filter: checkpoint.filter_graph(&config).ok().map(session).transpose()?,
                no_bias: config.model_conf.no_bias,
            })
        } else {
            None
        };
        Ok(Self {
            encoder: session(checkpoint.encoder_graph(&config)?)?,
            decoder: session(checkpoint.decoder_graph(&config)?)?,
            seaco,
            kind: checkpoint.kind,
            predictor: config.predictor_conf,
            d_model: checkpoint.d_model,
        })
    }

    fn run(
        &self,
        batch: &Batch,
        hotwords: Option<&Hotwords>,
        embedder: Option<&Embedder>,
    ) -> Result<Vec<Decoded>, FunasrError> {
        let (count, frames, width) = (batch.len(), batch.frames, self.d_model);
        let mut speech = batch.data.clone();
        for row in speech.chunks_exact_mut((frames * batch.dim).max(1)) {
            add_positions(row, batch.dim, width);
        }
        let mask = batch.mask();
        let (speech_shape, mask_shape) = ([count, frames, batch.dim], [count, frames]);
        let mask = Input::F32 { shape: &mask_shape, data: &mask };
        let mut wanted = vec!["encoder_out", "alphas"];
        if self.kind.has_timestamps {
            wanted.push("us_alphas");
        }
        let inputs = [("speech", Input::F32 { shape: &speech_shape, data: &speech }), ("mask", mask)];
        let encoded = self.encoder.run(&inputs, &wanted)?;
        let encoder_out = encoded.f32("encoder_out")?; // [batch, frames, width]
        let alphas = encoded.f32("alphas")?; // [batch, frames]

        let mut tokens = Vec::with_capacity(count);
        let mut decoded = Vec::with_capacity(count);
        for (i, &length) in batch.lengths.iter().enumerate() {
            let hidden = &encoder_out[i * frames * width..(i * frames + length) * width];
            let predicted =
                predict(&self.predictor, hidden, width, &alphas[i * frames..], length, self.kind.has_timestamps);
            let weights = if self.kind.has_timestamps {
                let times = self.predictor.upsample_times;
                let fine = &encoded.f32("us_alphas")?[i * frames * times..(i * frames + length) * times];
                upsampled(&self.predictor, fine, predicted.count)
            } else {
                FrameWeights { alphas: predicted.alphas, peaks: predicted.peaks, upsampling: 1 }
            };
            tokens.push(predicted.tokens);
            decoded.push(Decoded { ids: Vec::new(), weights: Some(weights) });
        }
        let lengths: Vec<usize> = tokens.iter().map(|tokens| tokens.len() / width).collect();
        let most = lengths.iter().copied().max().unwrap_or(0);
        if most == 0 {
            return Ok(decoded);
        }
        let mut embeds = vec![0.0; count * most * width];
        for (row, tokens) in embeds.chunks_exact_mut(most * width).zip(&tokens) {
            row[..tokens.len()].copy_from_slice(tokens);
        }
        let token_mask = batch::mask(&lengths, most);
        let shapes = ([count, most, width], [count, most], [count, frames, width]);
        let embeds = Input::F32 { shape: &shapes.0, data: &embeds };
        let token_mask = Input::F32 { shape: &shapes.1, data: &token_mask };
        let memory = Input::F32 { shape: &shapes.2, data: encoder_out };
        let mut inputs =
            vec![("acoustic_embeds", embeds), ("token_mask", token_mask), ("encoder_out", memory), ("mask", mask)];
        let (words, words_shape, scale);
        if self.kind.is_contextual {
            let embeddings = match hotwords {
                Some(hotwords) => &hotwords.embeddings,
                None => &no_words(embedder)?,
            };
            scale = [hotwords.map_or(1.0, |hotwords| hotwords.scale)];
            words = embeddings.repeated(count);
            words_shape = [count, embeddings.words, width];
            inputs.push(("bias_embed", Input::F32 { shape: &words_shape, data: &words }));
            inputs.push(("clas_scale", Input::F32 { shape: &[1], data: &scale }));
        }
        let wanted: &[&str] = if self.kind.is_seaco { &["logits", "hidden"] } else { &["logits"] };
        let outputs = self.decoder.run(&inputs, wanted)?;
        let logits = outputs.f32("logits")?; // [batch, tokens, classes]
        let classes = logits.len() / (count * most);
        let biased = match (&self.seaco, hotwords) {
            (Some(seaco), Some(hotwords)) => {
                let hidden = Input::F32 { shape: &shapes.0, data: outputs.f32("hidden")? };
                Some(seaco.run(embeds, hidden, token_mask, count, hotwords)?)
            }
            _ => None,
        };
        for (i, (decoded, &length)) in decoded.iter_mut().zip(&lengths).enumerate() {
            let row = |t: usize| (i * most + t) * classes..(i * most + t + 1) * classes;
            decoded.ids = (0..length)
                .map(|t| match (&biased, &self.seaco) {
                    (Some(wanted), Some(seaco)) if wanted[i * most + t] != seaco.no_bias => wanted[i * most + t],
                    _ => ctc::best(&logits[row(t)]),
                })
                .filter(|id| !NO_TEXT.contains(id))
                .map(|id| id as u32)
                .collect();
        }
        Ok(decoded)
    }
}

/// What the predictor makes of the frames of one utterance.
#[derive(Clone, Debug, Default)]
pub struct Predicted {
    /// Number of tokens.
    pub count: usize,
    /// Their embeddings: `[count, width]`.
    pub tokens: Vec<f32>,
    /// Weights of frames, the tail behind them.
    pub alphas: Vec<f32>,
    /// Their sums.
    pub peaks: Vec<f32>,
}

/// Makes tokens of `length` frames `hidden` by their weights `raw`, step by step in models with a second head.
#[must_use]
pub fn predict(
    config: &PredictorConfig,
    hidden: &[f32],
    width: usize,
    raw: &[f32],
    length: usize,
    by_steps: bool,
) -> Predicted {
    let alphas = cif::sharpen(raw, length, config.smooth_factor, config.noise_threshold, config.tail_threshold);
    let count = cif::token_count(&alphas);
    let mut fired = if by_steps {
        cif::by_steps(hidden, width, &alphas, config.threshold as f32)
    } else {
        cif::by_prefix_sums(hidden, width, &alphas)
    };
    fired.tokens.resize(count * width, 0.0);
    Predicted { count, tokens: fired.tokens, alphas, peaks: fired.peaks }
}

/// The second head's weights, scaled to as many tokens as there are.
#[must_use]
pub fn upsampled(config: &PredictorConfig, raw: &[f32], tokens: usize) -> FrameWeights {
    let mut alphas = cif::sharpen(raw, raw.len(), config.smooth_factor2, config.noise_threshold2, 0.0);
    let sum: f64 = alphas.iter().map(|&alpha| f64::from(alpha)).sum();
    if sum > 0.0 {
        let factor = tokens as f32 / sum as f32;
        alphas.iter_mut().for_each(|alpha| *alpha *= factor);
    }
    let peaks = cif::peaks(&alphas, FIRING);
    FrameWeights { alphas, peaks, upsampling: config.upsample_times }
}

impl Seaco {
    /// The best class of every token in the light of hot words: `[batch, tokens]`.
    fn run(
        &self,
        embeds: Input<'_>,
        hidden: Input<'_>,
        token_mask: Input<'_>,
        count: usize,
        hotwords: &Hotwords,
    ) -> Result<Vec<usize>, FunasrError> {
        let mut embeddings = &hotwords.embeddings;
        let chosen;
        if embeddings.words > MOST_SEACO_WORDS
            && let Some(filter) = &self.filter
        {
            let words = embeddings.repeated(count);
            let shape = [count, embeddings.words, embeddings.width];
            let words = Input::F32 { shape: &shape, data: &words };
            let inputs = [("hidden", hidden), ("token_mask", token_mask), ("bias_embed", words)];
            let outputs = filter.run(&inputs, &["scores"])?;
            chosen = embeddings.select(&most_attended(&outputs.f32("scores")?[..embeddings.words]));
            embeddings = &chosen;
        }
        let words = embeddings.repeated(count);
        let shape = [count, embeddings.words, embeddings.width];
        let words = Input::F32 { shape: &shape, data: &words };
        let inputs =
            [("acoustic_embeds", embeds), ("hidden", hidden), ("token_mask", token_mask), ("bias_embed", words)];
        let outputs = self.decoder.run(&inputs, &["hotword_logits"])?;
        let logits = outputs.f32("hotword_logits")?;
        let classes = outputs.shape("hotword_logits")?.last().copied().unwrap_or(0);
        Ok(logits.chunks_exact(classes.max(1)).map(ctc::best).collect())
    }
}

/// The words that get the most attention, and "no hot word", which is the last.
fn most_attended(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order.truncate(MOST_SEACO_WORDS.min(scores.len().saturating_sub(1)));
    order.push(scores.len() - 1);
    order
}
