//! base16384: bytes as Chinese characters, fourteen bits each.
//!
//! Bits are taken big-endian; the last group is filled with zeros. If the number of bytes is no multiple of seven, a mark at the end says
//! by how much. Source: `pybase16384` (`encode_to_string`, `decode_from_string`).

use super::Problem;

/// The character of fourteen zeros.
const FIRST: u32 = 0x4e00;
/// The mark of no bytes beyond a multiple of seven; it is never written, the next six are.
const MARK: u32 = 0x3d00;
/// Bits of one character.
const BITS: u32 = 14;
/// Bytes that fill four characters.
const BLOCK: usize = 7;

/// Whether the character is a digit.
pub(super) fn is_digit(character: char) -> bool {
    u32::from(character).checked_sub(FIRST).is_some_and(|value| value < 1 << BITS)
}

/// How many bytes there are beyond a multiple of seven, if the character is a mark that says so.
pub(super) fn marked_rest(character: char) -> Option<usize> {
    let rest = usize::try_from(u32::from(character).checked_sub(MARK)?).ok()?;
    (1..BLOCK).contains(&rest).then_some(rest)
}

/// The text of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity((bytes.len() * 8 / 14 + 2) * 3);
    let (mut bits, mut held) = (0_u32, 0);
    let digit = |value: u32| char::from_u32(FIRST + (value & ((1 << BITS) - 1)));
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        held += 8;
        if held >= BITS {
            held -= BITS;
            text.extend(digit(bits >> held));
        }
    }
    if held > 0 {
        text.extend(digit(bits << (BITS - held)));
    }
    let rest = bytes.len() % BLOCK;
    if rest != 0 {
        text.extend(char::from_u32(MARK + rest as u32));
    }
    text
}

/// The bytes of `text`.
///
/// # Errors
/// A character is no digit, or there are too few or too many for the number of bytes that the mark says.
pub fn decode(text: &str) -> Result<Vec<u8>, Problem> {
    let rest = text.chars().next_back().and_then(marked_rest);
    let digits = match rest {
        Some(_) => &text[..text.len() - char::len_utf8('\u{3d01}')],
        None => text,
    };
    let mut bytes = Vec::with_capacity(digits.len() / 3 * 2);
    let (mut bits, mut held, mut count) = (0_u32, 0, 0_usize);
    for (at, character) in digits.chars().enumerate() {
        if !is_digit(character) {
            return Err(Problem::Character { at, character });
        }
        bits = bits << BITS | (u32::from(character) - FIRST);
        held += BITS;
        while held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
        bits &= (1 << held) - 1;
        count += 1;
    }
    // Whole blocks of seven bytes in four characters, then as many characters as the rest needs.
    let rest = rest.unwrap_or(0);
    let wanted = |blocks: usize| blocks * 4 + (rest * 8).div_ceil(BITS as usize);
    let blocks = count.saturating_sub(wanted(0)) / 4;
    if count != wanted(blocks) {
        return Err(Problem::Cut);
    }
    bytes.truncate(blocks * BLOCK + rest);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for (bytes, text) in
            [(&b""[..], ""), (b"\x8c", "焀㴁"), (b"\x0b\x58", "僖一㴂"), (b"\x8d\xae\xc2\xb3\xc7\xa8\xce", "煫稫崞盎")]
        {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text).as_deref(), Ok(bytes));
        }
        for length in 0..50_u8 {
            let bytes: Vec<u8> = (0..length).map(|i| i.wrapping_mul(91) ^ 0x5a).collect();
            assert_eq!(decode(&encode(&bytes)), Ok(bytes));
        }
    }

    #[test]
    fn hostile_texts() {
        assert_eq!(decode("焀x㴁"), Err(Problem::Character { at: 1, character: 'x' }));
        assert_eq!(decode("焀㴁㴁"), Err(Problem::Character { at: 1, character: '㴁' }));
        assert_eq!(decode("焀㴀"), Err(Problem::Character { at: 1, character: '㴀' }));
        assert_eq!(decode("\u{8e00}"), Err(Problem::Character { at: 0, character: '\u{8e00}' }));
        for cut in ["㴁", "焀", "焀㴂", "焀焀㴁", "焀焀焀焀焀"] {
            assert_eq!(decode(cut), Err(Problem::Cut), "{cut}");
        }
    }
}
