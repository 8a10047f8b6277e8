//! Audio: whatever comes in, what goes on to a model is finite, mono, at the right rate and no longer than allowed.

use super::Dice;
use crate::audio::decode::{self as decoding, Decoder, Limits};
use std::io::Cursor;

/// Small, so that a fuzzer can reach it.
const LONGEST: f64 = 20.0; // seconds
/// In Hz, what recognisers ask for.
const RATE: u32 = 16_000;
/// Loudest sample that may leave: the decoder clips at 16, and the resampler's filter rings a little over that.
const LOUDEST: f32 = 64.0;

fn limits() -> Limits {
    Limits { max_seconds: LONGEST, ..Limits::default() }
}

/// A whole file.
pub fn decode(data: &[u8]) {
    let Ok(decoded) = decoding::decode(data.to_vec(), RATE, &limits()) else { return };
    let limits = limits();
    assert_eq!(decoded.rate, RATE);
    assert!(!decoded.samples.is_empty(), "a file without samples is an error");
    assert!(decoded.samples.iter().all(|sample| sample.is_finite() && sample.abs() <= LOUDEST), "samples are sound");
    assert!(decoded.source.seconds <= limits.max_seconds, "{} s", decoded.source.seconds);
    // Every stretch of another rate is rounded up by a sample.
    let most = limits.max_seconds * f64::from(RATE) + 1000.0;
    assert!((decoded.samples.len() as f64) < most, "{} samples", decoded.samples.len());
    assert!((1..=limits.max_channels).contains(&decoded.source.channels), "{} channels", decoded.source.channels);
    assert!(limits.rates.contains(&decoded.source.rate), "{} Hz", decoded.source.rate);
}

/// The same file while it arrives: block by block, without its end in sight.
pub fn streamed(data: &[u8]) {
    let Ok(mut decoder) = Decoder::open_stream(Cursor::new(data.to_vec()), &limits()) else { return };
    let limits = limits();
    let mut seconds = 0.0;
    while let Ok(Some(block)) = decoder.next_block() {
        assert!(!block.samples.is_empty() && limits.rates.contains(&block.rate));
        assert!(block.samples.iter().all(|sample| sample.is_finite() && sample.abs() <= LOUDEST));
        seconds += block.samples.len() as f64 / f64::from(block.rate);
    }
    assert!(seconds <= limits.max_seconds, "{seconds} s");
}

/// A wav file whose header the input chooses, field by field, with samples behind it.
pub fn wav(data: &[u8]) {
    let mut dice = Dice(data);
    let choice = dice.byte();
    let mut file = [b"RIFF", b"RF64", b"BW64", b"RIFX"][usize::from(choice % 4)].to_vec();
    file.extend(size(&mut dice).to_le_bytes());
    file.extend(b"WAVE");
    if choice & 0x10 != 0 {
        let length = usize::from(dice.byte() % 32);
        file.extend(b"ds64");
        file.extend((length as u32).to_le_bytes());
        file.extend(dice.take(length));
    }
    if choice & 0x20 != 0 {
        let length = usize::from(dice.byte() % 64);
        file.extend(b"LIST");
        file.extend(size(&mut dice).to_le_bytes());
        file.extend(dice.take(length));
    }
    let format = [1u16, 3, 6, 7, 0xfffe, 2, 0x11, dice.u16()][usize::from(dice.byte() % 8)];
    let bits = [8u16, 16, 24, 32, 64, 4, 0, dice.u16()][usize::from(dice.byte() % 8)];
    let channels = [1u16, 2, 6, 0, dice.u16()][usize::from(dice.byte() % 5)];
    let rate = [8_000, 16_000, 44_100, 1, 0, u32::MAX, dice.u32(), u32::from(dice.u16())][usize::from(dice.byte() % 8)];
    let align = if dice.byte() % 4 == 0 { dice.u16() } else { channels.wrapping_mul(bits / 8) };
    let extension = if format == 0xfffe { 22u16 } else { 0 };
    file.extend(b"fmt ");
    file.extend(
        if choice & 0x40 == 0 { 16 + u32::from(extension) + u32::from(extension > 0) * 2 } else { size(&mut dice) }
            .to_le_bytes(),
    );
    file.extend(format.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend(rate.wrapping_mul(u32::from(align)).to_le_bytes());
    file.extend(align.to_le_bytes());
    file.extend(bits.to_le_bytes());
    if extension > 0 {
        file.extend(extension.to_le_bytes());
        file.extend(bits.to_le_bytes());
        file.extend(dice.u32().to_le_bytes());
        file.extend(u16::from(dice.byte() % 8).to_le_bytes());
        file.extend(b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
    }
    file.extend(b"data");
    file.extend(size(&mut dice).to_le_bytes());
    file.extend(dice.0);
    decode(&file);
    streamed(&file);
}

/// A size field: unfinished in the usual ways, true for a short file, or anything.
fn size(dice: &mut Dice<'_>) -> u32 {
    [0, u32::MAX, 0x7fff_ffff, u32::from(dice.byte()), dice.u32()][usize::from(dice.byte() % 5)]
}
