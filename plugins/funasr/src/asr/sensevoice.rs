//! SenseVoice: from features to text with tags, and times of words.

use syrinx_plugin_common::onnx::{Input, Runtime, Session};

use super::batch::Batch;
use super::{Utterance, ctc};
use crate::accelerate::{self, Head, NetworkOptions, Use};
use crate::config::{ModelFiles, RecognizerConfig};
use crate::error::FunasrError;
use crate::frontend::Features;
use crate::network::{add_positions, sensevoice};
use crate::text::sentence::Span;
use crate::text::sentencepiece::{SPACE, SentencePiece};

/// What the export calls the scores of classes.
const LOGITS: &str = "ctc_logits";
/// The class between labels.
const BLANK: usize = 0;
/// Rows in front of features: language, event, emotion, writing.
const QUERIES: usize = 4;
/// Queries for event and emotion, the same in every request. Source: FunASR `models/sense_voice/model.py: inference`.
pub const FIXED_QUERIES: [usize; 2] = [1, 2];
/// Languages and their queries. Source: ibid., `lid_dict`.
pub const LANGUAGES: [(&str, i32); 7] =
    [("auto", 0), ("zh", 3), ("en", 4), ("yue", 7), ("ja", 11), ("ko", 12), ("nospeech", 13)];
/// Queries for text as it is written and as it is spoken. Source: ibid., `textnorm_dict`.
const WRITTEN: i32 = 14;
const SPOKEN: i32 = 15;
/// The tag of an emotion that can't be told.
const EMOTION_UNKNOWN: &str = "<|EMO_UNKNOWN|>";

/// What a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenseVoiceOptions {
    /// Query of the language.
    pub language: i32,
    /// Whether numbers and punctuation are written as in text.
    pub use_itn: bool,
    /// Whether an emotion has to be named.
    pub ban_emo_unk: bool,
    /// Whether times are wanted.
    pub timed: bool,
}

/// The query of a language; unknown ones are found out.
#[must_use]
pub fn language_query(language: &str) -> i32 {
    LANGUAGES.iter().find(|(code, _)| *code == language).map_or(0, |(_, query)| *query)
}

/// The query of the way that text is written.
#[must_use]
pub fn textnorm_query(use_itn: bool) -> i32 {
    if use_itn { WRITTEN } else { SPOKEN }
}

/// A loaded SenseVoice.
#[derive(Debug)]
pub struct SenseVoice {
    engine: Engine,
    /// The last product, where it could be taken out of the graph.
    head: Option<Head>,
    vocabulary: SentencePiece,
}

#[derive(Debug)]
enum Engine {
    /// The export takes queries by number and tells its lengths.
    Official { session: Session, inputs: [String; 4], logits: String },
    /// A graph of the checkpoint takes rows.
    Own { session: Session, queries: Vec<f32>, d_model: usize },
}

impl SenseVoice {
    /// Loads the ONNX release, or makes a graph of the torch release.
    ///
    /// # Errors
    /// Files are missing or something else.
    pub fn load(
        runtime: &Runtime,
        files: &ModelFiles,
        quantized: bool,
        options: &NetworkOptions,
    ) -> Result<Self, FunasrError> {
        let names = ["chn_jpn_yue_eng_ko_spectok.bpe.model", "bpe.model"];
        let vocabulary = SentencePiece::read(&files.need("vocabulary", "tokenizer_conf/bpemodel", &names)?)?;
        let (engine, head) = if let Some(path) = files.graph("model", quantized) {
            let network = accelerate::network(runtime, &path, None, options, Use::Recognition(LOGITS))?;
            let (session, head) = (network.session, network.head);
            let ports: Vec<String> = session.inputs().iter().map(|port| port.name.clone()).collect();
            let inputs: [String; 4] = ports.try_into().map_err(|ports: Vec<String>| {
                let reason =
                    format!("speech, its lengths, language and textnorm are expected, not {}", ports.join(", "));
                FunasrError::layout(&path, reason)
            })?;
            let logits = session.outputs().first().map(|port| port.name.clone());
            let logits = logits.ok_or_else(|| FunasrError::layout(&path, "it has no outputs"))?;
            (Engine::Official { session, inputs, logits }, head)
        } else {
            let path = files.checkpoint().ok_or_else(|| FunasrError::Missing {
                directory: files.directory().to_owned(),
                what: "recogniser",
                needed: "model.onnx, model_quant.onnx or model.pt".to_owned(),
            })?;
            let graph = sensevoice::graph(&path, &files.config::<RecognizerConfig>()?)?;
            let network = accelerate::network(runtime, &path, Some(&graph.model), options, Use::Recognition(LOGITS))?;
            let (session, head) = (network.session, network.head);
            (Engine::Own { session, queries: graph.queries, d_model: graph.d_model }, head)
        };
        Ok(Self { engine, head, vocabulary })
    }

    /// The pieces that text is made of.
    #[must_use]
    pub fn vocabulary(&self) -> &SentencePiece {
        &self.vocabulary
    }

    /// Recognises utterances together.
    ///
    /// # Errors
    /// The run fails.
    pub fn decode(&self, utterances: &[&Features], options: SenseVoiceOptions) -> Result<Vec<Utterance>, FunasrError> {
        let audible: Vec<usize> = (0..utterances.len()).filter(|&i| utterances[i].frames > 0).collect();
        let members: Vec<&Features> = audible.iter().map(|&i| utterances[i]).collect();
        let mut found = vec![Utterance::default(); utterances.len()];
        if members.is_empty() {
            return Ok(found);
        }
        let batch = Batch::new(&members);
        let read = |logits: &[f32]| -> Vec<Utterance> {
            let rows = batch.frames + QUERIES;
            let classes = logits.len() / (batch.len() * rows);
            let utterances = logits.chunks_exact(rows * classes).zip(&batch.lengths);
            utterances
                .map(|(rows, &length)| {
                    let rows = &rows[..(length + QUERIES) * classes];
                    match &self.head {
                        None => self.read(rows, classes, options),
                        // Times need all scores.
                        Some(head) if options.timed => self.read(&head.scores(rows), head.classes(), options),
                        Some(head) => self.text(&head.best(rows, self.banned(options))),
                    }
                })
                .collect()
        };
        let texts = match &self.engine {
            Engine::Official { session, inputs, logits } => {
                let count = batch.len();
                let shape = [count, batch.frames, batch.dim];
                let lengths: Vec<i32> = batch.lengths.iter().map(|&length| length as i32).collect();
                let language = vec![options.language; count];
                let writing = vec![textnorm_query(options.use_itn); count];
                let integers = |data| Input::I32 { shape: &shape[..1], data };
                let inputs = [
                    (inputs[0].as_str(), Input::F32 { shape: &shape, data: &batch.data }),
                    (inputs[1].as_str(), integers(&lengths)),
                    (inputs[2].as_str(), integers(&language)),
                    (inputs[3].as_str(), integers(&writing)),
                ];
                // The scores stay where the runtime has them: [batch, frames + 4, classes] may be a hundred megabytes.
                let outputs = session.run(&inputs, &[logits])?;
                read(outputs.f32(logits)?)
            }
            Engine::Own { session, queries, d_model } => {
                let (speech, mask) = with_queries(&batch, queries, *d_model, options);
                let shape = [batch.len(), batch.frames + QUERIES, batch.dim];
                let inputs = [
                    ("speech", Input::F32 { shape: &shape, data: &speech }),
                    ("mask", Input::F32 { shape: &shape[..2], data: &mask }),
                ];
                let scores = if self.head.is_some() { Head::INPUT } else { LOGITS };
                let outputs = session.run(&inputs, &[scores])?;
                read(outputs.f32(scores)?)
            }
        };
        for (i, text) in audible.into_iter().zip(texts) {
            found[i] = text;
        }
        Ok(found)
    }

    /// The class that must not win.
    fn banned(&self, options: SenseVoiceOptions) -> Option<usize> {
        self.vocabulary.known(EMOTION_UNKNOWN).filter(|_| options.ban_emo_unk).map(|id| id as usize)
    }

    /// The text of the best class of every frame.
    fn text(&self, best: &[usize]) -> Utterance {
        Utterance { text: self.vocabulary.decode(&ctc::collapse(best, BLANK)), ..Utterance::default() }
    }

    /// The text in scores of one utterance: `[4 + frames, classes]`.
    #[must_use]
    pub fn read(&self, scores: &[f32], classes: usize, options: SenseVoiceOptions) -> Utterance {
        let banned = self.banned(options);
        let best: Vec<usize> = scores.chunks_exact(classes.max(1)).map(|row| ctc::best_but(row, banned)).collect();
        let Utterance { text, .. } = self.text(&best);
        if !options.timed {
            return Utterance { text, ..Utterance::default() };
        }
        let pieces = self.vocabulary.pieces(&text).into_iter().skip(QUERIES).collect::<Vec<_>>();
        let mut labels = Vec::new();
        for piece in &pieces {
            let ids = self.vocabulary.encode(piece);
            if ids.is_empty() {
                labels.push(self.vocabulary.id(SPACE));
            }
            labels.extend(ids);
        }
        if labels.is_empty() {
            return Utterance { text, ..Utterance::default() };
        }
        let spoken = &scores[(QUERIES * classes).min(scores.len())..];
        let mut emissions = ctc::Emissions::new(spoken, classes, &labels, BLANK, false);
        // Whether the blank wins is asked of the scores as they are.
        let spoken_best: Vec<usize> = spoken.chunks_exact(classes.max(1)).map(ctc::best).collect();
        emissions.trust_blanks(&spoken_best);
        // Pieces without an id of their own have that of the blank, and no time.
        let way: Vec<Option<usize>> =
            emissions.align().into_iter().map(|label| label.filter(|&label| labels[label] as usize != BLANK)).collect();
        let spans = ctc::runs(&way);
        let (units, spans) = words(&pieces, &spans);
        Utterance { text, units, spans: Some(spans) }
    }
}

/// Puts queries in front of each utterance, and positions on all: speech and mask.
fn with_queries(batch: &Batch, queries: &[f32], d_model: usize, options: SenseVoiceOptions) -> (Vec<f32>, Vec<f32>) {
    let dim = batch.dim;
    let [event, emotion] = FIXED_QUERIES;
    let chosen = [options.language as usize, event, emotion, textnorm_query(options.use_itn) as usize];
    let mut speech = Vec::with_capacity(batch.data.len() + batch.len() * QUERIES * dim);
    for row in batch.data.chunks_exact(batch.frames * dim) {
        let start = speech.len();
        for query in chosen {
            speech.extend_from_slice(&queries[query * dim..(query + 1) * dim]);
        }
        speech.extend_from_slice(row);
        add_positions(&mut speech[start..], dim, d_model);
    }
    let lengths: Vec<usize> = batch.lengths.iter().map(|length| length + QUERIES).collect();
    (speech, super::batch::mask(&lengths, batch.frames + QUERIES))
}

/// Pieces put together to words, and when those are said.
///
/// Source: FunASR `models/sense_voice/model.py: post`.
fn words(pieces: &[String], spans: &[Span]) -> (Vec<String>, Vec<Span>) {
    let mut units: Vec<String> = Vec::new();
    let mut times: Vec<Span> = Vec::new();
    let is_latin = |text: &str| !text.is_empty() && text.chars().all(|character| character.is_ascii_alphabetic());
    let mut before: Option<String> = None;
    for (i, (piece, &span)) in pieces.iter().zip(spans).enumerate() {
        if piece == SPACE {
            continue;
        }
        let mut word = piece.clone();
        let joined = before.as_deref().filter(|before| i > 0 && is_latin(before) && is_latin(&word));
        if i > 0
            && let Some(rest) = piece.strip_prefix(SPACE)
        {
            word = rest.to_owned();
            units.push(word.clone());
            times.push(span);
        } else if let Some(joined) = joined {
            word = format!("{joined}{word}");
            if let (Some(unit), Some(time)) = (units.last_mut(), times.last_mut()) {
                unit.clone_from(&word);
                time[1] = span[1];
            }
        } else {
            units.push(word.clone());
            times.push(span);
        }
        before = Some(word);
    }
    (units, times)
}
