//! When speech begins and ends.

use serde::Deserialize;

/// Settings of the detector, named as in `config.yaml`. Times in ms.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct VadOptions {
    /// 0: stop after the first utterance; 1: find all.
    pub detect_mode: u8,
    /// Silence that ends speech.
    pub max_end_silence_time: f64,
    /// Silence before the first utterance that ends the search in mode 0.
    pub max_start_silence_time: f64,
    /// Window in which speech is counted.
    pub window_size_ms: f64,
    /// Speech in the window that begins an utterance.
    pub sil_to_speech_time_thres: f64,
    /// Speech in the window below which silence begins.
    pub speech_to_sil_time_thres: f64,
    /// Exponent on the probability of silence.
    pub speech_2_noise_ratio: f64,
    /// Whether utterances are widened by the two times below.
    pub do_extend: u8,
    /// Widening at the start.
    pub lookback_time_start_point: f64,
    /// Widening at the end.
    pub lookahead_time_end_point: f64,
    /// Longest utterance.
    pub max_single_segment_time: f64,
    /// Level above the noise that speech needs, dB.
    pub snr_thres: f64,
    /// Frames over which the noise level is averaged.
    pub noise_frame_num_used_for_snr: f64,
    /// Level that speech needs, dB.
    pub decibel_thres: f64,
    /// How much likelier than silence speech has to be.
    pub speech_noise_thres: f64,
    /// Classes of the network that are silence.
    pub sil_pdf_ids: Vec<usize>,
    /// Distance of frames.
    pub frame_in_ms: f64,
}

impl Default for VadOptions {
    fn default() -> Self {
        Self {
            detect_mode: 1,
            max_end_silence_time: 800.0,
            max_start_silence_time: 3000.0,
            window_size_ms: 200.0,
            sil_to_speech_time_thres: 150.0,
            speech_to_sil_time_thres: 150.0,
            speech_2_noise_ratio: 1.0,
            do_extend: 1,
            lookback_time_start_point: 200.0,
            lookahead_time_end_point: 100.0,
            max_single_segment_time: 60_000.0,
            snr_thres: -100.0,
            noise_frame_num_used_for_snr: 100.0,
            decibel_thres: -100.0,
            speech_noise_thres: 0.6,
            sil_pdf_ids: vec![0],
            frame_in_ms: 10.0,
        }
    }
}

/// Silences that end speech, by how long somebody has been speaking: the first entry whose time (ms) isn't exceeded counts.
///
/// Source: FunASR 1.4 `fsmn_vad_streaming/model.py: DEFAULT_SILENCE_SCHEDULE`.
pub(super) const SILENCE_SCHEDULE: [(f64, f64); 7] = [
    (10_000.0, 2000.0),
    (20_000.0, 1000.0),
    (30_000.0, 800.0),
    (40_000.0, 600.0),
    (50_000.0, 400.0),
    (60_000.0, 200.0),
    (f64::INFINITY, 100.0),
];
/// How much likelier than silence speech has to be under the schedule. Source: ibid., `inference`.
pub(super) const SCHEDULED_NOISE_THRESHOLD: f64 = 0.5;
