//! The two hash functions that spaCy's features and embedding rows are built on (Austin Appleby, MurmurHash, public domain algorithms).

/// Seed of every string hash in spaCy (`strings.pyx: hash_utf8`).
const STRING_SEED: u64 = 1;

/// MurmurHash64A of `bytes` with seed 1: the identity of a string in spaCy's vocabulary.
pub(crate) fn string_hash(bytes: &[u8]) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut h = STRING_SEED ^ (bytes.len() as u64).wrapping_mul(M);
    let mut blocks = bytes.chunks_exact(8);
    for block in &mut blocks {
        let mut k = block.iter().rev().fold(0_u64, |k, &b| k << 8 | u64::from(b));
        k = k.wrapping_mul(M);
        k ^= k >> R;
        h = (h ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    let tail = blocks.remainder();
    if !tail.is_empty() {
        let k = tail.iter().rev().fold(0_u64, |k, &b| k << 8 | u64::from(b));
        h = (h ^ k).wrapping_mul(M);
    }
    h ^= h >> R;
    h = h.wrapping_mul(M);
    h ^ h >> R
}

/// MurmurHash3 x64 128 of the eight little-endian bytes of `value`, as four words (low half first): the four embedding rows of a feature.
pub(crate) fn row_hashes(value: u64, seed: u32) -> [u32; 4] {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    const LENGTH: u64 = 8; // bytes hashed
    fn mix(mut k: u64) -> u64 {
        k ^= k >> 33;
        k = k.wrapping_mul(0xff51_afd7_ed55_8ccd);
        k ^= k >> 33;
        k = k.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        k ^ k >> 33
    }
    let k1 = value.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let mut h1 = (u64::from(seed) ^ k1) ^ LENGTH;
    let mut h2 = u64::from(seed) ^ LENGTH;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    h1 = mix(h1);
    h2 = mix(h2);
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    [h1 as u32, (h1 >> 32) as u32, h2 as u32, (h2 >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that spaCy 3.8 gives.
    #[test]
    fn agrees_with_spacy() {
        assert_eq!(string_hash(b"apple"), 8_566_208_034_543_834_098);
        assert_eq!(string_hash(b"mr."), 1_153_941_636_839_804_325);
        let rows = row_hashes(1_153_941_636_839_804_325, 8).map(|h| h % 5000);
        assert_eq!(rows, [1906, 3637, 4211, 4104]);
    }
}
