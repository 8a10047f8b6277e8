//! Small files that would like to be large: memory and time stay bounded by what is in them and by the limits, not by what
//! they say of themselves.
#![allow(clippy::print_stdout)] // figures, shown with --nocapture

use std::{
    alloc::{GlobalAlloc, Layout, System},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use syrinx::audio::{
    decode::{DecodeError, Limits, decode},
    encode::{EncodeOptions, Format, WholeFile, encoder},
};

const RATE: u32 = 16_000; // Hz, what recognisers ask for

/// Most that decoding a small file may hold beyond its samples: tables of codecs, and one packet.
const OVERHEAD: usize = 32 << 20; // bytes

/// Most that the filter between two rates without a common divisor may hold.
const FILTER: usize = 128 << 20; // bytes

/// Counts what is allocated.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn count(size: usize) {
    let held = HELD.fetch_add(size, Ordering::Relaxed) + size;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

// SAFETY: everything is passed on to the system's allocator, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are the same ones.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One measurement at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Peak of memory above the start, and time.
fn measured<T>(run: impl FnOnce() -> T) -> (T, usize, Duration) {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let begun = Instant::now();
    let result = run();
    (result, PEAK.load(Ordering::Relaxed).saturating_sub(before), begun.elapsed())
}

fn samples() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audio");
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| !name.ends_with(".py") && !name.ends_with(".md"))
        .collect();
    all.sort();
    all
}

fn sample(name: &str) -> Vec<u8> {
    samples().into_iter().find(|(other, _)| other == name).unwrap().1
}

/// Every size, count and length in the headers says "huge", one after the other.
fn huge_headers(step: usize, depth: usize) {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let limits = Limits { max_seconds: 60.0, ..Limits::default() };
    let (mut worst, mut slowest) = ((0, String::new()), (Duration::ZERO, String::new()));
    for (number, (name, file)) in samples().into_iter().enumerate() {
        for at in (number % step..depth.min(file.len().saturating_sub(4))).step_by(step) {
            for value in [[0xff; 4], [0x7f, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0x7f], [0x0f, 0xff, 0xff, 0xf0]] {
                let mut file = file.clone();
                file[at..at + 4].copy_from_slice(&value);
                let what = || format!("{name} with {value:02x?} at {at}");
                let (decoded, peak, time) = measured(|| decode(file, RATE, &limits));
                let kept = decoded.map_or(0, |decoded| decoded.samples.len() * size_of::<f32>());
                // A growing vector is copied: twice, and half as much again, for a moment.
                let beyond = peak.saturating_sub(kept * 3);
                if beyond > worst.0 {
                    worst = (beyond, what());
                }
                if time > slowest.0 {
                    slowest = (time, what());
                }
            }
        }
    }
    println!("most memory: {} kB, {}; longest: {:?}, {}", worst.0 >> 10, worst.1, slowest.0, slowest.1);
    assert!(worst.0 < OVERHEAD, "{} bytes for {}", worst.0, worst.1);
    // Generous: machines that run tests are busy. Without a bound it would be minutes.
    assert!(slowest.0 < Duration::from_secs(10), "{:?} for {}", slowest.0, slowest.1);
}

#[test]
fn declared_sizes_cost_nothing() {
    huge_headers(7, 280);
}

#[test]
#[ignore = "takes minutes; the one above takes samples of it"]
fn declared_sizes_cost_nothing_anywhere() {
    huge_headers(1, 2000);
}

#[test]
fn silence_does_not_grow_beyond_the_limit() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let silence = vec![0.0; 24_000 * 600];
    for format in [Format::Flac, Format::Opus] {
        let mut file = WholeFile::new(encoder(format, 24_000, &EncodeOptions::default()).unwrap());
        file.push(&silence).unwrap();
        let bytes = file.finish().unwrap();
        let size = bytes.len();
        let limits = Limits { max_seconds: 60.0, ..Limits::default() };
        let (result, peak, time) = measured(|| decode(bytes, RATE, &limits));
        println!("600 s of silence as {format:?}: {size} bytes; refused after {time:?} with {} kB", peak >> 10);
        assert_eq!(result.err(), Some(DecodeError::TooLong { limit_seconds: 60.0 }));
        // What 60 s take, thrice because a growing vector is copied.
        assert!(peak < 60 * RATE as usize * 4 * 3 + OVERHEAD / 2 + size, "{peak} bytes");
    }
}

/// A mono 16-bit wav file at `rate`.
fn wav(rate: u32, frames: usize) -> Vec<u8> {
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    file.extend(rate.to_le_bytes());
    file.extend(rate.wrapping_mul(2).to_le_bytes());
    file.extend(b"\x02\0\x10\0data\0\0\0\0");
    file.extend((0..frames).flat_map(|n| ((n * 37 % 2000) as i16).to_le_bytes()));
    file
}

#[test]
fn odd_rates_are_refused_or_cheap() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for rate in [0, 1, 999, 384_001, 4_000_000_000, u32::MAX] {
        assert!(decode(wav(rate, 1000), RATE, &Limits::default()).is_err(), "{rate} Hz");
    }
    // Primes have nothing in common with the target: the worst that can be asked of a converter between whole numbers.
    for (rate, target) in [(1009, 16_000), (7919, 16_000), (47_981, 16_000), (191_999, 24_000), (383_987, 22_050)] {
        let (decoded, peak, time) = measured(|| decode(wav(rate, 10_000), target, &Limits::default()));
        println!("{rate} Hz to {target} Hz: {time:?}, {} kB", peak >> 10);
        assert!(decoded.is_ok(), "{rate} Hz");
        assert!(peak < FILTER, "{rate} Hz: {peak} bytes");
        assert!(time < Duration::from_secs(10), "{rate} Hz: {time:?}");
    }
}

#[test]
fn rates_that_keep_changing_are_given_up() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (vorbis, opus) = (sample("h_vorbis_44100_2.ogg"), sample("opus_48000_1.ogg"));
    // Ogg files in a row are one recording, each with a rate of its own.
    let chain = |links: usize| -> Vec<u8> {
        (0..links).flat_map(|link| if link % 2 == 0 { vorbis.clone() } else { opus.clone() }).collect()
    };
    let (result, peak, time) = measured(|| decode(chain(2000), RATE, &Limits::default()));
    println!("2000 links: {:?} after {time:?} with {} kB", result.as_ref().map(|d| d.source.seconds), peak >> 10);
    assert!(matches!(result, Err(DecodeError::Damaged { .. })), "they are not heard to their end");
    // A few changes, as in recordings of the radio, are fine.
    let heard = decode(chain(10), RATE, &Limits::default()).unwrap();
    assert!((7.0..8.0).contains(&heard.source.seconds), "{} s", heard.source.seconds);
}
