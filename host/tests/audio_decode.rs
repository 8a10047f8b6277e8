//! Every readable format, as independent encoders write it, against what is known to be in it; and what is no audio.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use syrinx::audio::decode::{DecodeError, Decoded, Decoder, Limits, decode};

const RATE: u32 = 16_000; // Hz, what recognisers ask for

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audio")
}

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn read(bytes: Vec<u8>) -> Result<Decoded, DecodeError> {
    decode(bytes, RATE, &Limits::default())
}

/// Amplitude of the 440 Hz part of `pcm`.
fn tone_level(pcm: &[f32], rate: u32) -> f32 {
    let (mut re, mut im) = (0.0f64, 0.0f64);
    for (n, &x) in pcm.iter().enumerate() {
        let angle = std::f64::consts::TAU * 440.0 * n as f64 / f64::from(rate);
        re += f64::from(x) * angle.cos();
        im += f64::from(x) * angle.sin();
    }
    (2.0 * re.hypot(im) / pcm.len() as f64) as f32
}

fn rms(pcm: &[f32]) -> f32 {
    (pcm.iter().map(|x| x * x).sum::<f32>() / pcm.len().max(1) as f32).sqrt()
}

/// Checks for silence, tone, silence, each at its place.
fn check_content(name: &str, heard: &Decoded, seconds: f64, channels: usize) {
    // Containers that don't tell their codec's run-in.
    let late = match name {
        "aac_16000_1.mkv" => 1_024.0 / 16_000.0,
        "aac_24000_1.aac" => 1_024.0 / 24_000.0,
        "aac_fragmented_44100_1.mp4" | "aac_44100_2.m4a" => 1_024.0 / 44_100.0,
        "mp3_8000_1.mp3" => 1_105.0 / 8_000.0,
        _ => 0.0,
    };
    let pcm = &heard.samples[(late * f64::from(RATE)).round() as usize..];
    let at = |t: f64| (t * f64::from(RATE)) as usize;
    // Time that a codec may smear an edge by.
    let edge = 0.012;
    let before = &pcm[..at(seconds / 4.0 - edge)];
    let tone = &pcm[at(seconds / 4.0 + edge)..at(seconds * 0.75 - edge)];
    let after = &pcm[at(seconds * 0.75 + edge)..];
    let want: f32 = (0..channels).map(|c| 0.5 / (c + 1) as f32).sum::<f32>() / channels as f32;
    let level = tone_level(tone, RATE);
    let lossy = ["mp3", "aac", "opus", "vorbis"].contains(&heard.source.codec.as_str());
    let tolerance = if lossy { 0.09 } else { 0.02 };
    assert!((level / want - 1.0).abs() < tolerance, "{name}: tone has amplitude {level}, expected {want}");
    assert!((rms(tone) / (level / 2f32.sqrt()) - 1.0).abs() < 0.02, "{name}: something else sounds with the tone");
    assert!(rms(before) < 0.01, "{name}: noise of {} before the tone", rms(before));
    assert!(rms(after) < 0.01, "{name}: noise of {} after the tone", rms(after));
    // The edges themselves: the quarter before the tone's start is quiet, the one after it is not.
    let ms3 = at(0.003);
    let start = at(seconds / 4.0);
    assert!(rms(&pcm[start + ms3..start + 3 * ms3]) > want * 0.4, "{name}: the tone comes late");
    assert!(rms(&pcm[start - 3 * ms3..start - ms3]) < want * 0.35, "{name}: the tone comes early");
}

/// Name, container, codec, whether the length is exact to the sample.
const SAMPLES: &[(&str, &str, &str, bool)] = &[
    ("h_u8_8000_1.wav", "wave", "pcm_u8", true),
    ("h_s16_8000_1.wav", "wave", "pcm_s16le", true),
    ("h_s24_8000_1.wav", "wave", "pcm_s24le", true),
    ("h_s32_8000_1.wav", "wave", "pcm_s32le", true),
    ("h_f32_8000_1.wav", "wave", "pcm_f32le", true),
    ("h_f64_8000_1.wav", "wave", "pcm_f64le", true),
    ("h_alaw_8000_1.wav", "wave", "pcm_alaw", true),
    ("h_mulaw_8000_1.wav", "wave", "pcm_mulaw", true),
    ("h_s16ext_8000_7.wav", "wave", "pcm_s16le", true),
    ("h_s24ext_11025_2.wav", "wave", "pcm_s24le", true),
    ("h_s16_8000_1.rf64", "wave", "pcm_s16le", true),
    ("h_s16_8000_1.aiff", "aiff", "pcm_s16be", true),
    ("h_s16_8000_1.caf", "caf", "pcm_s16be", true),
    ("h_flac_44100_2.flac", "flac", "flac", true),
    ("h_vorbis_44100_2.ogg", "ogg", "vorbis", true),
    ("h_vorbis_44100_2.webm", "matroska", "vorbis", false),
    ("mp3_44100_2.mp3", "mp3", "mp3", true),
    ("mp3_8000_1.mp3", "mp3", "mp3", false),
    ("aac_44100_2.m4a", "isomp4", "aac", false),
    ("aac_fragmented_44100_1.mp4", "isomp4", "aac", false),
    ("aac_24000_1.aac", "aac", "aac", false),
    ("aac_16000_1.mkv", "matroska", "aac", false),
    ("alac_22050_1.m4a", "isomp4", "alac", true),
    ("opus_48000_1.ogg", "ogg", "opus", true),
    ("opus_48000_6.ogg", "ogg", "opus", true),
    ("opus_48000_2.webm", "matroska", "opus", false),
    ("opus_48000_1.mp4", "isomp4", "opus", false),
];

/// Rate, channels and seconds out of a sample's name.
fn parts(name: &str) -> (u32, usize, f64) {
    let seconds = if name.starts_with("h_") { 0.5 } else { 1.0 };
    let stem = name.split('.').next().unwrap();
    let mut numbers = stem.rsplit('_');
    let channels = numbers.next().unwrap().parse().unwrap();
    (numbers.next().unwrap().parse().unwrap(), channels, seconds)
}

#[test]
fn every_format_is_heard_as_it_is() {
    let mut faults = Vec::new();
    for &(name, container, codec, exact) in SAMPLES {
        let fault = std::panic::catch_unwind(|| {
            let (rate, channels, seconds) = parts(name);
            let heard = read(sample(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
            let info = &heard.source;
            assert_eq!((info.container.as_str(), info.codec.as_str()), (container, codec), "{name}");
            assert_eq!((info.rate, info.channels), (rate, channels), "{name}");
            assert!(!info.truncated, "{name} is whole");
            let (got, want) = (heard.samples.len() as f64, seconds * f64::from(RATE));
            // Without an exact length in the file, run-in and padding remain.
            let most = if exact { 1.0 } else { 0.160 * f64::from(RATE) };
            assert!(got >= want - 1.0 && got <= want + most, "{name}: {got} samples, expected {want}");
            check_content(name, &heard, seconds, channels);
        });
        if let Err(fault) = fault {
            faults.push(fault.downcast_ref::<String>().cloned().unwrap_or_else(|| name.to_owned()));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_sample_is_tested() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.ends_with(".py") || name.ends_with(".md") || SAMPLES.iter().any(|s| s.0 == name),
            "{name} has no test"
        );
    }
}

#[test]
fn wav_headers_that_were_never_finished() {
    let whole = read(sample("h_s16_8000_1.wav")).unwrap();
    for (riff, data) in [(0, 0), (u32::MAX, u32::MAX), (0, u32::MAX), (36, 0), (0x7fff_ffff, 0x7fff_ffff)] {
        let mut file = sample("h_s16_8000_1.wav");
        file[4..8].copy_from_slice(&u32::to_le_bytes(riff));
        file[40..44].copy_from_slice(&u32::to_le_bytes(data));
        let heard = read(file.clone()).unwrap();
        assert_eq!(heard.samples, whole.samples, "sizes {riff:#x}, {data:#x}");
        // The same while it arrives.
        let mut decoder = Decoder::open_stream(std::io::Cursor::new(file), &Limits::default()).unwrap();
        let mut n = 0;
        while let Some(block) = decoder.next_block().unwrap() {
            n += block.samples.len();
        }
        assert_eq!(n, 4_000, "sizes {riff:#x}, {data:#x}");
    }
}

#[test]
fn cut_off_files_give_what_is_there() {
    for &(name, ..) in SAMPLES {
        let (_, _, seconds) = parts(name);
        let whole = sample(name);
        let result = read(whole[..whole.len() * 6 / 10].to_vec());
        // Nothing can be had without the index at the end of an mp4 file; Symphonia's caf reader wants the whole data chunk;
        // these ogg files are so short that they have one page, which is lost, or end in codec headers.
        if [".m4a", ".mp4", ".caf", ".ogg", "vorbis_44100_2.webm"].iter().any(|end| name.ends_with(end)) {
            if let Err(error) = result {
                assert!(
                    matches!(error, DecodeError::Damaged { .. } | DecodeError::NoSamples { .. }),
                    "{name}: {error}"
                );
            }
            continue;
        }
        let heard = result.unwrap_or_else(|e| panic!("{name}: {e}"));
        let share = heard.samples.len() as f64 / (seconds * f64::from(RATE));
        assert!((0.2..0.95).contains(&share), "{name}: {share:.2} of it came out");
    }
}

#[test]
fn what_is_no_audio_is_told_so() {
    let text = b"The quick brown fox jumps over the lazy dog. ".repeat(500);
    let png = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &[0; 400]].concat();
    let zeros = vec![0u8; 100_000];
    let mut seed = 7u32;
    let noise: Vec<u8> = (0..200_000)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        })
        .collect();
    for (what, bytes) in [
        ("text", text),
        ("png", png),
        ("zeros", zeros),
        ("one byte", vec![b'x']),
        ("json", b"{\"model\": \"whisper\"}".to_vec()),
    ] {
        assert_eq!(read(bytes).err(), Some(DecodeError::NotAudio), "{what}");
    }
    assert!(read(noise).is_err(), "noise");
    assert_eq!(read(Vec::new()).err(), Some(DecodeError::Empty));
    assert_eq!(DecodeError::Empty.to_string(), "file is empty");
    assert!(
        DecodeError::NotAudio
            .to_string()
            .starts_with("file is not audio that this server can read (wav, mp3, flac, ogg")
    );
}

#[test]
fn headers_without_audio() {
    let wav = sample("h_s16_8000_1.wav");
    for end in [12, 20, 36, 44] {
        let error = read(wav[..end].to_vec()).unwrap_err();
        assert!(matches!(error, DecodeError::Damaged { .. } | DecodeError::NoSamples { .. }), "{end}: {error:?}");
    }
    for (name, end) in
        [("h_flac_44100_2.flac", 42), ("opus_48000_1.ogg", 60), ("opus_48000_2.webm", 40), ("mp3_44100_2.mp3", 30)]
    {
        let error = read(sample(name)[..end].to_vec()).unwrap_err();
        assert!(!matches!(error, DecodeError::Empty), "{name}: {error:?}");
    }
}

#[test]
fn limits_hold() {
    let limits = Limits { max_seconds: 0.3, ..Limits::default() };
    for name in ["h_s16_8000_1.wav", "opus_48000_1.ogg", "aac_44100_2.m4a"] {
        assert_eq!(
            decode(sample(name), RATE, &limits).err(),
            Some(DecodeError::TooLong { limit_seconds: 0.3 }),
            "{name}"
        );
    }
    let limits = Limits { max_channels: 2, ..Limits::default() };
    assert_eq!(
        decode(sample("h_s16ext_8000_7.wav"), RATE, &limits).err(),
        Some(DecodeError::Channels { channels: 7, limit: 2 })
    );
    let limits = Limits { rates: 10_000..=96_000, ..Limits::default() };
    assert!(matches!(decode(sample("h_s16_8000_1.wav"), RATE, &limits), Err(DecodeError::Rate { rate: 8_000, .. })));
}

#[test]
fn float_files_with_nonsense_in_them() {
    let mut file = sample("h_f32_8000_1.wav");
    let data = file.windows(4).position(|w| w == b"data").unwrap() + 8;
    for (n, value) in [f32::NAN, f32::INFINITY, -1e38].into_iter().enumerate() {
        file[data + 400 * n..data + 400 * n + 4].copy_from_slice(&value.to_le_bytes());
    }
    let heard = read(file).unwrap();
    assert!(heard.samples.iter().all(|x| x.is_finite() && x.abs() < 40.0));
}

#[test]
fn chained_ogg_is_one_recording() {
    let mut file = sample("opus_48000_1.ogg");
    file.extend(sample("opus_48000_1.ogg"));
    let heard = read(file).unwrap();
    assert_eq!(heard.samples.len(), 2 * RATE as usize);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whatever happens to a file, decoding ends with audio or with an error.
    #[test]
    fn damaged_files_are_survived(
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        cut in any::<prop::sample::Index>(),
        start in 0usize..64,
    ) {
        let limits = Limits { max_seconds: 600.0, ..Limits::default() };
        for &(name, ..) in SAMPLES {
            let mut file = sample(name);
            for (at, byte) in &hits {
                let at = at.index(file.len());
                file[at] = *byte;
            }
            let _ = decode(file.clone(), RATE, &limits);
            // The headers are the beginning; hit them harder.
            for (at, byte) in &hits {
                let at = at.index(file.len().min(400));
                file[at] ^= *byte;
            }
            let _ = decode(file.clone(), RATE, &limits);
            file.truncate(cut.index(file.len()) + 1);
            let _ = decode(file.split_off(start.min(file.len())), RATE, &limits);
        }
    }
}
