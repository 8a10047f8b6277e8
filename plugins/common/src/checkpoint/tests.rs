//! Readers against files made here: whole, cut short, and crafted to mislead.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{CheckpointError, DType, Tensors};

/// A folder of its own for each test.
fn folder(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("syrinx-checkpoint-{}-{name}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn safetensors_bytes(header: &serde_json::Value, data: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn safetensors_and_shards() {
    let dir = folder("safetensors");
    let one = safetensors_bytes(
        &json!({"a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}}),
        &[0x00, 0x3c, 0x00, 0xc0],
    );
    let two = safetensors_bytes(&json!({"b": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}), &[0x80, 0x3f]);
    fs::write(dir.join("one"), &one).unwrap();
    fs::write(dir.join("two"), two).unwrap();
    let index = dir.join("index.json");
    fs::write(&index, json!({"weight_map": {"a": "one", "b": "two"}}).to_string()).unwrap();
    let tensors = Tensors::safetensors_index(&index).unwrap();
    assert_eq!(tensors.get("a").unwrap().to_f32().unwrap(), [1.0, -2.0]);
    assert_eq!(tensors.get("b").unwrap().to_f32().unwrap(), [1.0]);
    assert_eq!(tensors.get("b").unwrap().dtype(), DType::BF16);
    assert!(matches!(tensors.get("c"), Err(CheckpointError::Missing { .. })));

    fs::write(&index, json!({"weight_map": {"a": "../one"}}).to_string()).unwrap();
    assert!(Tensors::safetensors_index(&index).is_err(), "an index names files beside it only");
    for length in [0, 4, 9, one.len() - 1] {
        fs::write(dir.join("cut"), &one[..length]).unwrap();
        assert!(Tensors::safetensors(&[dir.join("cut")]).is_err());
    }
    fs::remove_dir_all(dir).unwrap();
}

fn ct2_string(text: &str) -> Vec<u8> {
    [&((text.len() + 1) as u16).to_le_bytes(), text.as_bytes(), &[0]].concat()
}

fn ct2_bytes(version: u32, dims: &[u32], bytes: u32) -> Vec<u8> {
    let mut file = version.to_le_bytes().to_vec();
    file.extend(ct2_string("WhisperSpec"));
    file.extend(3_u32.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    file.extend(ct2_string("w"));
    file.push(dims.len() as u8);
    dims.iter().for_each(|size| file.extend(size.to_le_bytes()));
    file.push(2); // int16
    file.extend(bytes.to_le_bytes());
    file.extend([1, 0, 0xff, 0xff]);
    file.extend(1_u32.to_le_bytes());
    file.extend(ct2_string("alias"));
    file.extend(ct2_string("w"));
    file
}

#[test]
fn ctranslate2_models() {
    let dir = folder("ctranslate2");
    let path = dir.join("model.bin");
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Tensors::ctranslate2(&path)
    };
    let whole = ct2_bytes(6, &[2], 4);
    assert_eq!(read(&whole).unwrap().get("alias").unwrap().to_i64().unwrap(), [1, -1]);
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_err(), "cut to {length} bytes");
    }
    assert!(read(&[&whole[..], &[0]].concat()).is_err(), "something is left over");
    assert!(read(&ct2_bytes(3, &[2], 4)).is_err(), "too old");
    assert!(read(&ct2_bytes(6, &[3], 4)).is_err(), "shape and size disagree");
    assert!(read(&ct2_bytes(6, &[u32::MAX, u32::MAX, u32::MAX], 4)).is_err(), "an impossible shape");
    fs::remove_dir_all(dir).unwrap();
}

/// `{"w": tensor of float32 [2, 2] with the given strides, "n": 7}`.
fn torch_file(path: &Path, strides: [u8; 2], storage: &[u8]) {
    let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let pickle = [
        b"\x80\x02}(".to_vec(),
        text("w"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text("0"),
        text("cpu"),
        b"K\x04tQK\x00K\x02K\x02\x86".to_vec(),
        vec![b'K', strides[0], b'K', strides[1], 0x86],
        b"\x89ccollections\nOrderedDict\n)RtR".to_vec(),
        text("n"),
        b"K\x07u.".to_vec(),
    ]
    .concat();
    let mut zip = ZipWriter::new(fs::File::create(path).unwrap());
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip.start_file("x/data.pkl", stored).unwrap();
    zip.write_all(&pickle).unwrap();
    zip.start_file("x/data/0", stored).unwrap();
    zip.write_all(storage).unwrap();
    zip.finish().unwrap();
}

#[test]
fn torch_pickles() {
    let dir = folder("torch");
    let path = dir.join("model.pt");
    let storage: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    torch_file(&path, [2, 1], &storage);
    let tensors = Tensors::torch(&path).unwrap();
    assert_eq!(tensors.get("w").unwrap().to_f32().unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(tensors.scalar("n"), Some(7.0));
    torch_file(&path, [1, 2], &storage);
    assert_eq!(
        Tensors::torch(&path).unwrap().get("w").unwrap().to_f32().unwrap(),
        [1.0, 3.0, 2.0, 4.0],
        "a transposed view"
    );
    torch_file(&path, [200, 1], &storage);
    assert!(Tensors::torch(&path).is_err(), "strides beyond the storage");
    torch_file(&path, [2, 1], &storage[..12]);
    assert!(Tensors::torch(&path).is_err(), "a storage that is too short");
    fs::write(&path, b"\x80\x02}q\x00.").unwrap();
    assert!(Tensors::torch(&path).is_err(), "a pickle that torch didn't write");
    fs::remove_dir_all(dir).unwrap();
}

/// A lone tensor of float16 [2], as torch wrote it before 1.6.
fn legacy_torch(elements: u64) -> Vec<u8> {
    let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    [
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00.".to_vec(),
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nHalfStorage\n".to_vec(),
        text("94"),
        text("cpu"),
        b"K\x02NtQK\x00K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR.".to_vec(),
        b"\x80\x02]q\x01".to_vec(),
        text("94"),
        b"a.".to_vec(),
        elements.to_le_bytes().to_vec(),
        vec![0x00, 0x3c, 0x00, 0xc0],
    ]
    .concat()
}

#[test]
fn legacy_torch_files() {
    let whole = legacy_torch(2);
    let tensors = Tensors::torch_bytes("voice", whole.clone()).unwrap();
    assert_eq!(tensors.get("").unwrap().to_f32().unwrap(), [1.0, -2.0]);
    for length in 0..whole.len() {
        let error = Tensors::torch_bytes("voice", whole[..length].to_vec()).unwrap_err();
        assert!(error.to_string().starts_with("voice is not a readable torch checkpoint"), "{error}");
    }
    for elements in [0, 1, 3, u64::MAX, u64::MAX / 2 + 1] {
        assert!(Tensors::torch_bytes("voice", legacy_torch(elements)).is_err(), "{elements} elements");
    }
}

/// `pickle` as the description of a torch archive without storages.
fn archive_of(pickle: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("x/data.pkl", SimpleFileOptions::default().compression_method(CompressionMethod::Stored)).unwrap();
    zip.write_all(pickle).unwrap();
    zip.finish().unwrap().into_inner()
}

#[test]
fn hostile_torch_files() {
    let read = |pickle: &[u8]| Tensors::torch_bytes("voice", archive_of(pickle));
    let deep = [b")".to_vec(), vec![0x85; 1 << 20], b".".to_vec()].concat();
    assert!(read(&deep).unwrap_err().to_string().contains("nested"), "dropping it must not exhaust the stack");
    let itself = b"}q\x00X\x01\x00\x00\x00ah\x00sX\x01\x00\x00\x00bh\x00sX\x01\x00\x00\x00ch\x00s.";
    assert!(read(itself).unwrap_err().to_string().contains("hold each other"));
    let name = [b"}X\x00\x08\x00\x00".to_vec(), vec![b'a'; 0x800], b"K\x01s.".to_vec()].concat();
    assert!(read(&name).unwrap_err().to_string().contains("too long"));
    assert!(read(b"}.").is_ok());
}

#[test]
fn torch_shards() {
    let dir = folder("torch-shards");
    torch_file(&dir.join("pytorch_model-00001-of-00001.bin"), [2, 1], &[0; 16]);
    let index = dir.join("pytorch_model.bin.index.json");
    fs::write(&index, r#"{"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}"#).unwrap();
    assert_eq!(Tensors::torch_index(&index).unwrap().names().collect::<Vec<_>>(), ["w"]);
    fs::write(&index, r#"{"weight_map": {"a": "pytorch_model-00002-of-00002.bin"}}"#).unwrap();
    assert!(Tensors::torch_index(&index).is_err(), "a shard is missing");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn malformed_pickles_are_errors() {
    for bytes in [
        &b""[..],
        b"\x80",
        b"(",
        b"}(u.",
        b"q\x00.",
        b"h\x05.",
        b"X\xff\xff\xff\xff.",
        b"Q.",
        b"R.",
        b"t.",
        b"\xfe.",
        b"ctorch",
    ] {
        let _ = super::pickle::parse(bytes);
    }
    assert!(super::pickle::parse(b"h\x05.").is_err());
    assert!(super::pickle::parse(b"\xfe.").is_err());
}

/// A field of a protocol buffers message that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 128, "lengths of one byte are enough here");
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

#[test]
fn onnx_initializers() {
    let dir = folder("onnx");
    let path = dir.join("graph.onnx");
    let values: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let raw = [&[1 << 3, 2, 2 << 3, 1], field(8, b"raw").as_slice(), &field(9, &values)].concat();
    let packed = [field(1, &[1, 2]).as_slice(), &[2 << 3, 1], &field(8, b"packed"), &field(4, &values)].concat();
    let text = [&[1 << 3, 1, 2 << 3, 8], field(8, b"text").as_slice()].concat();
    let graph = [field(5, &raw), field(5, &packed), field(5, &text), field(2, b"name")].concat();
    let model = [&[1 << 3, 8][..], &field(7, &graph)].concat();
    fs::write(&path, &model).unwrap();
    let tensors = Tensors::onnx(&path).unwrap();
    assert_eq!(tensors.names().collect::<Vec<_>>(), ["packed", "raw"]);
    assert_eq!(tensors.get("raw").unwrap().to_f32().unwrap(), [1.5, -2.0]);
    assert_eq!(tensors.get("packed").unwrap().shape(), [1, 2]);

    for length in 1..model.len() {
        fs::write(&path, &model[..length]).unwrap();
        // Cut between two fields it is a smaller graph; anywhere else it is damage. Never a panic.
        let _ = Tensors::onnx(&path);
    }
    fs::write(&path, &model[..model.len() - 1]).unwrap();
    assert!(Tensors::onnx(&path).is_err());
    let wrong = [1 << 3, 200].repeat(9);
    fs::write(&path, wrong).unwrap();
    assert!(Tensors::onnx(&path).is_err());
    let too_large = [&[1 << 3, 3, 2 << 3, 1], field(8, b"a").as_slice(), &field(9, &values)].concat();
    fs::write(&path, field(7, &field(5, &too_large))).unwrap();
    assert!(Tensors::onnx(&path).is_err(), "three values don't fit into eight bytes");
    fs::remove_dir_all(dir).unwrap();
}

/// A ggml file of one block of q8_0 numbers.
fn ggml_bytes(columns: u32) -> Vec<u8> {
    let mut file = super::ggml::MAGIC.to_vec();
    (1..=10_u32).chain([1, 1, 2]).for_each(|number| file.extend(number.to_le_bytes())); // sizes, type, filters of [1, 2]
    file.extend([0; 8]);
    file.extend(2_u32.to_le_bytes());
    for token in ["a", "bc"] {
        file.extend((token.len() as u32).to_le_bytes());
        file.extend(token.as_bytes());
    }
    for number in [2, 1, 8, columns, 1] {
        file.extend(u32::to_le_bytes(number));
    }
    file.push(b'w');
    file.extend(half::f16::from_f32(2.0).to_le_bytes());
    file.extend((0..32_u8).map(|i| i.wrapping_sub(1)));
    file
}

#[test]
fn ggml_files() {
    let dir = folder("ggml");
    let path = dir.join("ggml-model.bin");
    let whole = ggml_bytes(32);
    fs::write(&path, &whole).unwrap();
    let tensors = Tensors::ggml(&path).unwrap();
    assert!(super::ggml::is_ggml(&path) && !super::ggml::is_ggml(&dir));
    assert_eq!((tensors.scalar("dims.n_vocab"), tensors.scalar("dims.n_mels")), (Some(1.0), Some(10.0)));
    let weight = tensors.get("w").unwrap();
    assert_eq!((weight.dtype(), weight.shape()), (DType::Q8_0, &[1, 32][..]));
    let wanted: Vec<f32> = (0..32).map(|i| 2.0 * (i as f32 - 1.0)).collect();
    assert_eq!(weight.to_f32().unwrap(), wanted);
    assert!(weight.to_f16().is_err() && weight.to_i64().is_err());
    assert_eq!(super::ggml::vocabulary(&path).unwrap(), [b"a".to_vec(), b"bc".to_vec()]);

    let tensor_starts = whole.len() - 34 - 1 - 20;
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(Tensors::ggml(&path).is_ok(), length == tensor_starts, "cut at {length}");
    }
    for columns in [31, 33, 64, u32::MAX] {
        fs::write(&path, ggml_bytes(columns)).unwrap();
        assert!(Tensors::ggml(&path).is_err(), "{columns}");
    }
    fs::remove_dir_all(dir).unwrap();
}

/// A GGUF file with some metadata and one tensor of type `kind`.
fn gguf_bytes(kind: u32, columns: u64, data: &[u8]) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    file.extend(3_u32.to_le_bytes());
    file.extend([1_u64, 4].map(u64::to_le_bytes).concat()); // one tensor, four values
    file.extend([text("general.architecture"), 8_u32.to_le_bytes().to_vec(), text("whisper")].concat());
    file.extend([text("general.alignment"), 4_u32.to_le_bytes().to_vec(), 64_u32.to_le_bytes().to_vec()].concat());
    let words = [9_u32.to_le_bytes(), 8_u32.to_le_bytes()].concat();
    file.extend([text("tokens"), words, 2_u64.to_le_bytes().to_vec(), text("a"), text("bc")].concat());
    file.extend([text("heads"), 5_u32.to_le_bytes().to_vec(), 6_i32.to_le_bytes().to_vec()].concat());
    file.extend([text("weight"), 2_u32.to_le_bytes().to_vec()].concat());
    file.extend([columns, 1].map(u64::to_le_bytes).concat());
    file.extend([kind.to_le_bytes().to_vec(), 0_u64.to_le_bytes().to_vec()].concat());
    file.resize(file.len().next_multiple_of(64), 0);
    file.extend(data);
    file
}

#[test]
fn gguf_files() {
    let dir = folder("gguf");
    let path = dir.join("model.gguf");
    let whole = gguf_bytes(0, 3, &[1.0_f32, -2.0, 0.5].map(f32::to_le_bytes).concat());
    fs::write(&path, &whole).unwrap();
    let tensors = Tensors::gguf(&path).unwrap();
    let weight = tensors.get("weight").unwrap();
    assert_eq!((weight.shape(), weight.to_f32().unwrap()), (&[1, 3][..], vec![1.0, -2.0, 0.5]));
    assert_eq!((tensors.scalar("heads"), tensors.scalar("general.architecture")), (Some(6.0), None));

    // 144 bytes of zeros are a block of q4_K.
    fs::write(&path, gguf_bytes(12, 256, &[0; 144])).unwrap();
    let tensors = Tensors::gguf(&path).unwrap();
    let weight = tensors.get("weight").unwrap();
    assert_eq!((weight.dtype(), weight.to_f32().unwrap()), (super::DType::Q4K, vec![0.0; 256]));

    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(Tensors::gguf(&path).is_err(), "cut at {length}");
    }
    for (kind, columns) in [(12, 128), (16, 256), (0, u64::MAX)] {
        fs::write(&path, gguf_bytes(kind, columns, &[0; 144])).unwrap();
        assert!(Tensors::gguf(&path).is_err(), "{kind} {columns}");
    }
    fs::remove_dir_all(dir).unwrap();
}
