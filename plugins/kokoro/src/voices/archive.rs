//! The two archive formats that voices come in; both are zip files around raw float32 arrays.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use zip::ZipArchive;

/// Largest array that is read: a hundred times the released packs.
const MAX_BYTES: u64 = 52_224_000;

type Archive = ZipArchive<BufReader<File>>;

fn open(path: &Path) -> Result<Archive, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    ZipArchive::new(BufReader::new(file)).map_err(|error| format!("it is no zip archive: {error}"))
}

fn entry_names(archive: &Archive) -> Result<Vec<String>, String> {
    let names = archive.file_names().map(|name| name.map(std::borrow::Cow::into_owned));
    names.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

fn read_entry(archive: &mut Archive, name: &str) -> Result<Vec<u8>, String> {
    let entry = archive.by_name(name).map_err(|error| format!("`{name}`: {error}"))?;
    let mut bytes = Vec::new();
    entry.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| format!("`{name}`: {error}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("`{name}` is larger than {MAX_BYTES} bytes"));
    }
    Ok(bytes)
}

/// Names of the arrays of a NumPy archive.
pub(super) fn npz_names(path: &Path) -> Result<Vec<String>, String> {
    let archive = open(path)?;
    let names = entry_names(&archive)?;
    Ok(names.iter().filter_map(|name| Some(name.strip_suffix(".npy")?.to_owned())).collect())
}

/// The bytes of one float32 array of a NumPy archive, little-endian, row-major.
pub(super) fn npz_array(path: &Path, name: &str) -> Result<Vec<u8>, String> {
    let bytes = read_entry(&mut open(path)?, &format!("{name}.npy"))?;
    npy_data(&bytes).map(<[u8]>::to_vec).map_err(|reason| format!("`{name}.npy`: {reason}"))
}

/// The data part of a `.npy` file (NumPy's NEP 1): magic, version, header length, a Python dict as text, data.
fn npy_data(bytes: &[u8]) -> Result<&[u8], String> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("it does not start like a NumPy array")?;
    let (length, rest) = match rest {
        [1, _, low, high, rest @ ..] => (usize::from(u16::from_le_bytes([*low, *high])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err("its format version is unknown".to_owned()),
    };
    if rest.len() < length {
        return Err("it is cut off".to_owned());
    }
    let (header, data) = rest.split_at(length);
    let header = String::from_utf8_lossy(header).replace(' ', "");
    if !header.contains("'descr':'<f4'") {
        return Err(format!("it is no array of little-endian float32: {}", header.trim_end()));
    }
    if !header.contains("'fortran_order':False") {
        return Err("its order is not row-major".to_owned());
    }
    Ok(data)
}

/// The storage of a torch file that holds a single float32 tensor: `<name>/data/0` (`torch.save` of a contiguous
/// tensor). The pickle beside it is not interpreted; its storage class tells the element type.
pub(super) fn torch_tensor(path: &Path) -> Result<Vec<u8>, String> {
    let mut archive = open(path)?;
    let names = entry_names(&archive)?;
    let find = |suffix: &str| names.iter().find(|name| name.ends_with(suffix)).cloned();
    let (Some(pickle), Some(data)) = (find("/data.pkl"), find("/data/0")) else {
        return Err("it is no torch file with a tensor in it".to_owned());
    };
    if find("/data/1").is_some() {
        return Err("it holds more than one tensor".to_owned());
    }
    if let Some(order) = find("/byteorder")
        && read_entry(&mut archive, &order)?.trim_ascii() != b"little"
    {
        return Err("its byte order is not little-endian".to_owned());
    }
    let pickle = read_entry(&mut archive, &pickle)?;
    if !pickle.windows(b"FloatStorage".len()).any(|window| window == b"FloatStorage") {
        return Err("its tensor is not made of float32".to_owned());
    }
    read_entry(&mut archive, &data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn npy_headers() {
        let good = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }\n", &[1, 2, 3, 4]);
        assert_eq!(npy_data(&good), Ok(&[1, 2, 3, 4][..]));
        assert!(npy_data(&npy("{'descr': '<f8', 'fortran_order': False}", &[])).is_err());
        assert!(npy_data(&npy("{'descr': '<f4', 'fortran_order': True}", &[])).is_err());
        assert!(npy_data(&good[..20]).is_err());
        assert!(npy_data(b"\x93NUMPY\x09").is_err());
        assert!(npy_data(b"").is_err());
    }
}
