//! A checkpoint of the official sizes, names and layout, with random weights.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Map, json};

/// What a tensor is filled with.
#[derive(Clone, Copy)]
enum Fill {
    /// Evenly between −x and x.
    Even(f32),
    /// The same everywhere.
    Constant(f32),
    /// A Hann window.
    Hann,
}

type Tensors = Vec<(String, Vec<usize>, Fill)>;

/// Weights of a layer whose outputs are about as large as its inputs.
fn weight(name: impl Into<String>, shape: &[usize]) -> (String, Vec<usize>, Fill) {
    let inputs: usize = shape[1..].iter().product();
    (name.into(), shape.to_vec(), Fill::Even((3.0 / inputs.max(1) as f32).sqrt()))
}

fn constant(name: impl Into<String>, shape: &[usize], value: f32) -> (String, Vec<usize>, Fill) {
    (name.into(), shape.to_vec(), Fill::Constant(value))
}

/// Writes the checkpoint into `dir`, unless it is there.
pub(crate) fn write(dir: &Path) -> std::io::Result<()> {
    let asset = dir.join("asset");
    fs::create_dir_all(asset.join("tokenizer"))?;
    fs::create_dir_all(asset.join("gpt"))?;
    let config = json!({
        "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 20,
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-6,
    });
    fs::write(asset.join("gpt/config.json"), config.to_string())?;
    safetensors(&asset.join("gpt/model.safetensors"), gpt())?;
    safetensors(&asset.join("Embed.safetensors"), embed())?;
    let mut decoder = trunk("decoder", 384, 384, 512);
    decoder.extend(ends(384));
    safetensors(&asset.join("Decoder.safetensors"), decoder)?;
    safetensors(&asset.join("DVAE.safetensors"), dvae())?;
    safetensors(&asset.join("Vocos.safetensors"), vocos())
}

fn gpt() -> Tensors {
    const HIDDEN: usize = 768;
    const INNER: usize = 3072;
    let mut tensors = vec![constant("norm.weight", &[HIDDEN], 1.0)];
    for layer in 0..20 {
        let name = |rest: &str| format!("layers.{layer}.{rest}.weight");
        tensors.push(constant(name("input_layernorm"), &[HIDDEN], 1.0));
        tensors.push(constant(name("post_attention_layernorm"), &[HIDDEN], 1.0));
        for part in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            tensors.push(weight(name(&format!("self_attn.{part}")), &[HIDDEN, HIDDEN]));
        }
        tensors.push(weight(name("mlp.gate_proj"), &[INNER, HIDDEN]));
        tensors.push(weight(name("mlp.up_proj"), &[INNER, HIDDEN]));
        tensors.push(weight(name("mlp.down_proj"), &[HIDDEN, INNER]));
    }
    tensors
}

fn embed() -> Tensors {
    const HIDDEN: usize = 768;
    let mut tensors = vec![weight("emb_text.weight", &[21_178, HIDDEN])];
    let mut head = |name: String, tokens: usize| {
        tensors.push(constant(format!("{name}.parametrizations.weight.original0"), &[tokens, 1], 1.0));
        tensors.push(weight(format!("{name}.parametrizations.weight.original1"), &[tokens, HIDDEN]));
    };
    head("head_text".to_owned(), 21_178);
    for book in 0..4 {
        head(format!("head_code.{book}"), 626);
    }
    tensors.extend((0..4).map(|book| weight(format!("emb_code.{book}.weight"), &[626, HIDDEN])));
    tensors
}

/// A network of class `DVAEDecoder`.
fn trunk(name: &str, inputs: usize, outputs: usize, hidden: usize) -> Tensors {
    const NARROW: usize = 128;
    let mut tensors = vec![
        weight(format!("{name}.conv_in.0.weight"), &[NARROW, inputs, 3]),
        constant(format!("{name}.conv_in.0.bias"), &[NARROW], 0.0),
        weight(format!("{name}.conv_in.2.weight"), &[hidden, NARROW, 3]),
        constant(format!("{name}.conv_in.2.bias"), &[hidden], 0.0),
        weight(format!("{name}.conv_out.weight"), &[outputs, hidden, 1]),
    ];
    for block in 0..12 {
        tensors.extend(convnext(&format!("{name}.decoder_block.{block}"), hidden, 4 * hidden, "weight"));
    }
    tensors
}

fn convnext(name: &str, hidden: usize, inner: usize, scale: &str) -> Tensors {
    vec![
        weight(format!("{name}.dwconv.weight"), &[hidden, 1, 7]),
        constant(format!("{name}.dwconv.bias"), &[hidden], 0.0),
        constant(format!("{name}.norm.weight"), &[hidden], 1.0),
        constant(format!("{name}.norm.bias"), &[hidden], 0.0),
        weight(format!("{name}.pwconv1.weight"), &[inner, hidden]),
        constant(format!("{name}.pwconv1.bias"), &[inner], 0.0),
        weight(format!("{name}.pwconv2.weight"), &[hidden, inner]),
        constant(format!("{name}.pwconv2.bias"), &[hidden], 0.0),
        constant(format!("{name}.{scale}"), &[hidden], 0.1),
    ]
}

/// What frames of a decoder go through last.
fn ends(width: usize) -> Tensors {
    vec![weight("out_conv.weight", &[100, width, 3]), constant("coef", &[1, 100, 1], 1.0)]
}

fn dvae() -> Tensors {
    let mut tensors = ends(512);
    tensors.extend(trunk("decoder", 512, 512, 256));
    tensors.extend(trunk("encoder", 512, 1024, 256));
    for (index, (inputs, kernel)) in [(0, (100, 3)), (2, (512, 4))] {
        tensors.push(weight(format!("downsample_conv.{index}.weight"), &[512, inputs, kernel]));
        tensors.push(constant(format!("downsample_conv.{index}.bias"), &[512], 0.0));
    }
    for group in 0..2 {
        let name = |rest: &str| format!("vq_layer.quantizer.rvqs.{group}.{rest}");
        tensors.push(weight(name("project_in.weight"), &[4, 512]));
        tensors.push(constant(name("project_in.bias"), &[4], 0.0));
        tensors.push(weight(name("project_out.weight"), &[512, 4]));
        tensors.push(constant(name("project_out.bias"), &[512], 0.0));
    }
    tensors.push(("preprocessor_mel.mel_spec.spectrogram.window".to_owned(), vec![1024], Fill::Hann));
    tensors.push(("preprocessor_mel.mel_spec.mel_scale.fb".to_owned(), vec![513, 100], Fill::Constant(0.01)));
    tensors
}

fn vocos() -> Tensors {
    const HIDDEN: usize = 512;
    let mut tensors = vec![
        weight("backbone.embed.weight", &[HIDDEN, 100, 7]),
        constant("backbone.embed.bias", &[HIDDEN], 0.0),
        weight("head.out.weight", &[1026, HIDDEN]),
        constant("head.out.bias", &[1026], 0.0),
        ("head.istft.window".to_owned(), vec![1024], Fill::Hann),
    ];
    for norm in ["norm", "final_layer_norm"] {
        tensors.push(constant(format!("backbone.{norm}.weight"), &[HIDDEN], 1.0));
        tensors.push(constant(format!("backbone.{norm}.bias"), &[HIDDEN], 0.0));
    }
    for block in 0..8 {
        tensors.extend(convnext(&format!("backbone.convnext.{block}"), HIDDEN, 1536, "gamma"));
    }
    tensors
}

/// Writes a safetensors file of float32, unless it is there.
fn safetensors(path: &Path, tensors: Tensors) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut header = Map::new();
    let mut offset = 0;
    for (name, shape, _) in &tensors {
        let end = offset + 4 * shape.iter().product::<usize>();
        header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [offset, end]}));
        offset = end;
    }
    let header = serde_json::to_vec(&header)?;
    let part = path.with_extension("part");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&part)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    let mut chance = 0x9E37_79B9_u32;
    for (_, shape, fill) in &tensors {
        let count: usize = shape.iter().product();
        for index in 0..count {
            let value = match fill {
                Fill::Constant(value) => *value,
                Fill::Hann => 0.5 - 0.5 * (std::f32::consts::TAU * index as f32 / count as f32).cos(),
                Fill::Even(most) => {
                    // Xorshift (Marsaglia, 2003).
                    chance ^= chance << 13;
                    chance ^= chance >> 17;
                    chance ^= chance << 5;
                    (chance as f32 / u32::MAX as f32 * 2.0 - 1.0) * most
                }
            };
            file.write_all(&value.to_le_bytes())?;
        }
    }
    file.into_inner()?.sync_all()?;
    fs::rename(part, path)
}
