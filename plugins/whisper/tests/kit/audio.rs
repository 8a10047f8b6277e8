//! The kit's clips as 16 kHz mono, and the ops on them up to the log-mel.

use std::f64::consts::PI;
use std::fs::File;
use std::path::Path;

use serde_json::Value;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::TrackType;
use symphonia::core::formats::probe::Hint;
use symphonia::core::io::MediaSourceStream;
use syrinx_plugin_common::dsp::slaney_filters;
use syrinx_plugin_common::kits::{Case, Got, Op};
use syrinx_plugin_whisper::frontend::{LogMel, MelExtractor, N_FFT, SAMPLE_RATE, WINDOW_FRAMES, WINDOW_SAMPLES};
use syrinx_plugin_whisper::sound::Sound;

pub(crate) const OPS: &[Op] = &[
    Op::new("audio.decode", decode_op).remarks(&["expect.rms"]),
    Op::new("frontend.mel_filters", mel_filters),
    Op::new("frontend.log_mel", log_mel),
    Op::new("frontend.log_mel_clip", log_mel_clip),
];

/// The audio that `params.audio` describes.
pub(crate) fn clips(case: &Case) -> Result<Vec<f32>, String> {
    join(case, &case.param::<Value>("audio")?)
}

/// The audio that such a list describes (or one path).
pub(crate) fn join(case: &Case, list: &Value) -> Result<Vec<f32>, String> {
    let parts: Vec<&Value> = match list {
        Value::Array(parts) => parts.iter().collect(),
        one => vec![one],
    };
    let mut samples = Vec::new();
    for part in parts {
        let number = |name: &str| part.get(name).and_then(Value::as_f64);
        if let Some(path) = part.as_str() {
            samples.extend(decode(&case.root.join(path))?.samples);
        } else if let Some(seconds) = number("silence") {
            samples.resize(samples.len() + length(seconds), 0.0);
        } else if let Some(seconds) = number("noise") {
            let amplitude = number("amp").unwrap_or(1.0) as f32;
            let mut state = number("seed").unwrap_or(0.0) as u32;
            samples.extend((0..length(seconds)).map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((state >> 16) as f32 - 32768.0) / 32768.0 * amplitude
            }));
        } else if let Some(path) = part.get("clip").and_then(Value::as_str) {
            let clip = decode(&case.root.join(path))?.samples;
            let start = length(number("start").unwrap_or(0.0)).min(clip.len());
            let end = number("dur").map_or(clip.len(), |dur| (start + length(dur)).min(clip.len()));
            let gain = number("gain").unwrap_or(1.0) as f32;
            samples.extend(clip[start..end].iter().map(|s| s * gain));
        } else {
            return Err(format!("params.audio has an unknown part: {part}"));
        }
    }
    Ok(samples)
}

fn length(seconds: f64) -> usize {
    (seconds * f64::from(SAMPLE_RATE)).round_ties_even() as usize
}

/// The window that a case's `mel_mode` cuts from its audio, `[n_mels, 3000]`, and the number of frames with content.
pub(crate) fn window(audio: &[f32], mode: &str, n_mels: usize) -> Result<(Vec<f32>, usize), String> {
    let extractor = MelExtractor::new(n_mels);
    let listen = |audio, padding: usize| extractor.listen(Sound::whole(audio), padding).map_err(|e| e.to_string());
    let content = audio.len() / 160;
    let mel = match mode {
        "transcribe" => listen(audio, WINDOW_SAMPLES)?.window(0, content),
        "file" => listen(audio, WINDOW_SAMPLES)?.window(0, WINDOW_FRAMES),
        "pad_audio" => {
            let cut = &audio[..audio.len().min(WINDOW_SAMPLES)];
            listen(cut, WINDOW_SAMPLES - cut.len())?.window(0, WINDOW_FRAMES)
        }
        other => return Err(format!("unknown mel_mode {other}")),
    };
    Ok((mel, content.min(WINDOW_FRAMES)))
}

/// Relative difference of loudness between resamplers.
const RMS_TOLERANCE: f64 = 1e-4;

struct Decoded {
    /// 16 kHz mono with the resolution of 16 bits.
    samples: Vec<f32>,
    rate: u32,
    channels: usize,
}

fn decode(path: &Path) -> Result<Decoded, String> {
    let (mono, rate, channels) = read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let samples = if rate == SAMPLE_RATE { mono } else { resample(&mono, rate) };
    let samples =
        samples.into_iter().map(|s| (s * 32768.0).round_ties_even().clamp(-32768.0, 32767.0) / 32768.0).collect();
    Ok(Decoded { samples, rate, channels })
}

/// All samples, channels averaged.
fn read(path: &Path) -> Result<(Vec<f32>, u32, usize), Box<dyn std::error::Error>> {
    let mut hint = Hint::new();
    if let Some(extension) = path.extension().and_then(|e| e.to_str()) {
        hint.with_extension(extension);
    }
    let stream = MediaSourceStream::new(Box::new(File::open(path)?), Default::default());
    let mut format = symphonia::default::get_probe().probe(&hint, stream, Default::default(), Default::default())?;
    let track = format.default_track(TrackType::Audio).ok_or("no audio track")?;
    let id = track.id;
    let parameters = track.codec_params.as_ref().and_then(|p| p.audio()).ok_or("no codec parameters")?;
    let mut decoder =
        symphonia::default::get_codecs().make_audio_decoder(parameters, &AudioDecoderOptions::default())?;
    let (mut mono, mut interleaved) = (Vec::new(), Vec::<f32>::new());
    let (mut rate, mut channels) = (0, 1);
    while let Some(packet) = format.next_packet()? {
        if packet.track_id != id {
            continue;
        }
        let buffer = decoder.decode(&packet)?;
        rate = buffer.spec().rate();
        channels = buffer.spec().channels().count();
        interleaved.resize(buffer.samples_interleaved(), 0.0);
        buffer.copy_to_slice_interleaved(&mut interleaved);
        mono.extend(interleaved.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32));
    }
    Ok((mono, rate, channels))
}

/// To 16 kHz by the windowed sinc that libswresample uses by default: 32 taps at the lower rate, Kaiser window with β = 9,
/// cut-off at 0.97 of the lower Nyquist frequency.
fn resample(samples: &[f32], rate: u32) -> Vec<f32> {
    const TAPS: f64 = 32.0;
    const BETA: f64 = 9.0;
    const CUTOFF: f64 = 0.97;
    let step = f64::from(rate) / f64::from(SAMPLE_RATE);
    let factor = (CUTOFF / step).min(1.0);
    let taps = (TAPS / factor).ceil();
    let count = (samples.len() as f64 / step).round() as usize;
    (0..count)
        .map(|i| {
            let centre = i as f64 * step;
            let first = (centre - taps / 2.0).ceil() as i64;
            let (mut sum, mut weight) = (0.0, 0.0);
            for k in first..first + taps as i64 {
                let distance = k as f64 - centre;
                let x = PI * distance * factor;
                let sinc = if x == 0.0 { 1.0 } else { x.sin() / x };
                let inside = (1.0 - (2.0 * distance / taps).powi(2)).max(0.0);
                let w = sinc * bessel_i0(BETA * inside.sqrt());
                weight += w;
                sum += w * f64::from(usize::try_from(k).ok().and_then(|k| samples.get(k)).copied().unwrap_or(0.0));
            }
            (sum / weight) as f32
        })
        .collect()
}

fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-12 {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

fn decode_op(case: &Case) -> Result<Got, String> {
    let path: String = case.param("audio")?;
    let (start, stop): (usize, usize) = (case.param("start")?, case.param("stop")?);
    let decoded = decode(&case.root.join(path))?;
    let part = decoded.samples.get(start..stop).ok_or("the clip is too short")?;
    // The case states no tolerance for this one, but resamplers differ.
    let square: f64 = decoded.samples.iter().map(|&s| f64::from(s).powi(2)).sum();
    let rms = (square / decoded.samples.len() as f64).sqrt();
    let wanted = case.expect["rms"].as_f64().ok_or("expect.rms is missing")?;
    if (rms / wanted - 1.0).abs() > RMS_TOLERANCE {
        return Err(format!("the RMS is {rms}, wanted {wanted}"));
    }
    Ok(Got::new()
        .i64("out.pcm_s16", &[part.len()], part.iter().map(|s| (s * 32768.0) as i64).collect())
        .value("n_samples", decoded.samples.len())
        .value("source_rate", decoded.rate)
        .value("source_channels", decoded.channels))
}

fn mel_filters(case: &Case) -> Result<Got, String> {
    let (n_mels, rate, n_fft): (usize, u32, usize) = (case.param("n_mels")?, case.param("sr")?, case.param("n_fft")?);
    Ok(Got::new().f32("out.filters", &[n_mels, N_FFT / 2 + 1], slaney_filters(rate, n_fft, n_mels)))
}

fn log_mel(case: &Case) -> Result<Got, String> {
    let (n_mels, padding, crop): (usize, usize, usize) =
        (case.param("n_mels")?, case.param("padding")?, case.param("crop_frames")?);
    let audio = case.tensor("in.audio")?.to_f32();
    let mel = MelExtractor::new(n_mels).extract(&audio, padding).map_err(|e| e.to_string())?;
    let columns: Vec<usize> = (0..crop).collect();
    let last: Vec<f32> = mel.values().chunks_exact(mel.frames()).filter_map(|row| row.last().copied()).collect();
    let wanted = case.expect["last_column"].as_array().map_or(0, Vec::len);
    let ends: Vec<f32> = match wanted {
        2 => vec![last[0], last[last.len() - 1]],
        _ => last,
    };
    Ok(statistics(columns_of(&mel, &columns)?, &mel).value("last_column", ends))
}

fn log_mel_clip(case: &Case) -> Result<Got, String> {
    let (n_mels, padding): (usize, usize) = (case.param("n_mels")?, case.param("padding")?);
    let mel = MelExtractor::new(n_mels).extract(&clips(case)?, padding).map_err(|e| e.to_string())?;
    let columns: Vec<usize> = case.tensor("in.cols")?.to_i64()?.into_iter().map(|c| c as usize).collect();
    let values: Vec<f64> = mel.values().iter().map(|&v| f64::from(v)).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
    let tail = mel.values()[mel.frames() - 1];
    Ok(statistics(columns_of(&mel, &columns)?, &mel).value("std", variance.sqrt()).value("tail_value", tail))
}

fn columns_of(mel: &LogMel, columns: &[usize]) -> Result<Got, String> {
    if columns.iter().any(|&c| c >= mel.frames()) {
        return Err(format!("there are {} frames only", mel.frames()));
    }
    let rows = mel.values().chunks_exact(mel.frames());
    let values = rows.flat_map(|row| columns.iter().map(|&c| row[c])).collect();
    Ok(Got::new().f32("out.mel", &[mel.n_mels(), columns.len()], values))
}

fn statistics(got: Got, mel: &LogMel) -> Got {
    let values = mel.values();
    got.value("n_frames", mel.frames())
        .value("min", values.iter().copied().fold(f32::INFINITY, f32::min))
        .value("max", values.iter().copied().fold(f32::NEG_INFINITY, f32::max))
        .value("mean", values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64)
}
