//! The real int8 graph as a full-size checkpoint in the official layout, so that the torch network is tested with weights that speak:
//! `(q - zero point) · scale`, under the names of the modules that the graph's node names tell.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use syrinx_plugin_common::kits::{Case, Got};
use syrinx_plugin_common::onnx::model::{GraphModel, Node, Values};
use syrinx_plugin_kokoro::network::{Device, find_network};

use super::network::real_model;

/// Shape and values by the names in the checkpoint (`decoder.module.encode.conv1.weight_v`).
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Hyper-parameters of the release.
const CONFIG: &str = r#"{
  "istftnet": {
    "upsample_kernel_sizes": [20, 12], "upsample_rates": [10, 6], "gen_istft_hop_size": 5, "gen_istft_n_fft": 20,
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]], "resblock_kernel_sizes": [3, 7, 11],
    "upsample_initial_channel": 512
  },
  "dim_in": 64, "dropout": 0.2, "hidden_dim": 512, "max_conv_dim": 512, "max_dur": 50, "multispeaker": true, "n_layer": 3,
  "n_mels": 80, "n_token": 178, "style_dim": 128, "text_encoder_kernel_size": 5,
  "plbert": {
    "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 2048, "max_position_embeddings": 512,
    "num_hidden_layers": 12, "dropout": 0.1
  }
}"#;

/// A directory with the checkpoint, made once per build directory.
pub(crate) fn checkpoint_directory() -> Result<PathBuf, String> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MADE.get_or_init(make).clone()
}

fn make() -> Result<PathBuf, String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kokoro-dequantised");
    let file = directory.join("kokoro-v1_0.safetensors");
    if file.exists() {
        return Ok(directory);
    }
    std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    std::fs::write(directory.join("config.json"), CONFIG).map_err(|error| error.to_string())?;
    let tensors = dequantised()?;
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, (shape, values))| (name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        view.map(|view| (name.clone(), view)).map_err(|error| error.to_string())
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    // Under another name first, so that an interrupted run leaves no half file.
    let unfinished = file.with_extension("part");
    safetensors::serialize_to_file(views, None, &unfinished).map_err(|error| error.to_string())?;
    std::fs::rename(&unfinished, &file).map_err(|error| error.to_string())?;
    Ok(directory)
}

fn dequantised() -> Result<Tensors, String> {
    let files = real_model()?;
    let path = find_network(&files.dir, Some("int8"), Device::Cpu).map_err(|error| error.to_string())?;
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let graph = GraphModel::parse(&bytes)?;
    let mut converter = Converter { graph: &graph, tensors: Tensors::new() };
    for node in &graph.nodes {
        converter.node(node)?;
    }
    converter.constants()?;
    Ok(converter.tensors)
}

/// `kokoro.dequant_check`: names, shapes, sums and digests.
pub(crate) fn check(case: &Case) -> Result<Got, String> {
    let tensors = dequantised()?;
    let mut count: HashMap<&str, usize> = HashMap::new();
    for name in tensors.keys() {
        *count.entry(name.split('.').next().unwrap_or_default()).or_default() += 1;
    }
    let parameters: usize = tensors.values().map(|(_, values)| values.len()).sum();
    let wanted = case.expect["tensors"].as_object().ok_or("the case expects no tensors")?;
    let told = wanted.keys().filter_map(|name| tensors.get(name).map(|tensor| (name, tensor)));
    let told: BTreeMap<&String, Value> = told
        .map(|(name, (shape, values))| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
            let abs_sum: f64 = values.iter().map(|value| f64::from(value.abs())).sum();
            (name, json!({ "shape": shape, "sum": sum, "abs_sum": abs_sum, "sha256": digest }))
        })
        .collect();
    Ok(Got::new().value("count", count).value("parameters", parameters).value("tensors", told))
}

struct Converter<'g> {
    graph: &'g GraphModel<'g>,
    tensors: Tensors,
}

impl Converter<'_> {
    fn put(&mut self, path: &str, shape: Vec<usize>, values: Vec<f32>) {
        let (part, rest) = path.split_once('.').unwrap_or((path, ""));
        self.tensors.entry(format!("{part}.module.{rest}")).or_insert((shape, values));
    }

    fn floats(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
        let (shape, values) = self.graph.constant(name).ok_or_else(|| format!("{name} is no constant"))?;
        let values = match values {
            Values::F32(values) => values,
            Values::U8(values) => values.into_iter().map(f32::from).collect(),
            Values::I8(values) => values.into_iter().map(f32::from).collect(),
            Values::I64(_) => return Err(format!("{name} is made of 64-bit integers")),
        };
        Ok((shape, values))
    }

    /// Values with one scale, or one per place along `axis`.
    fn dequantise(&self, names: [&str; 3], axis: usize) -> Result<(Vec<usize>, Vec<f32>), String> {
        let (shape, mut values) = self.floats(names[0])?;
        let (scales, zeros) = (self.floats(names[1])?.1, self.floats(names[2])?.1);
        let inner: usize = shape[axis + 1..].iter().product();
        for (at, value) in values.iter_mut().enumerate() {
            let place = (at / inner.max(1)) % shape.get(axis).copied().unwrap_or(1);
            *value = (*value - zeros[place % zeros.len()]) * scales[place % scales.len()];
        }
        Ok((shape, values))
    }

    fn node(&mut self, node: &Node) -> Result<(), String> {
        let is_constant = |index: usize| node.inputs.get(index).is_some_and(|name| self.graph.constant(name).is_some());
        let scale_of = |quantised: &str| format!("{}_scale", quantised.trim_end_matches("_quantized"));
        let input = |index: usize| node.inputs[index].as_str();
        match node.operator.as_str() {
            "MatMulInteger" if is_constant(1) => {
                // [in, out]
                let weights = self.dequantise([input(1), &scale_of(input(1)), input(3)], 1)?;
                let mut path = module_of(&node.name.replace("/Gemm_MatMul_quant", "/x").replace("/MatMul_quant", "/x"));
                if path.starts_with("bert.") {
                    // The passes through the shared layer are numbered.
                    let number = path.rsplit_once('_').filter(|(_, number)| number.parse::<u32>().is_ok());
                    path = number.map(|(path, _)| path.to_owned()).unwrap_or(path);
                }
                let (shape, values) = transposed(weights);
                self.put(&format!("{path}.weight"), shape, values);
            }
            "MatMul" | "FusedMatMul" if is_constant(1) => {
                let weights = self.floats(input(1))?;
                if weights.0.len() == 2 {
                    let (shape, values) = transposed(weights);
                    self.put(&format!("{}.weight", module_of(&node.name)), shape, values);
                }
            }
            "ConvInteger" => {
                let (shape, values) = self.dequantise([input(1), &scale_of(input(1)), input(3)], 0)?;
                self.convolution(&module_of(&node.name), shape, values);
            }
            "Conv" | "ConvTranspose" if !node.name.contains("istft") => {
                let (shape, values) = self.floats(input(1))?;
                self.convolution(&module_of(&node.name), shape, values);
            }
            "Gather" if input(0).ends_with(".weight_quantized") => {
                let links = self.graph.links();
                let reader = links.consumers(&node.outputs[0]).iter().map(|index| &self.graph.nodes[*index]);
                let reader = reader.into_iter().find(|node| node.operator == "DequantizeLinear");
                let reader = reader.ok_or_else(|| format!("{} is not dequantised", node.name))?;
                let name = input(0).trim_end_matches("_quantized").replacen("encoder.", "", 1);
                let (shape, values) = self.dequantise([input(0), &reader.inputs[1], &reader.inputs[2]], 0)?;
                self.put(&name, shape, values);
            }
            "DynamicQuantizeLSTM" => self.lstm(node)?,
            _ => {}
        }
        Ok(())
    }

    /// Weight-normalised ones are stored as length and direction.
    fn convolution(&mut self, path: &str, shape: Vec<usize>, mut values: Vec<f32>) {
        let is_plain = path.contains("noise_convs") || path.ends_with("F0_proj") || path.ends_with("N_proj");
        if is_plain {
            return self.put(&format!("{path}.weight"), shape, values);
        }
        let row = values.len() / shape[0];
        let norm = |row: &[f32]| row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt() as f32;
        let gains: Vec<f32> = values.chunks(row).map(norm).collect();
        // The quantiser flushed some filters to zero: no length, and any direction.
        for (row, _) in values.chunks_mut(row).zip(&gains).filter(|(_, gain)| **gain == 0.0) {
            row[0] = 1.0;
        }
        let gain_shape = std::iter::once(shape[0]).chain(shape[1..].iter().map(|_| 1)).collect();
        self.put(&format!("{path}.weight_g"), gain_shape, gains);
        self.put(&format!("{path}.weight_v"), shape, values);
    }

    fn lstm(&mut self, node: &Node) -> Result<(), String> {
        let path = module_of(&node.name);
        let name = |index: usize| node.inputs[index].as_str();
        let (_, bias) = self.floats(name(3))?;
        // [directions, in, 4 · hidden]
        for (kind, [quantised, scale, zero]) in [("ih", [1, 8, 9]), ("hh", [2, 10, 11])] {
            let (shape, values) = self.floats(name(quantised))?;
            let (scales, zeros) = (self.floats(name(scale))?.1, self.floats(name(zero))?.1);
            let [_, inputs, gates] = shape[..] else { return Err(format!("{}: {shape:?}", node.name)) };
            let hidden = gates / 4;
            for (direction, suffix) in ["", "_reverse"].iter().enumerate() {
                let start = direction * inputs * gates;
                let mut weights = Vec::with_capacity(gates * inputs);
                for gate in in_torch_order(hidden) {
                    // Scales are per direction, or per direction and gate value.
                    let place = if scales.len() > 2 { direction * gates + gate } else { direction };
                    let (scale, zero) = (scales[place % scales.len()], zeros[place % zeros.len()]);
                    weights.extend((0..inputs).map(|input| (values[start + input * gates + gate] - zero) * scale));
                }
                self.put(&format!("{path}.weight_{kind}_l0{suffix}"), vec![gates, inputs], weights);
                let offset = direction * 2 * gates + if kind == "hh" { gates } else { 0 };
                let bias = in_torch_order(hidden).map(|gate| bias[offset + gate]).collect();
                self.put(&format!("{path}.bias_{kind}_l0{suffix}"), vec![gates], bias);
            }
        }
        Ok(())
    }

    /// What the quantiser left as it was: biases, norms, activations' α (or only its inverse).
    fn constants(&mut self) -> Result<(), String> {
        let graph = self.graph;
        let is_parameter = |name: &&str| {
            (name.starts_with("encoder.") || name.starts_with("decoder.decoder."))
                && !name.ends_with("_scale")
                && !name.contains("istft")
        };
        for name in graph.constant_names().filter(is_parameter) {
            if let Some((shape, Values::F32(values))) = graph.constant(name) {
                self.put(&parameter_of(name), shape, values);
            }
        }
        for (name, path) in graph.constant_names().filter_map(|name| Some((name, alpha_of(name)?))) {
            let (shape, values) = self.floats(name)?;
            self.put(&path, shape, values.into_iter().map(|inverse| 1.0 / inverse).collect());
        }
        Ok(())
    }
}

fn transposed((shape, values): (Vec<usize>, Vec<f32>)) -> (Vec<usize>, Vec<f32>) {
    let (rows, columns) = (shape[0], shape[1]);
    let value = |at: usize| values[(at % rows) * columns + at / rows];
    (vec![columns, rows], (0..rows * columns).map(value).collect())
}

/// Places of ONNX's gates (input, output, forget, candidate) in torch's order (input, forget, candidate, output).
fn in_torch_order(hidden: usize) -> impl Iterator<Item = usize> {
    [0, 2, 3, 1].into_iter().flat_map(move |gate| gate * hidden..(gate + 1) * hidden)
}

/// The module that a node belongs to, by its name's scopes.
fn module_of(node: &str) -> String {
    let mut scopes: Vec<&str> = node.trim_matches('/').split('/').collect();
    scopes.pop();
    if scopes.starts_with(&["decoder", "decoder"]) {
        scopes.remove(0);
    } else if scopes.first() == Some(&"encoder") {
        scopes.remove(0);
        let first = scopes.first().copied().unwrap_or_default();
        if is_of_predictor(first) {
            scopes.insert(0, "predictor");
        }
    }
    let mut path: Vec<&str> = Vec::new();
    for scope in scopes {
        // "cnn.0", "cnn.0.0": the second says all.
        let repeats = path.last().is_some_and(|last: &&str| {
            let stem = last.split('.').next().unwrap_or_default();
            scope.starts_with(&format!("{last}."))
                || (["cnn", "asr_res"].contains(&stem) && scope.starts_with(&format!("{stem}.")))
        });
        if repeats {
            path.pop();
        }
        path.push(scope);
    }
    path.join(".")
}

fn is_of_predictor(scope: &str) -> bool {
    ["shared", "F0_proj", "N_proj"].contains(&scope) || scope.starts_with("F0.") || scope.starts_with("N.")
}

/// The parameter that a constant's name means.
fn parameter_of(constant: &str) -> String {
    if let Some(rest) = constant.strip_prefix("decoder.decoder.") {
        return format!("decoder.{rest}");
    }
    let rest = constant.strip_prefix("encoder.").unwrap_or(constant);
    let first = rest.split('.').next().unwrap_or_default();
    let is_of_predictor = ["shared", "F0_proj", "N_proj", "F0", "N"].contains(&first);
    if is_of_predictor { format!("predictor.{rest}") } else { rest.to_owned() }
}

/// The α whose inverse a constant is: `/decoder/decoder/generator/resblocks.0/Reciprocal_3_output_0` is the inverse of `alpha2.1`.
fn alpha_of(constant: &str) -> Option<String> {
    let rest = constant.strip_prefix("/decoder/decoder/generator/")?.strip_suffix("_output_0")?;
    let (block, reciprocal) = rest.split_once("/Reciprocal")?;
    let number = match reciprocal {
        "" => 0,
        numbered => numbered.strip_prefix('_')?.parse::<usize>().ok()?,
    };
    Some(format!("decoder.generator.{block}.alpha{}.{}", 1 + number % 2, number / 2))
}
