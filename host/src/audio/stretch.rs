//! Faster or slower speech at the same pitch, for models that have one speed only.
//!
//! The method is WSOLA (waveform similarity overlap-add, Verhelst and Roelands 1993): frames of 30 ms are laid down closer
//! together or further apart, each taken from where the waveform goes on best. This module adds what a stream of speech
//! needs: the attack of its first 15 ms is not faded in, its last sounds are not lost, and the length is exact.

use std::num::{NonZeroU16, NonZeroU32};
use wsola::{MAX_TEMPO, MIN_TEMPO, TimeStretch};

/// Speeds that are possible; 2 is twice as fast.
pub const SPEEDS: std::ops::RangeInclusive<f32> = MIN_TEMPO..=MAX_TEMPO;

const MONO: NonZeroU16 = NonZeroU16::MIN;

/// Why speech can't be stretched.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum StretchError {
    /// A speed outside of [`SPEEDS`].
    #[error("a speed of {speed} is not possible; choose one from {} to {}", SPEEDS.start(), SPEEDS.end())]
    Speed {
        /// What was asked for.
        speed: f32,
    },
    /// Samples without a rate.
    #[error("audio without a sample rate can't be stretched")]
    Rate,
}

/// Changes the speed of mono PCM, block by block.
///
/// After [`finish`](Self::finish), `n` input samples have become exactly `round(n / speed)` output samples, the same ones
/// whatever the sizes of the blocks. About 45 ms of input are held back meanwhile.
pub struct TimeStretcher {
    core: TimeStretch,
    speed: f64,
    /// Length of half a frame in samples: what the core gives at a time.
    hop: usize,
    /// Output to be left out: the core fades its first half frame in, so it gets silence for that.
    lead: usize,
    started: bool,
    /// Input and output samples of this stream so far.
    taken: u64,
    given: u64,
}

impl TimeStretcher {
    /// A stretcher for PCM at `rate` Hz.
    ///
    /// # Errors
    /// When speed or rate is out of range.
    pub fn new(rate: u32, speed: f32) -> Result<Self, StretchError> {
        // A NaN is in no range.
        if !SPEEDS.contains(&speed) {
            return Err(StretchError::Speed { speed });
        }
        let rate = NonZeroU32::new(rate).ok_or(StretchError::Rate)?;
        let mut core = TimeStretch::new(rate, MONO).map_err(|_| StretchError::Rate)?;
        core.set_tempo(speed);
        let hop = core.min_output_buff_size();
        Ok(Self { core, speed: f64::from(speed), hop, lead: hop, started: false, taken: 0, given: 0 })
    }

    /// How many output samples `n` input samples become: `round(n / speed)`.
    pub fn output_len(&self, n: u64) -> u64 {
        (n as f64 / self.speed).round() as u64
    }

    /// Takes a block of input and appends to `out` what is ready.
    pub fn push(&mut self, input: &[f32], out: &mut Vec<f32>) {
        if !std::mem::replace(&mut self.started, true) {
            self.core.push(&vec![0.0; self.hop]);
        }
        self.taken += input.len() as u64;
        self.core.push(input);
        self.pull(out);
    }

    /// Ends the stream: appends the rest to `out` and makes the stretcher ready for another stream.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        let total = self.output_len(self.taken);
        // The core only lays down whole frames that it could choose freely; silence after the end gives it the room.
        let silence = vec![0.0; 4 * self.hop];
        while self.given < total {
            self.core.push(&silence);
            self.pull(out);
        }
        out.truncate(out.len() - (self.given - total) as usize);
        self.core.reset();
        (self.lead, self.started, self.taken, self.given) = (self.hop, false, 0, 0);
    }

    /// Takes what the core has.
    fn pull(&mut self, out: &mut Vec<f32>) {
        loop {
            let begin = out.len();
            out.resize(begin + self.hop, 0.0);
            // An error only says that it needs more input.
            let made = self.core.pull(&mut out[begin..]).unwrap_or(0);
            out.truncate(begin + made);
            let lead = self.lead.min(made);
            out.drain(begin..begin + lead);
            self.lead -= lead;
            self.given += (made - lead) as u64;
            if made == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    const RATE: u32 = 24_000;
    const TESTED: [f32; 9] = [0.25, 0.5, 0.8, 0.95, 1.1, 1.5, 2.0, 3.0, 4.0];

    fn tone(hz: f64, seconds: f64) -> Vec<f32> {
        let count = (seconds * f64::from(RATE)) as usize;
        (0..count).map(|n| (0.5 * (TAU * hz * n as f64 / f64::from(RATE)).sin()) as f32).collect()
    }

    fn stretch(input: &[f32], speed: f32, step: usize) -> Vec<f32> {
        let mut stretcher = TimeStretcher::new(RATE, speed).unwrap();
        let mut out = Vec::new();
        for block in input.chunks(step) {
            stretcher.push(block, &mut out);
        }
        stretcher.finish(&mut out);
        out
    }

    /// Frequency in Hz by the first and last rising zero crossing.
    fn pitch(samples: &[f32]) -> f64 {
        let crossings: Vec<f64> = samples
            .windows(2)
            .enumerate()
            .filter(|(_, pair)| pair[0] < 0.0 && pair[1] >= 0.0)
            .map(|(n, pair)| n as f64 + f64::from(pair[0] / (pair[0] - pair[1])))
            .collect();
        let (first, last) = (crossings[0], crossings[crossings.len() - 1]);
        (crossings.len() - 1) as f64 * f64::from(RATE) / (last - first)
    }

    #[test]
    fn pitch_and_level_stay_and_the_length_is_exact() {
        for speed in TESTED {
            for hz in [90.0, 150.0, 220.0, 440.0, 1000.0] {
                let input = tone(hz, 1.0);
                let out = stretch(&input, speed, 1_000);
                assert_eq!(out.len(), (input.len() as f64 / f64::from(speed)).round() as usize);
                // The last frames border on the silence after the end.
                let inner = &out[..out.len() - RATE as usize / 20];
                let error = (pitch(inner) / hz - 1.0).abs();
                assert!(error < 0.01, "{hz} Hz at {speed}: off by {error}");
                let power = inner.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / inner.len() as f64;
                assert!((power.sqrt() - 0.5 / 2f64.sqrt()).abs() < 0.02, "{hz} Hz at {speed}: level {}", power.sqrt());
            }
        }
    }

    #[test]
    fn nothing_clicks() {
        for speed in TESTED {
            for hz in [150.0, 440.0] {
                let out = stretch(&tone(hz, 2.0), speed, 777);
                let inner = &out[..out.len() - RATE as usize / 20];
                // The steepest a tone of this level gets from one sample to the next.
                let steepest = (0.5 * TAU * hz / f64::from(RATE)) as f32;
                let worst = inner.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
                assert!(worst < 1.25 * steepest, "{hz} Hz at {speed}: a step of {worst}, steepest {steepest}");
            }
        }
    }

    #[test]
    fn the_attack_and_the_end_are_kept() {
        for speed in TESTED {
            let input = tone(440.0, 0.5);
            let out = stretch(&input, speed, 333);
            let loudest = |part: &[f32]| part.iter().fold(0.0f32, |loudest, x| loudest.max(x.abs()));
            let part = RATE as usize / 200; // 5 ms
            assert!(loudest(&out[..part]) > 0.4, "{speed}: begins with {}", loudest(&out[..part]));
            // Half a frame at the end may fade.
            let end = out.len().saturating_sub(RATE as usize / 33);
            assert!(loudest(&out[end..]) > 0.25, "{speed}: ends with {}", loudest(&out[end..]));
        }
    }

    #[test]
    fn blocks_of_any_size_give_the_same_samples() {
        let input: Vec<f32> = tone(170.0, 0.7).iter().zip(tone(1234.0, 0.7)).map(|(a, b)| a * b).collect();
        for speed in [0.5, 1.7] {
            let whole = stretch(&input, speed, input.len());
            for step in [1, 50, 361, 4_096] {
                assert_eq!(stretch(&input, speed, step), whole, "blocks of {step} at {speed}");
            }
        }
    }

    #[test]
    fn short_streams_and_one_after_the_other() {
        let mut stretcher = TimeStretcher::new(RATE, 2.0).unwrap();
        let mut out = Vec::new();
        stretcher.finish(&mut out);
        assert!(out.is_empty());
        stretcher.push(&[0.5; 3], &mut out);
        stretcher.finish(&mut out);
        assert_eq!(out.len(), 2);
        let input = tone(300.0, 0.3);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        stretcher.push(&input, &mut first);
        stretcher.finish(&mut first);
        stretcher.push(&input, &mut second);
        stretcher.finish(&mut second);
        assert_eq!(first, second);
    }

    #[test]
    fn refuses_absurd_speeds() {
        for speed in [0.0, -1.0, 0.2, 4.1, f32::NAN, f32::INFINITY] {
            assert!(TimeStretcher::new(RATE, speed).is_err(), "{speed}");
        }
        assert!(TimeStretcher::new(0, 2.0).is_err());
    }
}
