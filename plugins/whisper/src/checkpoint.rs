//! Finding a model directory's weights, whatever their layout, and handing them out under one set of names.

use std::fs;
use std::path::{Path, PathBuf};

use half::f16;
use syrinx_plugin_common::checkpoint::{CheckpointError, DType, Tensors, ggml};
use thiserror::Error;

use crate::config::{self, ConfigError, Ct2Config, GenerationConfig, HfConfig, known_alignment_heads};
use crate::model::{ModelError, PlaceError};
use crate::weights::{Block, Decoder, DecoderBlock, Dims, Encoder, Linear, Matrix, Norm, Values, Weights};

/// Why a model directory can't be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// None of the layouts fits.
    #[error(
        "{dir} holds no Whisper model: looked for model.bin (CTranslate2), model.safetensors, pytorch_model.bin or the index of their \
         shards (Hugging Face), a .pt file (openai), a ggml .bin file (whisper.cpp) and a .gguf file"
    )]
    NoModel {
        /// The directory.
        dir: PathBuf,
    },
    /// A file that the layout needs is missing.
    #[error("{path} is missing")]
    MissingFile {
        /// The file.
        path: PathBuf,
    },
    /// A config file is unreadable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights are unreadable or incomplete.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// There is nothing to compute on.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The device can't take the weights.
    #[error(transparent)]
    Device(#[from] ModelError),
    /// The files don't describe a Whisper network.
    #[error("{dir}: {reason}")]
    NotWhisper {
        /// The directory.
        dir: PathBuf,
        /// What doesn't fit.
        reason: String,
    },
}

/// The files of a model directory that hold weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// CTranslate2: `model.bin` and `config.json`.
    Ctranslate2(PathBuf),
    /// Hugging Face, one safetensors file.
    Safetensors(PathBuf),
    /// Hugging Face, shards listed by an index.
    SafetensorsIndex(PathBuf),
    /// Hugging Face, torch zip pickle.
    Pytorch(PathBuf),
    /// Hugging Face, shards of torch zip pickles listed by an index.
    PytorchIndex(PathBuf),
    /// openai: `{dims, model_state_dict}` as torch zip pickle.
    Openai(PathBuf),
    /// whisper.cpp: one file with everything in it, the vocabulary too.
    Ggml(PathBuf),
    /// GGUF, with the names of Hugging Face or of openai. There is no official one: candle's, for instance, have Hugging Face's.
    Gguf(PathBuf),
}

impl Layout {
    /// Which layout `dir` has. Where a directory holds several, the first in the order of the variants that can be told apart by name.
    ///
    /// # Errors
    /// None of them.
    pub fn detect(dir: &Path) -> Result<Self, LoadError> {
        let file = |name: &str| Some(dir.join(name)).filter(|path| path.is_file());
        if let Some(path) = file("model.safetensors") {
            return Ok(Self::Safetensors(path));
        }
        if let Some(path) = file("model.safetensors.index.json") {
            return Ok(Self::SafetensorsIndex(path));
        }
        if let Some(path) = file("model.bin") {
            return Ok(Self::Ctranslate2(path));
        }
        if let Some(path) = file("pytorch_model.bin") {
            return Ok(Self::Pytorch(path));
        }
        if let Some(path) = file("pytorch_model.bin.index.json") {
            return Ok(Self::PytorchIndex(path));
        }
        if let Some(path) = with_extension(dir, "pt").into_iter().next() {
            return Ok(Self::Openai(path));
        }
        if let Some(path) = ggml_file(dir) {
            return Ok(Self::Ggml(path));
        }
        match with_extension(dir, "gguf").into_iter().next() {
            Some(path) => Ok(Self::Gguf(path)),
            None => Err(LoadError::NoModel { dir: dir.to_path_buf() }),
        }
    }
}

/// whisper.cpp's model file in `dir`: the first `.bin` file that begins like one.
pub(crate) fn ggml_file(dir: &Path) -> Option<PathBuf> {
    with_extension(dir, "bin").into_iter().find(|path| ggml::is_ggml(path))
}

/// Files with an extension, sorted.
fn with_extension(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    found.sort();
    found
}

/// Reads the weights of `dir`.
///
/// # Errors
/// The directory holds no model, or one that is damaged or not Whisper.
pub fn read(dir: &Path) -> Result<Weights, LoadError> {
    let layout = Layout::detect(dir)?;
    let not_whisper = |reason: String| LoadError::NotWhisper { dir: dir.to_path_buf(), reason };
    let config_path = dir.join("config.json");
    let (names, tensors, heads, aligned): (&dyn Names, _, _, _) = match &layout {
        Layout::Ctranslate2(path) => {
            let tensors = Tensors::ctranslate2(path)?;
            let heads = |name: &str| {
                tensors.scalar(name).map(|n| n as usize).ok_or_else(|| not_whisper(format!("model.bin has no {name}")))
            };
            let heads = Some((heads("encoder/num_heads")?, heads("decoder/num_heads")?));
            let config: Ct2Config = config::read(&config_path)?.unwrap_or_default();
            (&Ct2Names, tensors, heads, config.alignment_heads)
        }
        Layout::Openai(path) | Layout::Ggml(path) => {
            let (names, tensors): (&dyn Names, _) = match &layout {
                Layout::Ggml(_) => (&OpenaiNames { prefix: "" }, Tensors::ggml(path)?),
                _ => (&OpenaiNames { prefix: "model_state_dict." }, Tensors::torch(path)?),
            };
            let heads = |name: &str| {
                tensors
                    .scalar(name)
                    .map(|n| n as usize)
                    .ok_or_else(|| not_whisper(format!("{} has no {name}", path.display())))
            };
            let heads = Some((heads("dims.n_audio_head")?, heads("dims.n_text_head")?));
            (names, tensors, heads, None)
        }
        Layout::Safetensors(path)
        | Layout::SafetensorsIndex(path)
        | Layout::Pytorch(path)
        | Layout::PytorchIndex(path)
        | Layout::Gguf(path) => {
            let tensors = match &layout {
                Layout::Safetensors(_) => Tensors::safetensors(&[path])?,
                Layout::SafetensorsIndex(_) => Tensors::safetensors_index(path)?,
                Layout::Gguf(_) => Tensors::gguf(path)?,
                Layout::PytorchIndex(_) => Tensors::torch_index(path)?,
                _ => Tensors::torch(path)?,
            };
            let config: Option<HfConfig> = config::read(&config_path)?;
            if config.is_none() && !matches!(layout, Layout::Gguf(_)) {
                return Err(LoadError::MissingFile { path: config_path });
            }
            let generation: GenerationConfig = config::read(&dir.join("generation_config.json"))?.unwrap_or_default();
            let heads = config.map(|config| (config.encoder_attention_heads, config.decoder_attention_heads));
            (transformers_names(&tensors), tensors, heads, generation.alignment_heads)
        }
    };
    let reader = Reader { names, tensors: &tensors };
    let encoder = reader.encoder()?;
    let decoder = reader.decoder()?;
    let heads = heads.unwrap_or_else(|| {
        let heads = encoder.conv1.rows() / HEAD_SIZE;
        (heads, heads)
    });
    let dims = dims(&encoder, &decoder, heads).map_err(not_whisper)?;
    let alignment_heads = alignment_heads(aligned, &dims);
    Ok(Weights { dims, alignment_heads, encoder, decoder })
}

/// Sizes of the network, from the shapes of its weights.
fn dims(encoder: &Encoder, decoder: &Decoder, heads: (usize, usize)) -> Result<Dims, String> {
    let d = encoder.conv1.rows();
    let dims = Dims {
        n_mels: encoder.conv1.cols() / CONV_WIDTH,
        n_audio_ctx: encoder.positions.len() / d.max(1),
        n_text_ctx: decoder.positions.len() / d.max(1),
        d_model: d,
        encoder_heads: heads.0,
        decoder_heads: heads.1,
        encoder_layers: encoder.blocks.len(),
        decoder_layers: decoder.blocks.len(),
        n_vocab: decoder.embedding.rows(),
    };
    for (side, heads) in [("encoder", heads.0), ("decoder", heads.1)] {
        if heads == 0 || !d.is_multiple_of(heads) {
            return Err(format!("a width of {d} can't be divided among {heads} {side} heads"));
        }
    }
    let empty = dims.n_mels == 0 || dims.n_audio_ctx == 0 || dims.n_text_ctx == 0 || dims.n_vocab == 0;
    if empty || dims.encoder_layers == 0 || dims.decoder_layers == 0 {
        return Err(format!("its weights have no Whisper shape: {dims:?}"));
    }
    encoder.check(&dims)?;
    decoder.check(&dims)?;
    Ok(dims)
}

/// Those that the files name, those of the official model of this size, or all heads of the upper half of the layers.
fn alignment_heads(named: Option<Vec<(usize, usize)>>, dims: &Dims) -> Vec<(usize, usize)> {
    let exists = |&(layer, head): &(usize, usize)| layer < dims.decoder_layers && head < dims.decoder_heads;
    let named: Vec<_> = named.unwrap_or_default().into_iter().filter(exists).collect();
    if !named.is_empty() {
        return named;
    }
    if let Some(known) = known_alignment_heads(dims.decoder_layers, dims.d_model, dims.n_vocab) {
        return known.to_vec();
    }
    let upper = dims.decoder_layers / 2..dims.decoder_layers;
    upper.flat_map(|layer| (0..dims.decoder_heads).map(move |head| (layer, head))).collect()
}

/// Whose names are in files of Hugging Face's kind: those of the whole model, those of a part of it that was saved alone, or openai's.
fn transformers_names(tensors: &Tensors) -> &'static dyn Names {
    const WHOLE: HfNames = HfNames { prefix: "model." };
    const PART: HfNames = HfNames { prefix: "" };
    const OPENAI: OpenaiNames = OpenaiNames { prefix: "" };
    let has = |names: &dyn Names| tensors.find(&names.embedding()).is_some();
    match (has(&PART), has(&OPENAI)) {
        (true, _) => &PART,
        (_, true) => &OPENAI,
        // Also where there are none: messages then name what is usual.
        _ => &WHOLE,
    }
}

/// Dimensions of a head in all official models, for files that don't tell their number.
const HEAD_SIZE: usize = 64;

/// Taps of both convolutions.
const CONV_WIDTH: usize = 3;

/// How a layout calls things. Paths are relative to a block where a block is given.
trait Names {
    /// `conv1`, `conv2`: the weight; its bias.
    fn conv(&self, index: usize) -> [String; 2];
    fn positions(&self, side: Side) -> String;
    fn embedding(&self) -> String;
    fn final_norm(&self, side: Side) -> [String; 2];
    fn norm(&self, side: Side, layer: usize, place: Place) -> [String; 2];
    /// The projections that make up one stacked matrix, top to bottom: weight and bias of each.
    fn projections(&self, side: Side, layer: usize, which: Projection) -> Vec<[String; 2]>;
}

#[derive(Clone, Copy)]
enum Side {
    Encoder,
    Decoder,
}

#[derive(Clone, Copy)]
enum Place {
    Attention,
    Cross,
    Mlp,
}

#[derive(Clone, Copy)]
enum Projection {
    SelfQkv,
    SelfOut,
    CrossQ,
    CrossKv,
    CrossOut,
    Fc1,
    Fc2,
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Self::Encoder => "encoder",
            Self::Decoder => "decoder",
        }
    }
}

fn pair(stem: &str) -> [String; 2] {
    [format!("{stem}.weight"), format!("{stem}.bias")]
}

struct Ct2Names;

impl Names for Ct2Names {
    fn conv(&self, index: usize) -> [String; 2] {
        [format!("encoder/conv{index}/weight"), format!("encoder/conv{index}/bias")]
    }

    fn positions(&self, side: Side) -> String {
        format!("{}/position_encodings/encodings", side.word())
    }

    fn embedding(&self) -> String {
        "decoder/embeddings/weight".to_owned()
    }

    fn final_norm(&self, side: Side) -> [String; 2] {
        let side = side.word();
        [format!("{side}/layer_norm/gamma"), format!("{side}/layer_norm/beta")]
    }

    fn norm(&self, side: Side, layer: usize, place: Place) -> [String; 2] {
        let room = match place {
            Place::Attention => "self_attention",
            Place::Cross => "attention",
            Place::Mlp => "ffn",
        };
        let stem = format!("{}/layer_{layer}/{room}/layer_norm", side.word());
        [format!("{stem}/gamma"), format!("{stem}/beta")]
    }

    fn projections(&self, side: Side, layer: usize, which: Projection) -> Vec<[String; 2]> {
        let path = match which {
            Projection::SelfQkv => "self_attention/linear_0",
            Projection::SelfOut => "self_attention/linear_1",
            Projection::CrossQ => "attention/linear_0",
            Projection::CrossKv => "attention/linear_1",
            Projection::CrossOut => "attention/linear_2",
            Projection::Fc1 => "ffn/linear_0",
            Projection::Fc2 => "ffn/linear_1",
        };
        let stem = format!("{}/layer_{layer}/{path}", side.word());
        vec![[format!("{stem}/weight"), format!("{stem}/bias")]]
    }
}

struct OpenaiNames {
    /// Before every name.
    prefix: &'static str,
}

impl Names for OpenaiNames {
    fn conv(&self, index: usize) -> [String; 2] {
        pair(&format!("{}encoder.conv{index}", self.prefix))
    }

    fn positions(&self, side: Side) -> String {
        format!("{}{}.positional_embedding", self.prefix, side.word())
    }

    fn embedding(&self) -> String {
        format!("{}decoder.token_embedding.weight", self.prefix)
    }

    fn final_norm(&self, side: Side) -> [String; 2] {
        let name = match side {
            Side::Encoder => "encoder.ln_post",
            Side::Decoder => "decoder.ln",
        };
        pair(&format!("{}{name}", self.prefix))
    }

    fn norm(&self, side: Side, layer: usize, place: Place) -> [String; 2] {
        let name = match place {
            Place::Attention => "attn_ln",
            Place::Cross => "cross_attn_ln",
            Place::Mlp => "mlp_ln",
        };
        pair(&format!("{}{}.blocks.{layer}.{name}", self.prefix, side.word()))
    }

    fn projections(&self, side: Side, layer: usize, which: Projection) -> Vec<[String; 2]> {
        let paths: &[&str] = match which {
            Projection::SelfQkv => &["attn.query", "attn.key", "attn.value"],
            Projection::SelfOut => &["attn.out"],
            Projection::CrossQ => &["cross_attn.query"],
            Projection::CrossKv => &["cross_attn.key", "cross_attn.value"],
            Projection::CrossOut => &["cross_attn.out"],
            Projection::Fc1 => &["mlp.0"],
            Projection::Fc2 => &["mlp.2"],
        };
        let block = format!("{}{}.blocks.{layer}", self.prefix, side.word());
        paths.iter().map(|path| pair(&format!("{block}.{path}"))).collect()
    }
}

struct HfNames {
    /// Before every name.
    prefix: &'static str,
}

impl Names for HfNames {
    fn conv(&self, index: usize) -> [String; 2] {
        pair(&format!("{}encoder.conv{index}", self.prefix))
    }

    fn positions(&self, side: Side) -> String {
        format!("{}{}.embed_positions.weight", self.prefix, side.word())
    }

    fn embedding(&self) -> String {
        format!("{}decoder.embed_tokens.weight", self.prefix)
    }

    fn final_norm(&self, side: Side) -> [String; 2] {
        pair(&format!("{}{}.layer_norm", self.prefix, side.word()))
    }

    fn norm(&self, side: Side, layer: usize, place: Place) -> [String; 2] {
        let name = match place {
            Place::Attention => "self_attn_layer_norm",
            Place::Cross => "encoder_attn_layer_norm",
            Place::Mlp => "final_layer_norm",
        };
        pair(&format!("{}{}.layers.{layer}.{name}", self.prefix, side.word()))
    }

    fn projections(&self, side: Side, layer: usize, which: Projection) -> Vec<[String; 2]> {
        let paths: &[&str] = match which {
            Projection::SelfQkv => &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
            Projection::SelfOut => &["self_attn.out_proj"],
            Projection::CrossQ => &["encoder_attn.q_proj"],
            Projection::CrossKv => &["encoder_attn.k_proj", "encoder_attn.v_proj"],
            Projection::CrossOut => &["encoder_attn.out_proj"],
            Projection::Fc1 => &["fc1"],
            Projection::Fc2 => &["fc2"],
        };
        paths.iter().map(|path| pair(&format!("{}{}.layers.{layer}.{path}", self.prefix, side.word()))).collect()
    }
}

struct Reader<'a> {
    names: &'a dyn Names,
    tensors: &'a Tensors,
}

impl Reader<'_> {
    fn encoder(&self) -> Result<Encoder, CheckpointError> {
        let side = Side::Encoder;
        let mut blocks = Vec::new();
        while self.has_layer(side, blocks.len()) {
            blocks.push(self.block(side, blocks.len())?);
        }
        let (conv1, conv1_bias) = self.conv(1)?;
        let (conv2, conv2_bias) = self.conv(2)?;
        let positions = self.tensors.get(&self.names.positions(side))?.to_f32()?;
        let norm = self.norm(&self.names.final_norm(side))?;
        Ok(Encoder { conv1, conv1_bias, conv2, conv2_bias, positions, blocks, norm })
    }

    fn decoder(&self) -> Result<Decoder, CheckpointError> {
        let side = Side::Decoder;
        let mut blocks = Vec::new();
        while self.has_layer(side, blocks.len()) {
            let layer = blocks.len();
            let linear = |which| self.linear(side, layer, which);
            blocks.push(DecoderBlock {
                own: self.block(side, layer)?,
                cross_norm: self.norm(&self.names.norm(side, layer, Place::Cross))?,
                cross_q: linear(Projection::CrossQ)?,
                cross_kv: linear(Projection::CrossKv)?,
                cross_out: linear(Projection::CrossOut)?,
            });
        }
        let embedding = self.matrix(&self.names.embedding())?;
        let positions = self.tensors.get(&self.names.positions(side))?.to_f32()?;
        let norm = self.norm(&self.names.final_norm(side))?;
        Ok(Decoder { embedding, positions, blocks, norm })
    }

    fn has_layer(&self, side: Side, layer: usize) -> bool {
        self.tensors.find(&self.names.norm(side, layer, Place::Mlp)[0]).is_some()
    }

    fn block(&self, side: Side, layer: usize) -> Result<Block, CheckpointError> {
        Ok(Block {
            attention_norm: self.norm(&self.names.norm(side, layer, Place::Attention))?,
            qkv: self.linear(side, layer, Projection::SelfQkv)?,
            out: self.linear(side, layer, Projection::SelfOut)?,
            mlp_norm: self.norm(&self.names.norm(side, layer, Place::Mlp))?,
            fc1: self.linear(side, layer, Projection::Fc1)?,
            fc2: self.linear(side, layer, Projection::Fc2)?,
        })
    }

    fn norm(&self, [weight, bias]: &[String; 2]) -> Result<Norm, CheckpointError> {
        Ok(Norm { weight: self.tensors.get(weight)?.to_f32()?, bias: self.tensors.get(bias)?.to_f32()? })
    }

    /// A stacked projection; parts without a bias (keys) get zeros.
    fn linear(&self, side: Side, layer: usize, which: Projection) -> Result<Linear, CheckpointError> {
        let mut parts = Vec::new();
        let mut bias = Vec::new();
        for [weight_name, bias_name] in self.names.projections(side, layer, which) {
            let weight = self.matrix(&weight_name)?;
            match self.tensors.find(&bias_name) {
                Some(values) => bias.extend(values.to_f32()?),
                None => bias.resize(bias.len() + weight.rows(), 0.0),
            }
            parts.push((weight_name, weight));
        }
        let mut parts = parts.into_iter();
        let Some((_, mut weight)) = parts.next() else {
            return Err(CheckpointError::Missing { name: "a projection".to_owned() });
        };
        for (name, part) in parts {
            let shape = vec![part.rows(), part.cols()];
            weight = weight.stack(part).ok_or(CheckpointError::Shape {
                name,
                got: shape,
                wanted: "the other projections' width and type".to_owned(),
            })?;
        }
        Ok(Linear { weight, bias })
    }

    fn matrix(&self, name: &str) -> Result<Matrix, CheckpointError> {
        let shape = self.tensors.get(name)?.shape();
        let &[rows, cols] = shape else {
            return Err(CheckpointError::Shape {
                name: name.to_owned(),
                got: shape.to_vec(),
                wanted: "[out, in]".to_owned(),
            });
        };
        Ok(Matrix::new(rows, cols, self.values(name)?))
    }

    /// A convolution's weight `[out, in, 3]` as a matrix `[out, 3 · in]` over three neighbouring frames, and its bias.
    fn conv(&self, index: usize) -> Result<(Matrix, Vec<f32>), CheckpointError> {
        let [name, bias] = self.names.conv(index);
        let shape = self.tensors.get(&name)?.shape();
        let &[out, channels, CONV_WIDTH] = shape else {
            return Err(CheckpointError::Shape { name, got: shape.to_vec(), wanted: "[out, in, 3]".to_owned() });
        };
        let values = match self.values(&name)? {
            Values::F32(values) => Values::F32(frames_first(&values, channels)),
            Values::F16(values) => Values::F16(frames_first(&values, channels)),
            Values::Int8 { q, scale } => Values::Int8 { q: frames_first(&q, channels), scale },
        };
        Ok((Matrix::new(out, CONV_WIDTH * channels, values), self.tensors.get(&bias)?.to_f32()?))
    }

    /// Weights in the smallest form that loses nothing that counts.
    fn values(&self, name: &str) -> Result<Values, CheckpointError> {
        let view = self.tensors.get(name)?;
        Ok(match view.dtype() {
            DType::F16 => Values::F16(view.to_f16()?),
            // Scale times number has more digits than float16, by much less than what the quantisation lost.
            dtype if dtype.is_quantized() => Values::F16(view.to_f32()?.into_iter().map(f16::from_f32).collect()),
            DType::I8 => {
                Values::Int8 { q: view.to_i8()?, scale: self.tensors.get(&format!("{name}_scale"))?.to_f32()? }
            }
            _ => {
                let values = view.to_f32()?;
                // Many float32 checkpoints are float16 ones, widened.
                match narrowed(&values) {
                    Some(values) => Values::F16(values),
                    None => Values::F32(values),
                }
            }
        })
    }
}

fn narrowed(values: &[f32]) -> Option<Vec<f16>> {
    values
        .iter()
        .map(|&value| {
            let half = f16::from_f32(value);
            (half.to_f32().to_bits() == value.to_bits()).then_some(half)
        })
        .collect()
}

/// `[out, in, 3]` to `[out, 3, in]`.
fn frames_first<T: Copy>(values: &[T], channels: usize) -> Vec<T> {
    let filter = channels * CONV_WIDTH;
    let tap = move |row: &'_ [T], i: usize| row[(i % channels) * CONV_WIDTH + i / channels];
    values.chunks_exact(filter.max(1)).flat_map(|row| (0..filter).map(move |i| tap(row, i))).collect()
}
