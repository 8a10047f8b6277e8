//! The bytes of a file as Symphonia wants to read them, with unfinished headers put right.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

/// How much of the beginning is looked at for a wav header. Players put their metadata behind or in front of the samples;
/// a header that is longer than this is left as it is.
const HEADER_BYTES: usize = 64 * 1024;

/// A size field that says "until the end of the stream".
const UNKNOWN_SIZE: u32 = u32::MAX;

/// A file in memory whose first bytes may have been corrected.
pub(super) struct MemorySource<B> {
    /// Corrected copy of the first bytes; empty if nothing had to be corrected.
    head: Vec<u8>,
    body: Cursor<B>,
}

impl<B: AsRef<[u8]>> MemorySource<B> {
    pub(super) fn new(bytes: B) -> Self {
        let all = bytes.as_ref();
        let mut head = all[..all.len().min(HEADER_BYTES)].to_vec();
        let changed =
            finish_wav_header(&mut head, Some(all.len() as u64)) || finish_aiff_header(&mut head, all.len() as u64);
        if !changed {
            head = Vec::new();
        }
        Self { head, body: Cursor::new(bytes) }
    }
}

impl<B: AsRef<[u8]>> Read for MemorySource<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.head.get(self.body.position() as usize..) {
            Some(rest) if !rest.is_empty() => {
                let n = rest.len().min(buffer.len());
                buffer[..n].copy_from_slice(&rest[..n]);
                self.body.set_position(self.body.position() + n as u64);
                Ok(n)
            }
            _ => self.body.read(buffer),
        }
    }
}

impl<B: AsRef<[u8]>> Seek for MemorySource<B> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.body.seek(to)
    }
}

impl<B: AsRef<[u8]> + Send + Sync> MediaSource for MemorySource<B> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.body.get_ref().as_ref().len() as u64)
    }
}

/// Corrects the size fields of a wav file in `head` (its first bytes): a size of zero, or one that reaches beyond the end
/// of the file, becomes [`UNKNOWN_SIZE`]. RF64 and BW64 files, whose real sizes are in a `ds64` chunk, become plain RIFF.
/// True if anything was changed.
///
/// `file_len` is the length of the file if it is known.
pub(super) fn finish_wav_header(head: &mut [u8], file_len: Option<u64>) -> bool {
    let kind: [u8; 4] = match head.get(..4).and_then(|k| k.try_into().ok()) {
        Some(kind) => kind,
        None => return false,
    };
    if !matches!(&kind, b"RIFF" | b"RF64" | b"BW64") || head.get(8..12) != Some(b"WAVE") {
        return false;
    }
    let mut changed = false;
    let mut set = |head: &mut [u8], at: usize, value: &[u8; 4]| {
        if head[at..at + 4] != *value {
            head[at..at + 4].copy_from_slice(value);
            changed = true;
        }
    };
    set(head, 0, b"RIFF");
    let size_at = |head: &[u8], at: usize| head.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let beyond = |start: usize, size: u32| file_len.is_some_and(|len| start as u64 + u64::from(size) > len);

    // The RIFF size must at least cover the chunks that follow; nothing is gained by believing it.
    set(head, 4, &UNKNOWN_SIZE.to_le_bytes());

    let mut at = 12;
    // Data size out of a ds64 chunk: 64-bit, at offset 8 of its body.
    let mut ds64 = None;
    while let Some(size) = size_at(head, at + 4) {
        let body = at + 8;
        match &head[at..at + 4] {
            b"ds64" => {
                ds64 = head.get(body + 8..body + 16).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
            }
            b"data" => {
                let known = ds64.filter(|_| size == UNKNOWN_SIZE).and_then(|n| u32::try_from(n).ok());
                let honest = match known.unwrap_or(size) {
                    0 => UNKNOWN_SIZE,
                    n if beyond(body, n) => UNKNOWN_SIZE,
                    n => n,
                };
                set(head, at + 4, &honest.to_le_bytes());
                return changed;
            }
            _ => {}
        }
        // Chunks are padded to even lengths.
        let Some(next) = body.checked_add(size as usize).and_then(|n| n.checked_add(size as usize & 1)) else {
            return changed;
        };
        at = next;
    }
    changed
}

/// Corrects the sizes of an aiff file that was cut off: Symphonia refuses a file whose sound chunk isn't whole. True if
/// anything was changed.
fn finish_aiff_header(head: &mut [u8], file_len: u64) -> bool {
    if head.get(..4) != Some(b"FORM") || !matches!(head.get(8..12), Some(b"AIFF" | b"AIFC")) {
        return false;
    }
    let size_at = |head: &[u8], at: usize| head.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let room = |from: usize| u32::try_from(file_len.saturating_sub(from as u64)).unwrap_or(u32::MAX);
    let mut at = 12;
    while let Some(size) = size_at(head, at + 4) {
        let body = at + 8;
        if &head[at..at + 4] == b"SSND" {
            let there = room(body);
            if size != 0 && size <= there {
                return false;
            }
            head[at + 4..body].copy_from_slice(&there.to_be_bytes());
            head[4..8].copy_from_slice(&room(8).to_be_bytes());
            return true;
        }
        let Some(next) = body.checked_add(size as usize).and_then(|n| n.checked_add(size as usize & 1)) else {
            return false;
        };
        at = next;
    }
    false
}

/// A file that is still arriving; what it holds can't be read twice.
pub(super) struct StreamSource<R> {
    head: Cursor<Vec<u8>>,
    rest: R,
}

impl<R: Read> StreamSource<R> {
    /// Reads the first bytes of `rest`, to correct its header.
    pub(super) fn new(mut rest: R) -> io::Result<Self> {
        let mut head = Vec::new();
        // The smallest useful header; reading on would hold back audio that has arrived already.
        rest.by_ref().take(256).read_to_end(&mut head)?;
        finish_wav_header(&mut head, None);
        Ok(Self { head: Cursor::new(head), rest })
    }

    /// Whether not a single byte came.
    pub(super) fn is_empty(&self) -> bool {
        self.head.get_ref().is_empty()
    }
}

impl<R: Read> Read for StreamSource<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.head.read(buffer)? {
            0 => self.rest.read(buffer),
            n => Ok(n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(riff: u32, data: u32, samples: usize) -> Vec<u8> {
        let mut file = b"RIFF".to_vec();
        file.extend(riff.to_le_bytes());
        file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data");
        file.extend(data.to_le_bytes());
        file.extend(std::iter::repeat_n(0, samples * 2));
        file
    }

    #[test]
    fn sizes_that_can_be_true_stay() {
        let mut head = wav(u32::MAX, 20, 10);
        assert!(!finish_wav_header(&mut head, Some(64)));
    }

    #[test]
    fn unfinished_sizes_are_opened() {
        for data in [0, u32::MAX, 1_000_000] {
            let mut head = wav(0, data, 10);
            assert!(finish_wav_header(&mut head, Some(64)));
            assert_eq!(head[40..44], [0xff; 4], "{data}");
        }
    }

    #[test]
    fn any_prefix_and_any_size_is_survived() {
        let file = wav(0, 0, 4);
        for n in 0..file.len() {
            finish_wav_header(&mut file[..n].to_vec(), None);
        }
        let mut odd = wav(0, 0, 4);
        odd[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        finish_wav_header(&mut odd, Some(52));
    }

    #[test]
    fn the_corrected_head_is_what_is_read() {
        let file = wav(0, 0, 10);
        let mut source = MemorySource::new(file.clone());
        let mut read = Vec::new();
        source.read_to_end(&mut read).unwrap();
        assert_eq!(read.len(), file.len());
        assert_eq!(read[40..44], [0xff; 4]);
        source.seek(SeekFrom::Start(42)).unwrap();
        let mut two = [0; 2];
        source.read_exact(&mut two).unwrap();
        assert_eq!(two, [0xff; 2]);
    }
}
