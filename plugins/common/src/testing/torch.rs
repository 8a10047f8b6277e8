//! Checkpoints as `torch.save` wrote them before torch 1.6: pickles in a row, then the data. They need no archive.
//!
//! Source: torch `serialization.py: _legacy_save`; Python's `pickletools` for the opcodes.

use std::collections::BTreeMap;

/// The magic number, the version of the format, and the machine: an empty dictionary here.
const PREFACE: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";

/// A file with these tensors under their names: shapes and row-major values.
pub fn torch_file(tensors: &BTreeMap<String, (Vec<usize>, Vec<f32>)>) -> Vec<u8> {
    let mut file = PREFACE.to_vec();
    file.extend(b"\x80\x02}(");
    for (name, (shape, values)) in tensors {
        file.extend(text(name));
        file.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        file.extend([text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text(name), text("cpu")].concat());
        file.extend(integer(values.len()));
        file.extend(b"NtQK\x00("); // no view; as a persistent id; from its first element on
        file.extend(shape.iter().flat_map(|&size| integer(size)));
        file.extend(b"t(");
        file.extend((0..shape.len()).flat_map(|axis| integer(shape[axis + 1..].iter().product())));
        file.extend(b"t\x89ccollections\nOrderedDict\n)RtR"); // needs no gradient, has no hooks
    }
    file.extend(b"u.\x80\x02](");
    file.extend(tensors.keys().flat_map(|name| text(name)));
    file.extend(b"e.");
    for (_, values) in tensors.values() {
        file.extend((values.len() as u64).to_le_bytes());
        file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    file
}

/// `BINUNICODE`.
fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

/// `BININT`: what fits into 31 bits.
fn integer(value: usize) -> Vec<u8> {
    [b"J", &(value as i32).to_le_bytes()[..]].concat()
}

#[cfg(all(test, feature = "checkpoint"))]
mod tests {
    use super::*;
    use crate::checkpoint::Tensors;

    #[test]
    fn what_is_written_is_read() {
        let matrix = (vec![2, 3], vec![1.0, -2.0, 3.0, 4.5, 0.0, -1e-9]);
        let given = BTreeMap::from([("a.weight".to_owned(), matrix), ("b".to_owned(), (vec![1], vec![7.0]))]);
        let read = Tensors::torch_bytes("made", torch_file(&given)).unwrap();
        assert_eq!(read.names().collect::<Vec<_>>(), ["a.weight", "b"]);
        for (name, (shape, values)) in &given {
            let tensor = read.get(name).unwrap();
            assert_eq!((tensor.shape(), &tensor.to_f32().unwrap()), (&shape[..], values), "{name}");
        }
    }
}
