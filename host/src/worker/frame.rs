//! Frames: `length u32, kind u8, job u64` (little endian), then `length` bytes of payload.
//!
//! Both ends are the same binary, so there is no version and no negotiation. Documents are JSON; samples are 32-bit floats
//! in the machine's own order.

use std::io::{self, IoSlice, Read, Write};

/// Bytes before the payload.
const HEADER: usize = 13;

/// Samples per frame at most.
pub(super) const SAMPLES: usize = 1 << 18;

/// Longest payload. Documents are far shorter; a longer one means that the other end is confused.
const LONGEST: usize = 64 << 20; // bytes

/// What is sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) job: u64,
    pub(super) payload: Vec<u8>,
}

/// Writes a frame in one go.
///
/// # Errors
/// When the other end is gone, or the payload is too long.
pub(super) fn write(to: &mut impl Write, kind: u8, job: u64, payload: &[u8]) -> io::Result<()> {
    if payload.len() > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("a frame of {} bytes", payload.len())));
    }
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[4] = kind;
    header[5..].copy_from_slice(&job.to_le_bytes());
    let sent = uninterrupted(|| to.write_vectored(&[IoSlice::new(&header), IoSlice::new(payload)]))?;
    if sent < HEADER {
        to.write_all(&header[sent..])?;
    }
    to.write_all(&payload[sent.saturating_sub(HEADER)..])
}

/// Reads a frame; none at the end.
///
/// # Errors
/// When the other end is gone in the middle of a frame, or sends something else.
pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut header = [0; HEADER];
    if uninterrupted(|| from.read(&mut header[..1]))? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut header[1..])?;
    let (length, rest) = header.split_at(4);
    let length = length.iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte));
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let job = rest[1..].iter().rev().fold(0, |job, &byte| job << 8 | u64::from(byte));
    let mut payload = vec![0; length];
    from.read_exact(&mut payload)?;
    Ok(Some(Frame { kind: rest[0], job, payload }))
}

/// Signals that are handled interrupt calls that wait.
fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Samples as bytes, where they are.
pub(super) fn to_bytes(samples: &[f32]) -> &[u8] {
    bytemuck::cast_slice(samples)
}

/// Bytes as samples; what is left over is dropped.
pub(super) fn to_samples(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes and gives one byte at a time, and is interrupted before each.
    struct Slow(Vec<u8>, usize, bool);

    impl Slow {
        fn new(bytes: Vec<u8>) -> Self {
            Self(bytes, 0, false)
        }

        fn interrupt(&mut self) -> io::Result<()> {
            self.2 = !self.2;
            if self.2 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
        }
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.interrupt()?;
            self.0.extend(bytes.first());
            Ok(bytes.len().min(1))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Slow {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.interrupt()?;
            let Some(byte) = self.0.get(self.1) else { return Ok(0) };
            into[0] = *byte;
            self.1 += 1;
            Ok(1)
        }
    }

    #[test]
    fn frames_survive_short_reads_and_writes() {
        let mut pipe = Slow::new(Vec::new());
        let samples = [0.5, -1.0, f32::MIN_POSITIVE];
        write(&mut pipe, 7, u64::MAX - 1, to_bytes(&samples)).unwrap();
        write(&mut pipe, 1, 0, &[]).unwrap();
        let first = read(&mut pipe).unwrap().unwrap();
        assert_eq!((first.kind, first.job), (7, u64::MAX - 1));
        assert_eq!(to_samples(&first.payload).collect::<Vec<_>>(), samples);
        assert_eq!(read(&mut pipe).unwrap(), Some(Frame { kind: 1, job: 0, payload: Vec::new() }));
        assert_eq!(read(&mut pipe).unwrap(), None);
    }

    #[test]
    fn half_a_frame_and_nonsense_are_errors() {
        let mut pipe = Slow::new(Vec::new());
        write(&mut pipe, 7, 1, b"payload").unwrap();
        pipe.0.pop();
        assert_eq!(read(&mut pipe).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let mut nonsense = Slow::new(vec![0xff; 100]);
        assert_eq!(read(&mut nonsense).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
