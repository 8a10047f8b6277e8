//! Sample rate conversion of a stream, with the filter's delay taken out.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

/// Input frames that one FFT block should hold: at 24 kHz 21 ms, of which half is the delay. Long enough that the
/// transition band of the anti-aliasing filter stays below 2 % of the Nyquist frequency, short enough for streaming.
const BLOCK_FRAMES: usize = 512;

/// The lowest and highest rate in Hz that can be converted from or to.
pub const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// Why a conversion can't be set up or went wrong.
#[derive(Debug, thiserror::Error)]
pub enum ResampleError {
    /// A rate outside of [`RATES`].
    #[error("can't convert from {from} Hz to {to} Hz: rates from {} to {} Hz are possible", RATES.start(), RATES.end())]
    Rate {
        /// Rate of the input in Hz.
        from: u32,
        /// Rate asked for in Hz.
        to: u32,
    },
    /// The resampling library refused; a fault in this module.
    #[error("sample rate conversion failed: {0}")]
    Internal(String),
}

/// Converts mono PCM from one rate to another, block by block.
///
/// The filter is linear-phase and its delay is compensated: sample `n` of the input and sample `n · to / from` of the
/// output are the same moment. After [`finish`](Self::finish), `n` input samples have become exactly
/// `ceil(n · to / from)` output samples, whatever the sizes of the blocks.
///
/// Equal rates pass through untouched.
pub struct StreamResampler {
    from: u32,
    to: u32,
    core: Option<Core>,
    /// Input samples so far.
    taken: u64,
    /// Output samples handed out so far.
    given: u64,
}

/// The FFT resampler with its block buffers; absent when there is nothing to convert.
struct Core {
    fft: Fft<f32>,
    /// Input that doesn't fill a block yet.
    pending: Vec<f32>,
    /// One block of output.
    block: Vec<f32>,
    /// Output samples that are still the filter's delay.
    delay: usize,
}

impl StreamResampler {
    /// A converter from `from` Hz to `to` Hz.
    ///
    /// # Errors
    /// When a rate is outside of [`RATES`].
    pub fn new(from: u32, to: u32) -> Result<Self, ResampleError> {
        if !RATES.contains(&from) || !RATES.contains(&to) {
            return Err(ResampleError::Rate { from, to });
        }
        let core = if from == to { None } else { Some(Core::new(from, to)?) };
        Ok(Self { from, to, core, taken: 0, given: 0 })
    }

    /// Rate of the output in Hz.
    pub fn rate(&self) -> u32 {
        self.to
    }

    /// How many output samples `n` input samples become: `ceil(n · to / from)`.
    pub fn output_len(&self, n: u64) -> u64 {
        let exact = u128::from(n) * u128::from(self.to);
        u64::try_from(exact.div_ceil(u128::from(self.from))).unwrap_or(u64::MAX)
    }

    /// Takes a block of input and appends to `out` what is ready.
    ///
    /// # Errors
    /// Only on a fault of the resampling library.
    pub fn push(&mut self, input: &[f32], out: &mut Vec<f32>) -> Result<(), ResampleError> {
        self.taken += input.len() as u64;
        let before = out.len();
        match &mut self.core {
            None => out.extend_from_slice(input),
            Some(core) => core.push(input, out)?,
        }
        self.given += (out.len() - before) as u64;
        Ok(())
    }

    /// Ends the stream: appends the rest to `out` and makes the converter ready for another stream.
    ///
    /// # Errors
    /// Only on a fault of the resampling library.
    pub fn finish(&mut self, out: &mut Vec<f32>) -> Result<(), ResampleError> {
        let missing = self.output_len(self.taken).saturating_sub(self.given);
        self.taken = 0;
        self.given = 0;
        let Some(core) = &mut self.core else { return Ok(()) };
        let end = out.len() + missing as usize;
        let silence = vec![0.0; core.fft.input_frames_next()];
        while out.len() < end {
            core.push(&silence, out)?;
        }
        out.truncate(end);
        core.reset();
        Ok(())
    }
}

impl Core {
    fn new(from: u32, to: u32) -> Result<Self, ResampleError> {
        let fft = Fft::new_custom(
            from as usize,
            to as usize,
            block_frames(from, to),
            1,
            1,
            rubato::WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .map_err(|e| ResampleError::Internal(e.to_string()))?;
        let block = vec![0.0; fft.output_frames_max()];
        let delay = fft.output_delay();
        Ok(Self { fft, pending: Vec::new(), block, delay })
    }

    fn push(&mut self, input: &[f32], out: &mut Vec<f32>) -> Result<(), ResampleError> {
        let frames = self.fft.input_frames_next();
        let mut rest = input;
        if !self.pending.is_empty() {
            let take = rest.len().min(frames - self.pending.len());
            self.pending.extend_from_slice(&rest[..take]);
            rest = &rest[take..];
            if self.pending.len() < frames {
                return Ok(());
            }
            let pending = std::mem::take(&mut self.pending);
            self.block(&pending, out)?;
            self.pending = pending;
            self.pending.clear();
        }
        let mut blocks = rest.chunks_exact(frames);
        for block in &mut blocks {
            self.block(block, out)?;
        }
        self.pending.extend_from_slice(blocks.remainder());
        Ok(())
    }

    fn block(&mut self, input: &[f32], out: &mut Vec<f32>) -> Result<(), ResampleError> {
        let internal = |e: &dyn std::fmt::Display| ResampleError::Internal(e.to_string());
        let capacity = self.block.len();
        let from = InterleavedSlice::new(input, 1, input.len()).map_err(|e| internal(&e))?;
        let mut to = InterleavedSlice::new_mut(&mut self.block, 1, capacity).map_err(|e| internal(&e))?;
        let (_, made) = self.fft.process_into_buffer(&from, &mut to, None).map_err(|e| internal(&e))?;
        let skip = self.delay.min(made);
        self.delay -= skip;
        out.extend_from_slice(&self.block[skip..made]);
        Ok(())
    }

    fn reset(&mut self) {
        self.fft.reset();
        self.pending.clear();
        self.delay = self.fft.output_delay();
    }
}

/// Input frames per block: at least [`BLOCK_FRAMES`] (of output, when the rate falls, for the filter to be as sharp), and a
/// whole, even number of output frames, since half a block is the filter's delay.
fn block_frames(from: u32, to: u32) -> usize {
    let (mut divisor, mut rest) = (from as usize, to as usize);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let unit = from as usize / divisor;
    let least = BLOCK_FRAMES.max(BLOCK_FRAMES * from as usize / to as usize);
    least.div_ceil(unit).next_multiple_of(2) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hz: f64, n: usize) -> Vec<f32> {
        (0..n).map(|i| (0.5 * (std::f64::consts::TAU * hz * i as f64 / f64::from(rate)).sin()) as f32).collect()
    }

    fn convert(from: u32, to: u32, input: &[f32], step: usize) -> Vec<f32> {
        let mut resampler = StreamResampler::new(from, to).unwrap();
        let mut out = Vec::new();
        for block in input.chunks(step) {
            resampler.push(block, &mut out).unwrap();
        }
        resampler.finish(&mut out).unwrap();
        out
    }

    #[test]
    fn keeps_length_phase_and_level() {
        for (from, to) in [
            (44_100, 16_000),
            (48_000, 16_000),
            (8_000, 16_000),
            (22_050, 48_000),
            (24_000, 44_100),
            (11_025, 16_000),
            (16_000, 16_000),
            (7_999, 16_000),
        ] {
            let n = from as usize + 17;
            let out = convert(from, to, &tone(from, 440.0, n), 1_000);
            assert_eq!(out.len(), (n * to as usize).div_ceil(from as usize), "{from} -> {to}");
            let want = tone(to, 440.0, out.len());
            let edge = to as usize / 20;
            let worst = (edge..out.len() - edge).map(|i| (out[i] - want[i]).abs()).fold(0.0, f32::max);
            assert!(worst < 2e-3, "{from} -> {to}: off by {worst}");
        }
    }

    #[test]
    fn removes_what_the_lower_rate_cannot_hold() {
        let out = convert(48_000, 16_000, &tone(48_000, 9_000.0, 48_000), 4_096);
        let level = out[1_000..15_000].iter().map(|x| x.abs()).fold(0.0, f32::max);
        assert!(level < 1e-3, "9 kHz leaks with {level}");
        let out = convert(48_000, 16_000, &tone(48_000, 7_500.0, 48_000), 4_096);
        let level = out[1_000..15_000].iter().map(|x| x.abs()).fold(0.0, f32::max);
        assert!((0.49..0.51).contains(&level), "7.5 kHz comes out with {level}");
    }

    #[test]
    fn blocks_of_any_size_give_the_same_samples() {
        let input = tone(44_100, 1_000.0, 10_000);
        let whole = convert(44_100, 16_000, &input, input.len());
        for step in [1, 7, 441, 5_000] {
            assert_eq!(convert(44_100, 16_000, &input, step), whole, "blocks of {step}");
        }
    }

    #[test]
    fn short_and_empty_streams() {
        assert!(convert(44_100, 16_000, &[], 1).is_empty());
        assert_eq!(convert(44_100, 16_000, &[0.5], 1).len(), 1);
        assert_eq!(convert(8_000, 48_000, &[0.5], 1).len(), 6);
    }

    #[test]
    fn serves_one_stream_after_the_other() {
        let mut resampler = StreamResampler::new(24_000, 16_000).unwrap();
        let input = tone(24_000, 300.0, 5_000);
        let mut first = Vec::new();
        resampler.push(&input, &mut first).unwrap();
        resampler.finish(&mut first).unwrap();
        let mut second = Vec::new();
        resampler.push(&input, &mut second).unwrap();
        resampler.finish(&mut second).unwrap();
        assert_eq!(first, second);
    }

    #[test]
    fn refuses_absurd_rates() {
        assert!(StreamResampler::new(0, 16_000).is_err());
        assert!(StreamResampler::new(16_000, 4_000_000_000).is_err());
    }
}
