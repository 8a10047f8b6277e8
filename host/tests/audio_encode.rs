//! Every output format: what is written, in pieces and whole, and what an independent decoder makes of it.

use syrinx::audio::decode::{Limits, decode};
use syrinx::audio::encode::{EncodeError, EncodeOptions, Format, WholeFile, encoder, to_s16};

const FORMATS: [Format; 7] =
    [Format::Wav, Format::Pcm, Format::Mp3, Format::Flac, Format::Opus, Format::Aac, Format::M4a];

/// Silence, a tone of 440 Hz at amplitude 0.5, silence; a quarter, a half and a quarter of the time.
fn signal(rate: u32, seconds: f64) -> Vec<f32> {
    let n = (f64::from(rate) * seconds) as usize;
    (0..n)
        .map(|i| {
            if (n / 4..n * 3 / 4).contains(&i) {
                (0.5 * (std::f64::consts::TAU * 440.0 * i as f64 / f64::from(rate)).sin()) as f32
            } else {
                0.0
            }
        })
        .collect()
}

fn stream(format: Format, rate: u32, options: &EncodeOptions, pcm: &[f32], step: usize) -> (Vec<u8>, usize) {
    let mut encoder = encoder(format, rate, options).unwrap();
    let mut bytes = Vec::new();
    let mut first_after = usize::MAX;
    for (n, block) in pcm.chunks(step).enumerate() {
        bytes.extend(encoder.push(block).unwrap());
        // Bytes beyond any header: audio.
        if bytes.len() > 1_500 && first_after == usize::MAX {
            first_after = (n + 1) * step;
        }
    }
    bytes.extend(encoder.finish().unwrap().tail);
    (bytes, first_after)
}

fn whole(format: Format, rate: u32, options: &EncodeOptions, pcm: &[f32]) -> Vec<u8> {
    let mut file = WholeFile::new(encoder(format, rate, options).unwrap());
    for block in pcm.chunks(2_400) {
        file.push(block).unwrap();
    }
    file.finish().unwrap()
}

fn as_wav(pcm: Vec<u8>, rate: u32) -> Vec<u8> {
    let mut file = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    file.extend(rate.to_le_bytes());
    file.extend((rate * 2).to_le_bytes());
    file.extend(b"\x02\0\x10\0data\xff\xff\xff\xff");
    file.extend(pcm);
    file
}

/// Signal-to-noise ratio in dB of `got` against `want`.
fn snr(want: &[f32], got: &[f32]) -> f64 {
    let energy = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>();
    let signal = energy(&mut want.iter().map(|&x| f64::from(x)));
    let noise = energy(&mut want.iter().zip(got).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    10.0 * (signal / noise.max(1e-12)).log10()
}

#[test]
fn comes_back_as_it_went_in() {
    for rate in [16_000, 22_050, 24_000, 44_100] {
        let pcm = signal(rate, 1.3);
        for format in FORMATS {
            for file in [
                whole(format, rate, &EncodeOptions::default(), &pcm),
                stream(format, rate, &EncodeOptions::default(), &pcm, 997).0,
            ] {
                let file = if format == Format::Pcm { as_wav(file, rate) } else { file };
                let heard =
                    decode(file, rate, &Limits::default()).unwrap_or_else(|e| panic!("{format} at {rate}: {e}"));
                // Containers without an exact length end with the codec's last frame; ADTS can't even tell the run-in.
                let (late, spare, least) = match format {
                    Format::Wav | Format::Pcm | Format::Flac => (0, 0, 80.0),
                    Format::Opus => (0, 2, 17.0),
                    Format::Mp3 => (0, 3_000, 22.0),
                    Format::M4a => (0, 2_048, 22.0),
                    Format::Aac => (1_024, 3_072, 22.0),
                };
                let got = &heard.samples;
                assert!(
                    got.len() >= pcm.len() - 2 && got.len() <= pcm.len() + spare,
                    "{format} at {rate}: {} samples from {}",
                    got.len(),
                    pcm.len()
                );
                // Players of mp3 without lengths in the first frame hear the run-in of coder and decoder too.
                let lag = best_lag(&pcm, got, 2_500);
                assert!(lag <= late || format == Format::Mp3, "{format} at {rate}: late by {lag}");
                let n = pcm.len().min(got.len() - lag);
                let quality = snr(&pcm[..n], &got[lag..lag + n]);
                assert!(quality > least, "{format} at {rate}: {quality:.1} dB");
            }
        }
    }
}

/// The shift of `got` that fits `want` best.
fn best_lag(want: &[f32], got: &[f32], most: usize) -> usize {
    // The start of the tone is enough to see it.
    let window = want.len() / 5..want.len() / 5 + 6_000;
    let miss = |lag: usize| {
        let heard = &got[(window.start + lag).min(got.len())..];
        want[window.clone()].iter().zip(heard).map(|(a, b)| f64::from((a - b) * (a - b))).sum::<f64>()
    };
    (0..most).min_by(|&a, &b| miss(a).total_cmp(&miss(b))).unwrap()
}

#[test]
fn bytes_flow_while_pcm_comes() {
    for rate in [24_000, 44_100] {
        // Noise, so that every codec has something to write.
        let mut seed = 1u32;
        let pcm: Vec<f32> = (0..rate * 2)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) as f32 / (1 << 24) as f32 - 0.5
            })
            .collect();
        for format in FORMATS {
            let (_, first_after) = stream(format, rate, &EncodeOptions::default(), &pcm, 240);
            let ms = first_after as u64 * 1_000 / u64::from(rate);
            assert!(ms <= 400, "{format} at {rate}: audio leaves after {ms} ms");
        }
    }
}

#[test]
fn the_size_of_blocks_does_not_matter() {
    let pcm = signal(24_000, 0.7);
    for format in FORMATS.into_iter().filter(|&f| f != Format::M4a) {
        let (want, _) = stream(format, 24_000, &EncodeOptions::default(), &pcm, pcm.len());
        for step in [1, 480, 3_001] {
            let (got, _) = stream(format, 24_000, &EncodeOptions::default(), &pcm, step);
            assert!(got == want, "{format} in blocks of {step} differs");
        }
    }
}

#[test]
fn whole_wav_and_flac_tell_their_length() {
    let pcm = signal(24_000, 0.5);
    let wav = whole(Format::Wav, 24_000, &EncodeOptions::default(), &pcm);
    let size = |at: usize| u32::from_le_bytes(wav[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!((size(4), size(40), wav.len()), (wav.len() - 8, pcm.len() * 2, pcm.len() * 2 + 44));
    let (wav, _) = stream(Format::Wav, 24_000, &EncodeOptions::default(), &pcm, 1_000);
    assert_eq!((&wav[4..8], &wav[40..44]), ([0xff; 4].as_slice(), [0xff; 4].as_slice()));
    let flac = whole(Format::Flac, 24_000, &EncodeOptions::default(), &pcm);
    assert_eq!(u32::from_be_bytes(flac[22..26].try_into().unwrap()) as usize, pcm.len());
    assert_ne!(flac[26..42], [0; 16], "checksum");
}

#[test]
fn ogg_opus_tells_the_truth() {
    let pcm = signal(24_000, 0.73);
    let file = whole(Format::Opus, 24_000, &EncodeOptions::default(), &pcm);
    let mut at = 0;
    let mut last_granule = 0;
    let mut pages = 0;
    while at < file.len() {
        assert_eq!(&file[at..at + 4], b"OggS");
        let granule = u64::from_le_bytes(file[at + 6..at + 14].try_into().unwrap());
        let segments = file[at + 26] as usize;
        let body: usize = file[at + 27..at + 27 + segments].iter().map(|&n| n as usize).sum();
        if granule != u64::MAX {
            assert!(granule >= last_granule);
            assert!(pages < 3 || granule - last_granule <= 48_000 / 4, "a page holds more than 250 ms");
            last_granule = granule;
        }
        if at + 27 + segments + body == file.len() {
            assert_eq!(file[at + 5] & 4, 4, "the last page says so");
        }
        at += 27 + segments + body;
        pages += 1;
    }
    let pre_skip = u64::from(u16::from_le_bytes(file[28 + 10..28 + 12].try_into().unwrap()));
    assert_eq!(last_granule, pre_skip + pcm.len() as u64 * 2);
}

#[test]
fn rates_are_converted_when_asked_or_needed() {
    let pcm = signal(24_000, 1.0);
    let options = EncodeOptions { sample_rate: Some(16_000), ..EncodeOptions::default() };
    for format in FORMATS {
        let mut made = encoder(format, 24_000, &options).unwrap();
        assert_eq!(made.sample_rate(), if format == Format::Opus { 48_000 } else { 16_000 }, "{format}");
        let mut file = made.push(&pcm).unwrap();
        file.extend(made.finish().unwrap().tail);
        let file = if format == Format::Pcm { as_wav(file, 16_000) } else { file };
        let heard = decode(file, 16_000, &Limits::default()).unwrap();
        assert!((heard.source.seconds - 1.0).abs() < 0.15, "{format}: {} s", heard.source.seconds);
    }
    assert_eq!(encoder(Format::Mp3, 23_000, &EncodeOptions::default()).unwrap().sample_rate(), 24_000);
    for rate in [0, 7_999, 48_001, u32::MAX] {
        let error =
            encoder(Format::Wav, 24_000, &EncodeOptions { sample_rate: Some(rate), ..EncodeOptions::default() })
                .err()
                .unwrap();
        assert!(matches!(error, EncodeError::Rate { .. }) && error.to_string().contains("8000 to 48000"), "{error}");
    }
}

#[test]
fn odd_pcm_and_odd_use() {
    for format in FORMATS {
        // Nothing at all, and single samples.
        for n in [0, 1, 5] {
            let file = whole(format, 24_000, &EncodeOptions::default(), &vec![0.1; n]);
            assert!(!file.is_empty() || n == 0, "{format} of {n} samples");
        }
        let mut made =
            encoder(format, 24_000, &EncodeOptions { sample_rate: Some(16_000), bitrate: Some(1), speed: None })
                .unwrap();
        made.push(&[f32::NAN, f32::INFINITY, -1e30, 2.0, -2.0]).unwrap();
        made.push(&vec![3.0; 5_000]).unwrap();
        made.finish().unwrap();
        assert!(matches!(made.push(&[0.0]), Err(EncodeError::Finished)), "{format}");
        assert!(matches!(made.finish(), Err(EncodeError::Finished)), "{format}");
        encoder(format, 24_000, &EncodeOptions { bitrate: Some(u32::MAX), ..EncodeOptions::default() })
            .unwrap()
            .push(&[0.5; 3_000])
            .unwrap();
    }
}

#[test]
fn rounding_to_16_bits() {
    for (x, want) in [
        (0.0, 0),
        (1.0, 32_767),
        (-1.0, -32_767),
        (2.0, 32_767),
        (f32::NAN, 0),
        (0.5 / 32_767.0, 1),
        (-0.5 / 32_767.0, -1),
        (0.49 / 32_767.0, 0),
    ] {
        assert_eq!(to_s16(x), want, "{x}");
    }
}
