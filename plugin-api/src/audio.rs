//! Input audio, whole or arriving.

use crate::abi::RawAudioRef;
use abi_stable::std_types::{ROption, RSliceMut};
use std::{borrow::Cow, fmt};

/// Mono samples of a transcription job. Families that need everything call [`samples`](Self::samples); those that work
/// while the speaker speaks call [`read`](Self::read).
pub struct AudioInput<'a>(Source<'a>);

enum Source<'a> {
    Slice { samples: &'a [f32], position: usize },
    Host(RawAudioRef<'a>),
}

impl<'a> AudioInput<'a> {
    /// All of the audio at once, for tests and for calling a model without a host.
    pub fn from_samples(samples: &'a [f32]) -> Self {
        Self(Source::Slice { samples, position: 0 })
    }

    pub(crate) fn from_host(audio: RawAudioRef<'a>) -> Self {
        Self(Source::Host(audio))
    }

    /// What has not been read yet, to the end; waits for it where it is still arriving. Borrowed when all is there.
    pub fn samples(&mut self) -> Cow<'_, [f32]> {
        const BLOCK: usize = 16_000; // samples, one second at the usual rate
        match &mut self.0 {
            Source::Slice { samples, position } => {
                let rest = &samples[*position..];
                *position = samples.len();
                Cow::Borrowed(rest)
            }
            Source::Host(audio) => {
                if let ROption::RSome(_) = audio.whole() {
                    // Asked again because of the borrow: the first answer can't leave a conditional return.
                    return match audio.whole() {
                        ROption::RSome(samples) => Cow::Borrowed(samples.as_slice()),
                        ROption::RNone => Cow::Borrowed(&[]),
                    };
                }
                let mut all = Vec::new();
                loop {
                    let filled = all.len();
                    all.resize(filled + BLOCK, 0.0);
                    let count = audio.read(RSliceMut::from_mut_slice(&mut all[filled..])).min(BLOCK);
                    all.truncate(filled + count);
                    if count == 0 {
                        return Cow::Owned(all);
                    }
                }
            }
        }
    }

    /// Fills the front of `buffer` with the next samples and says how many; waits for at least one. 0 is the end.
    pub fn read(&mut self, buffer: &mut [f32]) -> usize {
        match &mut self.0 {
            Source::Slice { samples, position } => {
                let count = buffer.len().min(samples.len() - *position);
                buffer[..count].copy_from_slice(&samples[*position..*position + count]);
                *position += count;
                count
            }
            Source::Host(audio) => audio.read(RSliceMut::from_mut_slice(buffer)).min(buffer.len()),
        }
    }
}

impl fmt::Debug for AudioInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Slice { samples, position } => write!(f, "AudioInput({position} of {} samples)", samples.len()),
            Source::Host(_) => f.write_str("AudioInput(host)"),
        }
    }
}
