//! GGUF files: each type of ggml's blocks against candle's reader, and a whole model.
#![cfg(feature = "candle")]

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use syrinx_plugin_common::checkpoint::Tensors;
use syrinx_plugin_whisper::checkpoint::Layout;
use syrinx_plugin_whisper::model::{LoadOptions, TokenModel, WhisperModel};
use syrinx_plugin_whisper::tokenizer::{Tokenizer, TokenizerError};
use syrinx_plugin_whisper::weights::random;

fn kit_model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kits/whisper/models").join(name)
}

/// A folder of its own for each test.
fn folder(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("syrinx-gguf-{}-{name}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn write(path: &Path, metadata: &[(&str, &Value)], tensors: &[(String, QTensor)]) {
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut fs::File::create(path).unwrap(), metadata, &tensors).unwrap();
}

#[test]
fn every_type_of_blocks_is_read_as_candle_reads_it() {
    let dir = folder("types");
    let path = dir.join("types.gguf");
    let values = Tensor::from_vec(random::numbers(1, 6 * 512), (6, 512), &Device::Cpu).unwrap();
    let types = [
        GgmlDType::F32,
        GgmlDType::F16,
        GgmlDType::BF16,
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
        GgmlDType::Q8_0,
        GgmlDType::Q2K,
        GgmlDType::Q3K,
        GgmlDType::Q4K,
        GgmlDType::Q5K,
        GgmlDType::Q6K,
        GgmlDType::Q8K,
    ];
    let tensors: Vec<(String, QTensor)> =
        types.iter().map(|&dtype| (format!("{dtype:?}"), QTensor::quantize(&values, dtype).unwrap())).collect();
    write(&path, &[], &tensors);
    let ours = Tensors::gguf(&path).unwrap();
    for (name, theirs) in &tensors {
        let theirs = theirs.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let ours = ours.get(name).unwrap();
        assert_eq!(ours.shape(), [6, 512], "{name}");
        let ours = ours.to_f32().unwrap();
        assert!(ours.iter().zip(&theirs).all(|(ours, theirs)| (ours - theirs).abs() <= 1e-5), "{name}");
    }
    fs::remove_dir_all(dir).unwrap();
}

fn logits(dir: &Path) -> Vec<f32> {
    let model = WhisperModel::load(dir, &LoadOptions { threads: 1, ..LoadOptions::default() }).unwrap();
    let mel: Vec<f32> = (0..model.dims().n_mels * 3000).map(|i| (i as f32 * 0.37).sin()).collect();
    let audio = model.encode(&mel).unwrap();
    let mut logits = Vec::new();
    model.session(&audio).forward(&[5, 17, 3], &[0, 2], &mut logits).unwrap();
    logits
}

/// Writes a model of the kit under the names that candle's converter gives (`model.…`), or those of a part of it that was saved alone.
fn convert(dir: &Path, prefix: &str) {
    let official = Tensors::safetensors(&[kit_model("rand-v2-hf").join("model.safetensors")]).unwrap();
    let tensors: Vec<(String, QTensor)> = official
        .names()
        .map(|name| {
            let view = official.get(name).unwrap();
            let values = Tensor::from_vec(view.to_f32().unwrap(), view.shape(), &Device::Cpu).unwrap();
            let in_blocks = matches!(view.shape(), [_, cols] if cols.is_multiple_of(32)) && !name.contains("positions");
            let dtype = if in_blocks { GgmlDType::Q8_0 } else { GgmlDType::F32 };
            (name.replace("model.", prefix), QTensor::quantize(&values, dtype).unwrap())
        })
        .collect();
    write(&dir.join("whisper-q8_0.gguf"), &[("general.architecture", &Value::String("whisper".to_owned()))], &tensors);
    fs::copy(kit_model("rand-v2-hf").join("config.json"), dir.join("config.json")).unwrap();
}

#[test]
fn a_gguf_file_is_the_model_it_was_made_of() {
    for prefix in ["model.", ""] {
        let dir = folder(&format!("model-{}", prefix.len()));
        convert(&dir, prefix);
        assert_eq!(Layout::detect(&dir).unwrap(), Layout::Gguf(dir.join("whisper-q8_0.gguf")));
        let (wanted, got) = (logits(&kit_model("rand-v2-hf")), logits(&dir));
        assert_eq!(wanted.len(), got.len());
        let peak = wanted.iter().fold(0.0_f32, |peak, value| peak.max(value.abs()));
        assert!(wanted.iter().zip(&got).all(|(wanted, got)| (wanted - got).abs() <= 0.05 * peak), "{prefix}");
        // Its vocabulary has to come from elsewhere, and the message says from where.
        let missing = Tokenizer::load(&dir, wanted.len() / 2, None).err().expect("there is none");
        assert!(
            matches!(missing, TokenizerError::NoFiles { .. }) && missing.to_string().contains("whisper-vocabulary")
        );
        fs::remove_dir_all(dir).unwrap();
    }
}
