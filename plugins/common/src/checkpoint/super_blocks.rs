//! Blocks of 256 quantised numbers, ggml's "K-quants": groups of 16 or 32 numbers have scales of their own, which are quantised too.
//!
//! A number is `d · scale · q` (`q3_K`, `q6_K`, `q8_K`) or `d · scale · q − dmin · min`. Bits of neighbouring groups share bytes:
//! within each half or quarter of a block, byte `l` has number `l` of one group in its lowest bits, number `l` of the next group in those above.
//!
//! Source: `ggml/src/ggml-common.h: block_q2_K …` and `ggml/src/ggml-quants.c: dequantize_row_q2_K …` of ggml.

use half::f16;

use super::DType;

/// Numbers of a block.
pub(super) const BLOCK: usize = 256;
/// Numbers whose bits share a run of bytes.
const LANES: usize = 32;

/// Bytes of a block; `None` for other types.
pub(super) fn bytes(dtype: DType) -> Option<usize> {
    Some(match dtype {
        DType::Q2K => 16 + BLOCK / 4 + 4,
        DType::Q3K => BLOCK / 8 + BLOCK / 4 + 12 + 2,
        DType::Q4K => 4 + 12 + BLOCK / 2,
        DType::Q5K => 4 + 12 + BLOCK / 8 + BLOCK / 2,
        DType::Q6K => BLOCK / 2 + BLOCK / 4 + 16 + 2,
        DType::Q8K => 4 + BLOCK + 2 * BLOCK / 16,
        _ => return None,
    })
}

/// The numbers of one block, which has the right size; zeros for other types.
pub(super) fn dequantize(dtype: DType, block: &[u8]) -> [f32; BLOCK] {
    match dtype {
        DType::Q2K => q2(block),
        DType::Q3K => q3(block),
        DType::Q4K => q4(block),
        DType::Q5K => q5(block),
        DType::Q6K => q6(block),
        DType::Q8K => q8(block),
        _ => [0.0; BLOCK],
    }
}

fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// Scales and minima (16 · 4 bits each, in the low and high halves of bytes), numbers (2 bits), `d`, `dmin`.
fn q2(block: &[u8]) -> [f32; BLOCK] {
    let (scales, rest) = block.split_at(16);
    let (numbers, rest) = rest.split_at(BLOCK / 4);
    let (d, dmin) = (half(rest), half(&rest[2..]));
    std::array::from_fn(|i| {
        let q = two_bits(numbers, i);
        let scale = scales[i / 16];
        d * f32::from(scale & 0xf) * f32::from(q) - dmin * f32::from(scale >> 4)
    })
}

/// Third bits (32 bytes: bit `i / 32` of byte `i % 32`), numbers (2 bits), scales (16 · 6 bits), `d`.
fn q3(block: &[u8]) -> [f32; BLOCK] {
    let (high, rest) = block.split_at(BLOCK / 8);
    let (numbers, rest) = rest.split_at(BLOCK / 4);
    let (scales, rest) = rest.split_at(12);
    let d = half(rest);
    std::array::from_fn(|i| {
        let group = i / 16;
        // Low four bits in the first eight bytes, two groups to a byte; high two in the last four, four groups to a byte.
        let low = scales[group % 8] >> (4 * (group / 8)) & 0xf;
        let top = scales[8 + group % 4] >> (2 * (group / 4)) & 3;
        let scale = f32::from(low | top << 4) - 32.0;
        let third = high[i % LANES] >> (i / LANES) & 1;
        d * scale * (f32::from(two_bits(numbers, i) | third << 2) - 4.0)
    })
}

/// `d`, `dmin`, scales and minima (8 · 6 bits each), numbers (4 bits).
fn q4(block: &[u8]) -> [f32; BLOCK] {
    let (head, rest) = block.split_at(4);
    let (scales, numbers) = rest.split_at(12);
    let (d, dmin) = (half(head), half(&head[2..]));
    std::array::from_fn(|i| {
        let (scale, min) = scale_and_min(scales, i / LANES);
        d * scale * f32::from(four_bits(numbers, i)) - dmin * min
    })
}

/// `d`, `dmin`, scales and minima (8 · 6 bits each), fifth bits (as the third ones of `q3_K`), numbers (4 bits).
fn q5(block: &[u8]) -> [f32; BLOCK] {
    let (head, rest) = block.split_at(4);
    let (scales, rest) = rest.split_at(12);
    let (high, numbers) = rest.split_at(BLOCK / 8);
    let (d, dmin) = (half(head), half(&head[2..]));
    std::array::from_fn(|i| {
        let (scale, min) = scale_and_min(scales, i / LANES);
        let fifth = high[i % LANES] >> (i / LANES) & 1;
        d * scale * f32::from(four_bits(numbers, i) | fifth << 4) - dmin * min
    })
}

/// Low four bits (halves of 128 numbers: 64 bytes, numbers 0–63 low), high two bits, scales (16 signed bytes), `d`.
fn q6(block: &[u8]) -> [f32; BLOCK] {
    let (low, rest) = block.split_at(BLOCK / 2);
    let (high, rest) = rest.split_at(BLOCK / 4);
    let (scales, rest) = rest.split_at(16);
    let d = half(rest);
    std::array::from_fn(|i| {
        let (part, at) = (i / 128, i % 128);
        let low = low[64 * part + at % 64] >> (4 * (at / 64)) & 0xf;
        let q = f32::from(low | two_bits(high, i) << 4) - 32.0;
        d * f32::from(scales[i / 16] as i8) * q
    })
}

/// `d` (single precision), numbers (signed bytes), their sums (not needed here).
fn q8(block: &[u8]) -> [f32; BLOCK] {
    let d = f32::from_le_bytes([block[0], block[1], block[2], block[3]]);
    std::array::from_fn(|i| d * f32::from(block[4 + i] as i8))
}

/// Number `i` of two bits: of each half of the block, 32 bytes hold four groups of 32.
fn two_bits(bytes: &[u8], i: usize) -> u8 {
    bytes[LANES * (i / 128) + i % LANES] >> (2 * (i % 128 / LANES)) & 3
}

/// Number `i` of four bits: of each quarter of the block, 32 bytes hold two groups of 32.
fn four_bits(bytes: &[u8], i: usize) -> u8 {
    bytes[LANES * (i / 64) + i % LANES] >> (4 * (i % 64 / LANES)) & 0xf
}

/// Scale and minimum of a group of 32: six bits each. The first four groups have bytes to themselves, whose two highest bits are those of
/// the last four groups.
fn scale_and_min(bytes: &[u8], group: usize) -> (f32, f32) {
    let (scale, min) = match group {
        0..4 => (bytes[group] & 63, bytes[group + 4] & 63),
        _ => (bytes[group + 4] & 0xf | bytes[group - 4] >> 6 << 4, bytes[group + 4] >> 4 | bytes[group] >> 6 << 4),
    };
    (f32::from(scale), f32::from(min))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
    }

    #[test]
    fn blocks_hold_what_their_definition_says() {
        // Scale 3, minimum 2 for all groups; number 1 for all but number 200, which is 2.
        let mut block = [vec![0x23; 16], vec![0b01_01_01_01; 64], halves(&[0.5, 0.25])].concat();
        block[16 + 32 + 200 % 32] = 0b01_10_01_01; // second half, third group of four
        let values = dequantize(DType::Q2K, &block);
        assert_eq!((values[0], values[199], values[200]), (1.0, 1.0, 2.5));

        // Scale 33 (1 above the middle), third bit set: q = 1.
        let scales = [vec![0x11; 8], vec![0b10_10_10_10; 4]].concat();
        let mut block = [vec![0xff; 32], vec![0b01_01_01_01; 64], scales, halves(&[0.5])].concat();
        block[200 % 32] &= !(1 << (200 / 32)); // its third bit is off: q = 1 - 4
        let values = dequantize(DType::Q3K, &block);
        assert_eq!((values[0], values[199], values[200]), (0.5, 0.5, -1.5));

        // Groups 0–3 have scale 5 and minimum 6; groups 4–7 scale 16 + 7, minimum 48 + 9.
        let scales = [vec![0b01_000101; 4], vec![0b11_000110; 4], vec![0x97; 4]].concat();
        let mut block = [halves(&[0.5, 0.25]), scales.clone(), vec![0x11; 128]].concat();
        block[16 + 32 * 3 + 200 % 32] = 0x12; // fourth quarter, first group: low bits
        let values = dequantize(DType::Q4K, &block);
        assert_eq!((values[0], values[127]), (0.5 * 5.0 - 0.25 * 6.0, 1.0));
        assert_eq!((values[199], values[200]), (0.5 * 23.0 - 0.25 * 57.0, 0.5 * 46.0 - 0.25 * 57.0));

        let mut block = [halves(&[0.5, 0.25]), scales, vec![0; 32], vec![0x11; 128]].concat();
        block[16 + 200 % 32] = 1 << (200 / 32);
        let values = dequantize(DType::Q5K, &block);
        assert_eq!((values[0], values[127]), (1.0, 1.0));
        assert_eq!((values[199], values[200]), (0.5 * 23.0 - 0.25 * 57.0, 0.5 * 23.0 * 17.0 - 0.25 * 57.0));

        // 16 · 2 + 1 - 32 = 1; scale -2.
        let mut block = [vec![0x11; 128], vec![0b10_10_10_10; 64], vec![-2_i8 as u8; 16], halves(&[0.5])].concat();
        block[64 + 200 % 128 - 64] = 0x51; // second half, numbers 64 and up are high
        block[128 + 32 + 200 % 32] = 0b10_11_10_10;
        let values = dequantize(DType::Q6K, &block);
        assert_eq!((values[0], values[199], values[200]), (-1.0, -1.0, -(48.0 + 5.0 - 32.0)));

        let numbers = (0..=255_u8).collect();
        let block = [0.5_f32.to_le_bytes().to_vec(), numbers, vec![0; 32]].concat();
        let values = dequantize(DType::Q8K, &block);
        assert_eq!((values[1], values[255]), (0.5, -0.5));
    }
}
