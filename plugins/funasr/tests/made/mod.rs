//! Models with hot words, made of the kit's BiCif model. The kit's own contextual model hardly listens to hot words, and its SeACo model would be too
//! much for the project.
//!
//! What they have beyond BiCif is taken from what is of the same kind in that network: the decoder over hot words is the decoder, and what reads their
//! spelling is the predictor's recurrent network. They say odd things of hot words, but what they say depends on them, and on everything that goes
//! into the graphs. What the reference says of trained ones is in the whole kit.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use syrinx_plugin_common::checkpoint::Tensors;
use syrinx_plugin_common::testing::torch_file;

/// The kinds of models that take hot words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// Hot words are looked at by the last layer of the decoder.
    Contextual,
    /// Hot words have a decoder of their own.
    Seaco,
}

/// Layers of the decoder over hot words: as many as released models have, so that long lists are filtered.
const SEACO_LAYERS: usize = 6;
/// The class "no hot word", which leaves a token as it was heard. Here it is a character that is often said of hot words, so that both happen.
const NO_BIAS: &str = "验";
/// Spellings of hot words are read as smaller numbers than the sounds that the copied decoder is used to.
const LOUDNESS: f32 = 8.0;

/// Row-major values and their shape.
type Tensor = (Vec<usize>, Vec<f32>);

/// Writes the files of a torch release into `directory`.
pub(crate) fn make(made: Made, bicif: &Path, directory: &Path) {
    for name in ["am.mvn", "configuration.json", "seg_dict", "tokens.json"] {
        fs::copy(bicif.join(name), directory.join(name)).expect("a file of the kit is copied");
    }
    let class = if made == Made::Seaco { "SeacoParaformer" } else { "ContextualParaformer" };
    let tokens = fs::read(bicif.join("tokens.json")).expect("the kit has it");
    let tokens: Vec<String> = serde_json::from_slice(&tokens).expect("a list");
    let no_bias = tokens.iter().position(|token| token == NO_BIAS).expect("it is said in the kit's clips");
    let config = fs::read_to_string(bicif.join("config.yaml")).expect("the kit has it");
    let config = config.replace("BiCifParaformer", class);
    let config = config.replace("\nmodel_conf:\n", &format!("\nmodel_conf:\n  NO_BIAS: {no_bias}\n"));
    fs::write(directory.join("config.yaml"), config).expect("a test's file");

    let checkpoint = Tensors::torch(&bicif.join("model.pt")).expect("the kit has it");
    let of = |name: &str| -> Tensor {
        let tensor = checkpoint.get(name).expect("it is listed");
        (tensor.shape().to_vec(), tensor.to_f32().expect("numbers"))
    };
    let mut tensors: BTreeMap<String, Tensor> = checkpoint.names().map(|name| (name.to_owned(), of(name))).collect();
    match made {
        Made::Contextual => make_contextual(&mut tensors),
        Made::Seaco => make_seaco(&mut tensors),
    }
    fs::write(directory.join("model.pt"), torch_file(&tensors)).expect("a test's file");
}

/// Number of the decoder's layers.
fn layers(tensors: &BTreeMap<String, Tensor>) -> usize {
    (0..).take_while(|layer| tensors.contains_key(&format!("decoder.decoders.{layer}.norm1.weight"))).count()
}

/// Adds a copy of everything whose name `renamed` has another name for.
fn copy(tensors: &mut BTreeMap<String, Tensor>, renamed: impl Fn(&str) -> Option<String>) {
    let copies: Vec<(String, Tensor)> =
        tensors.iter().filter_map(|(name, tensor)| Some((renamed(name)?, tensor.clone()))).collect();
    tensors.extend(copies);
}

/// Renames what begins with `from`.
fn moved(name: &str, from: &str, to: &str) -> Option<String> {
    name.strip_prefix(from).map(|rest| format!("{to}{rest}"))
}

fn make_seaco(tensors: &mut BTreeMap<String, Tensor>) {
    let layers = layers(tensors);
    copy(tensors, |name| {
        let second = name.strip_suffix("_l0_reverse").map(|kind| format!("{kind}_l1"));
        moved(second.as_deref().unwrap_or(name), "predictor.blstm.", "bias_encoder.")
    });
    copy(tensors, |name| moved(name, "decoder.output_layer.", "hotword_output_layer."));
    copy(tensors, |name| moved(name, "decoder.decoders3.", "seaco_decoder.decoders3."));
    copy(tensors, |name| moved(name, "decoder.after_norm.", "seaco_decoder.after_norm."));
    for layer in 0..SEACO_LAYERS {
        let from = format!("decoder.decoders.{}.", layer % layers);
        copy(tensors, |name| moved(name, &from, &format!("seaco_decoder.decoders.{layer}.")));
    }
    amplify(tensors, "seaco_decoder.decoders.");
}

fn make_contextual(tensors: &mut BTreeMap<String, Tensor>) {
    copy(tensors, |name| moved(name, "predictor.blstm.", "bias_encoder.").filter(|name| name.ends_with("_l0")));
    copy(tensors, |name| moved(name, "decoder.embed.0.", "bias_embed."));
    let last = format!("decoder.decoders.{}.", layers(tensors) - 1);
    copy(tensors, |name| moved(name, &last, "decoder.last_decoder."));
    copy(tensors, |name| moved(name, &format!("{last}norm3."), "decoder.bias_decoder.norm3."));
    copy(tensors, |name| moved(name, &format!("{last}src_attn."), "decoder.bias_decoder.src_attn."));
    // Its output is the sum of what is heard and what is wanted.
    let width = tensors["decoder.after_norm.weight"].0[0];
    let sum = (0..width * 2 * width).map(|i| if i % (2 * width) % width == i / (2 * width) { 1.0 } else { 0.0 });
    tensors.insert("decoder.bias_output.weight".to_owned(), (vec![width, 2 * width, 1], sum.collect()));
    let times = ["predictor.blstm.", "predictor.cif_output2.", "predictor.upsample_cnn."];
    tensors.retain(|name, _| !name.starts_with(&last) && !times.iter().any(|part| name.starts_with(part)));
    amplify(tensors, "decoder.bias_decoder.");
}

/// Makes a decoder listen to hot words.
fn amplify(tensors: &mut BTreeMap<String, Tensor>, decoder: &str) {
    let hears = |name: &str| name.starts_with(decoder) && name.ends_with("src_attn.linear_k_v.weight");
    for (_, (_, values)) in tensors.iter_mut().filter(|(name, _)| hears(name)) {
        values.iter_mut().for_each(|value| *value *= LOUDNESS);
    }
}
