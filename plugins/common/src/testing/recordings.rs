//! Mono WAV files of 16 bits: those of kits, and those that somebody is to listen to.

use std::fs;
use std::path::Path;

/// Samples of such a file, in −1…1.
///
/// # Errors
/// It can't be read, or holds no samples.
pub fn recording(path: &Path) -> Result<Vec<f32>, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut at = 12;
    while let Some((header, rest)) = bytes.get(at..).and_then(|chunk| chunk.split_first_chunk::<8>()) {
        let (name, size) = header.split_at(4);
        let size = u32::from_le_bytes(size.try_into().unwrap_or_default()) as usize;
        if name == b"data" {
            let (samples, _) = rest[..size.min(rest.len())].as_chunks::<2>();
            return Ok(samples.iter().map(|&pair| f32::from(i16::from_le_bytes(pair)) / 32768.0).collect());
        }
        at += header.len() + size + size % 2;
    }
    Err(format!("{} has no samples", path.display()))
}

/// Such a file of `samples`.
pub fn wav_file(samples: &[i16], sample_rate: u32) -> Vec<u8> {
    const FRAME: u16 = 2; // bytes: one channel of 16 bits
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let mut file = Vec::with_capacity(44 + data.len());
    file.extend(b"RIFF");
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend([1_u16, 1].map(u16::to_le_bytes).concat()); // PCM, one channel
    file.extend([sample_rate, sample_rate * u32::from(FRAME)].map(u32::to_le_bytes).concat());
    file.extend([FRAME, 8 * FRAME].map(u16::to_le_bytes).concat());
    file.extend(b"data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let path = std::env::temp_dir().join(format!("syrinx-recording-{}.wav", std::process::id()));
        let file = wav_file(&[0, 16_384, -32_768], 16_000);
        // A chunk of odd length before the samples.
        let noted = [&file[..36], b"note\x01\0\0\0x\0", &file[36..]].concat();
        for bytes in [&file, &noted] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(recording(&path).unwrap(), [0.0, 0.5, -1.0]);
        }
        fs::write(&path, &file[..36]).unwrap();
        assert!(recording(&path).unwrap_err().contains("no samples"));
        fs::remove_file(&path).unwrap();
        assert!(recording(&path).is_err());
    }
}
