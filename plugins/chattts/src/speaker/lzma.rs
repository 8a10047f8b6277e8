//! Raw LZMA2: no header, so both sides know the settings, and here also the size.

use std::io::{Read, Write};

use lzma_rust2::{Lzma2Options, Lzma2Reader, Lzma2Writer, LzmaOptions};

use super::Problem;

/// Preset 9 of xz, with what its flag "extreme" changes: the longest match that ends the search, and how far it goes.
const PRESET: u32 = 9;
const EXTREME_NICE_LENGTH: u32 = 273;
const EXTREME_DEPTH: i32 = 512;

/// Bytes of the smallest dictionary.
const SMALLEST_DICTIONARY: usize = 4096;

/// No match reaches back further than the data is long, so a dictionary of that size is enough, whatever the writer had.
fn dictionary(size: usize) -> u32 {
    u32::try_from(size.max(SMALLEST_DICTIONARY)).unwrap_or(u32::MAX)
}

/// `data` compressed.
pub(super) fn compress(data: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut options = LzmaOptions::with_preset(PRESET);
    options.dict_size = dictionary(data.len());
    options.nice_len = EXTREME_NICE_LENGTH;
    options.depth_limit = EXTREME_DEPTH;
    let mut writer = Lzma2Writer::new(Vec::new(), Lzma2Options { lzma_options: options, ..Lzma2Options::default() });
    writer.write_all(data).and_then(|()| writer.finish()).map_err(|e| Problem::Compression(e.to_string()))
}

/// The `size` bytes that were compressed; memory is bounded by `size`.
pub(super) fn decompress(compressed: &[u8], size: usize, what: &'static str) -> Result<Vec<u8>, Problem> {
    let mut reader = Lzma2Reader::new(compressed, dictionary(size), None);
    let mut data = Vec::with_capacity(size + 1);
    // One byte more shows whether there is more.
    reader.by_ref().take(size as u64 + 1).read_to_end(&mut data).map_err(|e| Problem::Damaged(e.to_string()))?;
    if data.len() != size {
        return Err(Problem::Size { bytes: size, what });
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for size in [0, 1, 128, 1536, 100_000] {
            let data: Vec<u8> = (0..size as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 & 0x1f).collect();
            assert_eq!(decompress(&compress(&data).unwrap(), size, "data"), Ok(data));
        }
    }

    #[test]
    fn damaged_and_misleading_data() {
        let compressed = compress(&[7; 1536]).unwrap();
        assert_eq!(decompress(&compressed, 1535, "a test"), Err(Problem::Size { bytes: 1535, what: "a test" }));
        assert_eq!(decompress(&compressed, 1537, "a test"), Err(Problem::Size { bytes: 1537, what: "a test" }));
        for length in 0..compressed.len() {
            assert!(decompress(&compressed[..length], 1536, "a test").is_err(), "cut to {length} bytes");
        }
        for at in 0..compressed.len() {
            for bit in 0..8 {
                let mut damaged = compressed.clone();
                damaged[at] ^= 1 << bit;
                let _ = decompress(&damaged, 1536, "a test"); // an error or other bytes, but no panic
            }
        }
        // Megabytes announced: nothing of that size is made.
        let bomb = compress(&vec![0; 8 << 20]).unwrap();
        assert!(bomb.len() < 4096);
        assert!(decompress(&bomb, 1536, "a test").is_err());
    }
}
