//! Blocks of quantised numbers that share a scale, as ggml stores them: 32 numbers here, 256 in [`super_blocks`].
//!
//! Each block begins with its scale `d` (float16), those of the `_1` types go on with an offset `m` (float16), those of 5 bits with the highest
//! bits of all numbers (32 bits, the first number's lowest); then come the numbers. Of 4 and 5 bits, the low four bits of numbers `i` and
//! `16 + i` share byte `i`, the former in its low half.
//!
//! Source: `ggml/src/ggml-common.h: block_q4_0 …` and `ggml/src/ggml-quants.c: dequantize_row_q4_0 …` of ggml.

use half::f16;

use super::{DType, super_blocks};

/// Numbers of a block.
const BLOCK: usize = 32;

/// Numbers of a block; 1 for types that have no blocks.
pub(super) fn length(dtype: DType) -> usize {
    match bytes(dtype) {
        None => 1,
        Some(_) if super_blocks::bytes(dtype).is_some() => super_blocks::BLOCK,
        Some(_) => BLOCK,
    }
}

/// Bytes of a block; `None` for types that have no blocks.
pub(super) fn bytes(dtype: DType) -> Option<usize> {
    Some(match dtype {
        DType::Q4_0 => 2 + BLOCK / 2,
        DType::Q4_1 => 4 + BLOCK / 2,
        DType::Q5_0 => 2 + 4 + BLOCK / 2,
        DType::Q5_1 => 4 + 4 + BLOCK / 2,
        DType::Q8_0 => 2 + BLOCK,
        _ => return super_blocks::bytes(dtype),
    })
}

/// All numbers of some blocks; none for types that have no blocks.
pub(super) fn dequantize(dtype: DType, data: &[u8]) -> Vec<f32> {
    let Some(size) = bytes(dtype) else { return Vec::new() };
    if super_blocks::bytes(dtype).is_some() {
        return data.chunks_exact(size).flat_map(|block| super_blocks::dequantize(dtype, block)).collect();
    }
    let mut values = Vec::with_capacity(data.len() / size * BLOCK);
    for block in data.chunks_exact(size) {
        let (scale, rest) = half(block);
        match dtype {
            DType::Q4_0 => nibbles(rest, 0, &mut values, |q| scale * (f32::from(q) - 8.0)),
            DType::Q4_1 => {
                let (offset, rest) = half(rest);
                nibbles(rest, 0, &mut values, |q| scale * f32::from(q) + offset);
            }
            DType::Q5_0 => {
                let (high, rest) = high_bits(rest);
                nibbles(rest, high, &mut values, |q| scale * (f32::from(q) - 16.0));
            }
            DType::Q5_1 => {
                let (offset, rest) = half(rest);
                let (high, rest) = high_bits(rest);
                nibbles(rest, high, &mut values, |q| scale * f32::from(q) + offset);
            }
            _ => values.extend(rest.iter().map(|&q| scale * f32::from(q as i8))),
        }
    }
    values
}

fn half(bytes: &[u8]) -> (f32, &[u8]) {
    let (number, rest) = bytes.split_at(2);
    (f16::from_le_bytes([number[0], number[1]]).to_f32(), rest)
}

fn high_bits(bytes: &[u8]) -> (u32, &[u8]) {
    let (bits, rest) = bytes.split_at(4);
    (u32::from_le_bytes([bits[0], bits[1], bits[2], bits[3]]), rest)
}

/// Numbers of four bits and a fifth one.
fn nibbles(bytes: &[u8], high: u32, values: &mut Vec<f32>, value: impl Fn(u8) -> f32) {
    let fifth = |i: usize| ((high >> i & 1) << 4) as u8;
    values.extend(bytes.iter().enumerate().map(|(i, byte)| value((byte & 0xf) | fifth(i))));
    values.extend(bytes.iter().enumerate().map(|(i, byte)| value((byte >> 4) | fifth(BLOCK / 2 + i))));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scale 0.5, offset -2 where the type has one; number `i` is `i % 16`, with the fifth bit for `i >= 24`.
    fn block(dtype: DType) -> Vec<u8> {
        let mut block = f16::from_f32(0.5).to_le_bytes().to_vec();
        if matches!(dtype, DType::Q4_1 | DType::Q5_1) {
            block.extend(f16::from_f32(-2.0).to_le_bytes());
        }
        if matches!(dtype, DType::Q5_0 | DType::Q5_1) {
            block.extend(0xff00_0000_u32.to_le_bytes());
        }
        match dtype {
            DType::Q8_0 => block.extend((0..32_i8).map(|i| (i - 16) as u8)),
            _ => block.extend((0..16_u8).map(|i| i << 4 | i)),
        }
        block
    }

    #[test]
    fn blocks_hold_what_their_definition_says() {
        let number = |i: usize| (i % 16) as f32;
        let fifth = |i: usize| if i >= 24 { 16.0 } else { 0.0 };
        let cases: [(DType, &dyn Fn(usize) -> f32); 5] = [
            (DType::Q4_0, &|i| 0.5 * (number(i) - 8.0)),
            (DType::Q4_1, &|i| 0.5 * number(i) - 2.0),
            (DType::Q5_0, &|i| 0.5 * (number(i) + fifth(i) - 16.0)),
            (DType::Q5_1, &|i| 0.5 * (number(i) + fifth(i)) - 2.0),
            (DType::Q8_0, &|i| 0.5 * (i as f32 - 16.0)),
        ];
        for (dtype, wanted) in cases {
            let two = [block(dtype), block(dtype)].concat();
            assert_eq!(two.len(), 2 * bytes(dtype).unwrap(), "{dtype}");
            let wanted: Vec<f32> = (0..64).map(|i| wanted(i % 32)).collect();
            assert_eq!(dequantize(dtype, &two), wanted, "{dtype}");
        }
        assert!(dequantize(DType::F32, &[0; 64]).is_empty());
    }
}
