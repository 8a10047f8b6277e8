//! whisper.cpp's layout: a file made of a small Hugging Face model of random weights is the same model.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::f16;
use syrinx_plugin_common::checkpoint::Tensors;
use syrinx_plugin_whisper::checkpoint::Layout;
use syrinx_plugin_whisper::model::{LoadOptions, TokenModel, WhisperModel};
use syrinx_plugin_whisper::tokenizer::Tokenizer;

/// Numbers of a block of q8_0.
const BLOCK: usize = 32;

fn kit_model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kits/whisper/models").join(name)
}

/// A folder of its own for each test.
fn folder(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("syrinx-ggml-{}-{name}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// openai's name of a tensor of Hugging Face.
fn openai_name(name: &str) -> String {
    let mut name = name.trim_start_matches("model.").to_owned();
    for (theirs, ours) in [
        (".layers.", ".blocks."),
        ("self_attn_layer_norm", "attn_ln"),
        ("encoder_attn_layer_norm", "cross_attn_ln"),
        ("final_layer_norm", "mlp_ln"),
        ("self_attn.", "attn."),
        ("encoder_attn.", "cross_attn."),
        ("q_proj", "query"),
        ("k_proj", "key"),
        ("v_proj", "value"),
        ("out_proj", "out"),
        ("fc1", "mlp.0"),
        ("fc2", "mlp.2"),
        ("embed_positions.weight", "positional_embedding"),
        ("embed_tokens", "token_embedding"),
        ("encoder.layer_norm", "encoder.ln_post"),
        ("decoder.layer_norm", "decoder.ln"),
    ] {
        name = name.replace(theirs, ours);
    }
    name
}

/// Writes `rand-zh-bin` as a ggml file. `blocks`: matrices whose width allows it in q8_0, the others in float32.
fn write(path: &Path, blocks: bool) {
    let dir = kit_model("rand-zh-bin");
    let tensors = Tensors::torch(&dir.join("pytorch_model.bin")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("config.json")).unwrap()).unwrap();
    let config = |name: &str| config[name].as_u64().unwrap() as u32;
    let tokenizer = Tokenizer::load(&dir, config("vocab_size") as usize, None).unwrap();

    let mut file = u32::to_le_bytes(0x6767_6d6c).to_vec();
    let number = |file: &mut Vec<u8>, number: usize| file.extend((number as u32).to_le_bytes());
    for size in [
        config("vocab_size"),
        config("max_source_positions"),
        config("d_model"),
        config("encoder_attention_heads"),
        config("encoder_layers"),
        config("max_target_positions"),
        config("d_model"),
        config("decoder_attention_heads"),
        config("decoder_layers"),
        config("num_mel_bins"),
        u32::from(!blocks),
    ] {
        number(&mut file, size as usize);
    }
    (0..2).for_each(|_| number(&mut file, 0)); // no filters: they are computed
    let specials = tokenizer.specials();
    number(&mut file, specials.eot as usize);
    for id in 0..specials.eot {
        let bytes = tokenizer.bytes(id).unwrap();
        number(&mut file, bytes.len());
        file.extend(bytes);
    }
    for name in tensors.names().filter(|name| *name != "proj_out.weight") {
        let tensor = tensors.get(name).unwrap();
        let (values, shape, name) = (tensor.to_f32().unwrap(), tensor.shape(), openai_name(name));
        let in_blocks = blocks && shape.len() == 2 && shape[1].is_multiple_of(BLOCK) && !name.contains("positional");
        // Convolution biases are columns there.
        let shape = if name.contains("conv") && shape.len() == 1 { vec![shape[0], 1] } else { shape.to_vec() };
        number(&mut file, shape.len());
        number(&mut file, name.len());
        number(&mut file, if in_blocks { 8 } else { 0 });
        shape.iter().rev().for_each(|size| number(&mut file, *size));
        file.extend(name.as_bytes());
        if !in_blocks {
            values.iter().for_each(|value| file.extend(value.to_le_bytes()));
            continue;
        }
        for block in values.chunks_exact(BLOCK) {
            let scale = f16::from_f32(block.iter().fold(0.0_f32, |peak, value| peak.max(value.abs())) / 127.0);
            file.extend(scale.to_le_bytes());
            file.extend(block.iter().map(|value| (value / scale.to_f32()).round() as i8 as u8));
        }
    }
    fs::write(path, file).unwrap();
}

fn logits(dir: &Path) -> Vec<f32> {
    let model = Arc::new(WhisperModel::load(dir, &LoadOptions { threads: 1, ..LoadOptions::default() }).unwrap());
    let mel: Vec<f32> = (0..model.dims().n_mels * 3000).map(|i| (i as f32 * 0.37).sin()).collect();
    let audio = model.encode(&mel).unwrap();
    let mut logits = Vec::new();
    model.session(&audio).forward(&[5, 17, 3], &[0, 2], &mut logits).unwrap();
    logits
}

#[test]
fn a_ggml_file_is_the_model_it_was_made_of() {
    let dir = folder("plain");
    let path = dir.join("ggml-tiny.bin");
    write(&path, false);
    assert_eq!(Layout::detect(&dir).unwrap(), Layout::Ggml(path));
    let (wanted, got) = (logits(&kit_model("rand-zh-bin")), logits(&dir));
    assert!(wanted.iter().zip(&got).all(|(wanted, got)| (wanted - got).abs() <= 1e-5), "weights are the same numbers");

    let official = Tokenizer::load(&kit_model("rand-zh-bin"), logits(&dir).len() / 2, None).unwrap();
    let inside = Tokenizer::load(&dir, logits(&dir).len() / 2, None).unwrap();
    assert_eq!(inside.specials(), official.specials());
    let text = " the quick brown fox, größer";
    assert_eq!(inside.encode(text), official.encode(text));
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn blocks_of_eight_bits_are_close() {
    let dir = folder("blocks");
    write(&dir.join("ggml-tiny-q8_0.bin"), true);
    let (wanted, got) = (logits(&kit_model("rand-zh-bin")), logits(&dir));
    let peak = wanted.iter().fold(0.0_f32, |peak, value| peak.max(value.abs()));
    assert!(wanted.iter().zip(&got).all(|(wanted, got)| (wanted - got).abs() <= 0.05 * peak));
    fs::remove_dir_all(dir).unwrap();
}
