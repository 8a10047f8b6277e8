//! The memory of an FSMN: each channel convolved over time, plus the signal itself, of the frames that count.

use syrinx_plugin_common::kernels::{Isa, Kernel, LANES, Lanes, Parallel, Shared};

use super::columns::Columns;

/// Frames of one task.
const BLOCK: usize = 64;

/// A filter per channel.
#[derive(Clone, Debug)]
pub struct Memory {
    isa: Isa,
    channels: usize,
    taps: usize,
    /// Taps before the current frame.
    left: usize,
    /// `[taps, channels]`, the signal itself added to the current frame's tap.
    weights: Vec<f32>,
}

impl Memory {
    /// Of `weights`, `[channels, taps]`.
    ///
    /// # Errors
    /// Says which extents don't fit.
    pub fn new(isa: Isa, weights: &[f32], channels: usize, left: usize) -> Result<Self, String> {
        let taps = weights.len() / channels.max(1);
        if channels == 0 || weights.len() != channels * taps || left >= taps {
            return Err(format!("{} weights for {channels} channels and {left} frames before", weights.len()));
        }
        let mut transposed: Vec<f32> = (0..taps)
            .flat_map(|tap| (0..channels).map(move |c| (c, tap)))
            .map(|(c, t)| weights[c * taps + t])
            .collect();
        transposed[left * channels..(left + 1) * channels].iter_mut().for_each(|weight| *weight += 1.0);
        Ok(Self { isa, channels, taps, left, weights: transposed })
    }

    /// Of one signal: `x` and `out` are `[frames, channels]`; `mask` has a 0 for each frame that doesn't count.
    ///
    /// # Errors
    /// Says which extents don't fit.
    pub fn run(&self, x: Columns<'_>, mask: &[f32], out: &mut [f32], parallel: &Parallel<'_>) -> Result<(), String> {
        let frames = mask.len();
        let fits = x.is_whole() && x.rows() == frames && x.width == self.channels;
        if !fits || out.len() != frames * self.channels {
            return Err(format!("{} · {} values for {frames} frames of {} channels", x.rows(), x.width, self.channels));
        }
        let shared = Shared::new(out);
        parallel(frames.div_ceil(BLOCK), &|task| {
            for frame in task * BLOCK..frames.min((task + 1) * BLOCK) {
                // SAFETY: each frame is of one task.
                let out = unsafe { shared.part(frame * self.channels, self.channels) };
                self.isa.run(Frame { memory: self, x, mask, frame, out });
            }
        });
        Ok(())
    }
}

/// One frame.
struct Frame<'a> {
    memory: &'a Memory,
    x: Columns<'a>,
    mask: &'a [f32],
    frame: usize,
    out: &'a mut [f32],
}

impl Kernel for Frame<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { memory, x, mask, frame, out } = self;
        if mask[frame] == 0.0 {
            out.fill(0.0);
            return;
        }
        let channels = memory.channels;
        let first = memory.left.saturating_sub(frame);
        let last = memory.taps.min(mask.len() + memory.left - frame);
        let (blocks, rest) = out.as_chunks_mut::<LANES>();
        let rest_start = blocks.len() * LANES;
        for (block, out) in blocks.iter_mut().enumerate() {
            let mut sums = l.splat(0.0);
            for tap in first..last {
                let from = frame + tap - memory.left;
                if mask[from] != 0.0
                    && let Some(x) = x.from(from, block * LANES).first_chunk()
                    && let Some(weights) = memory.weights[tap * channels + block * LANES..].first_chunk()
                {
                    sums = l.mul_add(l.load(x), l.load(weights), sums);
                }
            }
            l.store(sums, out);
        }
        for (lane, out) in rest.iter_mut().enumerate() {
            *out = 0.0;
            for tap in first..last {
                let from = frame + tap - memory.left;
                if mask[from] != 0.0 {
                    let channel = rest_start + lane;
                    *out += x.from(from, channel)[0] * memory.weights[tap * channels + channel];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::one_after_the_other;

    #[test]
    fn it_is_a_convolution_of_what_counts() {
        for isa in Isa::available() {
            for (channels, taps, left, frames, counted) in [(16, 11, 5, 100, 90), (20, 3, 0, 7, 7), (5, 4, 3, 2, 1)] {
                let x: Vec<f32> = (0..channels * frames).map(|i| (i as f32 * 0.7).sin()).collect();
                let w: Vec<f32> = (0..channels * taps).map(|i| (i as f32 * 1.3).cos()).collect();
                let mask: Vec<f32> = (0..frames).map(|t| f32::from(u8::from(t < counted))).collect();
                let mut out = vec![f32::NAN; x.len()];
                let memory = Memory::new(isa, &w, channels, left).unwrap();
                memory.run(Columns::all(&x, channels), &mask, &mut out, &one_after_the_other).unwrap();
                for (at, got) in out.iter().enumerate() {
                    let (t, c) = (at / channels, at % channels);
                    let heard = |t: usize| f64::from(x[t * channels + c]);
                    let mut want = 0.0;
                    if t < counted {
                        want = heard(t);
                        for tap in 0..taps {
                            let from = (t + tap).checked_sub(left).filter(|from| *from < counted);
                            want += from.map_or(0.0, |from| heard(from) * f64::from(w[c * taps + tap]));
                        }
                    }
                    assert!((f64::from(*got) - want).abs() < 1e-5, "{isa:?} {channels} {t} {c}: {got} {want}");
                }
            }
        }
    }
}
