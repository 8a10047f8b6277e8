//! The edit list of an mp4 file: which part of its one audio track is to be heard.
//!
//! AAC encoders put some 1024 to 2112 samples of run-in before the audio and fill up the last frame; mp4 files tell with an
//! edit list (`moov/trak/edts/elst`, ISO/IEC 14496-12, 8.6.6). Symphonia reads the box but doesn't apply it.

use super::trim::Trim;

/// Deepest nesting that is looked into: moov, trak, mdia.
type Boxes<'a> = &'a [u8];

/// What the edit list says, in the units of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Edit {
    /// Start of the audio in `media_scale` ticks.
    start: u64,
    /// Length of the audio in `movie_scale` ticks; 0 = unknown (fragmented files).
    length: u64,
    /// Ticks per second of the track.
    media_scale: u32,
    /// Ticks per second of the file.
    movie_scale: u32,
}

impl Edit {
    /// Finds the edit of the file's audio track. `None` if there is none, if it has more than one part, or if there
    /// are several audio tracks.
    pub(super) fn find(file: &[u8]) -> Option<Self> {
        if file.get(4..8)? != b"ftyp" {
            return None;
        }
        let moov = child(file, b"moov")?;
        let movie_scale = scale(child(moov, b"mvhd")?)?;
        let mut audio = children(moov)
            .filter(|(kind, _)| kind == b"trak")
            .map(|(_, trak)| trak)
            .filter(|trak| is_audio(trak).unwrap_or(false));
        let (trak, None) = (audio.next()?, audio.next()) else { return None };
        let media_scale = scale(child(child(trak, b"mdia")?, b"mdhd")?)?;
        let (length, start) = single_edit(child(child(trak, b"edts")?, b"elst")?)?;
        Some(Self { start, length, media_scale, movie_scale })
    }

    /// The edit in frames of audio that is decoded at `rate` Hz.
    pub(super) fn trim(&self, rate: u32) -> Trim {
        let frames = |ticks: u64, scale: u32| (u128::from(ticks) * u128::from(rate) / u128::from(scale.max(1))) as u64;
        // A movie tick (often 1 ms) is coarser than a frame: round the end up by one tick.
        let keep = (self.length > 0).then(|| match self.movie_scale >= rate {
            true => frames(self.length, self.movie_scale),
            false => frames(self.length + 1, self.movie_scale),
        });
        Trim::new(frames(self.start, self.media_scale), keep)
    }
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}

fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    data.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_be_bytes)
}

/// The boxes in `data`, as kind and body.
fn children(data: Boxes<'_>) -> impl Iterator<Item = ([u8; 4], Boxes<'_>)> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let kind: [u8; 4] = rest.get(4..8)?.try_into().ok()?;
        let (header, size) = match u32_at(rest, 0)? {
            0 => (8, rest.len() as u64),
            1 => (16, u64_at(rest, 8)?),
            n => (8, u64::from(n)),
        };
        let size = usize::try_from(size).ok().filter(|&n| n >= header)?;
        // A box that is cut off ends with the file.
        let body = rest.get(header..size.min(rest.len()))?;
        rest = rest.get(size..).unwrap_or_default();
        Some((kind, body))
    })
}

fn child<'a>(data: Boxes<'a>, kind: &[u8; 4]) -> Option<Boxes<'a>> {
    children(data).find(|(k, _)| k == kind).map(|(_, body)| body)
}

/// Time scale of an `mvhd` or `mdhd`: after two times that are 4 or 8 bytes wide, by version.
fn scale(header: Boxes<'_>) -> Option<u32> {
    u32_at(header, if *header.first()? == 1 { 20 } else { 12 })
}

fn is_audio(trak: Boxes<'_>) -> Option<bool> {
    Some(child(child(trak, b"mdia")?, b"hdlr")?.get(8..12)? == b"soun")
}

/// Length and start of the only edit that isn't empty (an empty one, start -1, delays the track).
fn single_edit(elst: Boxes<'_>) -> Option<(u64, u64)> {
    let wide = *elst.first()? == 1;
    let count = u32_at(elst, 4)? as usize;
    let mut edits = (0..count.min(8)).filter_map(|i| {
        if wide {
            let at = 8 + i * 20;
            Some((u64_at(elst, at)?, u64_at(elst, at + 8)? as i64))
        } else {
            let at = 8 + i * 12;
            Some((u64::from(u32_at(elst, at)?), i64::from(u32_at(elst, at + 4)? as i32)))
        }
    });
    let mut edits = edits.by_ref().filter(|(_, start)| *start >= 0);
    let (length, start) = edits.next()?;
    edits.next().is_none().then_some((length, start as u64))
}
