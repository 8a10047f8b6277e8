//! AAC-LC in fragmented mp4 (ISO/IEC 14496-12): an index without samples first, then fragments that describe themselves,
//! so that the file can be sent while it is made.

use super::aac::{FRAME, Lc};
use super::{Codec, EncodeError, Format};

/// Access units per fragment: a quarter of a second at 24 kHz. Each fragment costs about 100 bytes.
const UNITS_PER_FRAGMENT: usize = 6;

/// Samples of run-in before the audio: one frame, as every plain AAC-LC encoder has. The edit list tells players.
const RUN_IN: u32 = FRAME as u32;

/// The one track of the file.
const TRACK: u32 = 1;

/// Ticks per second of the file's own clock.
const MOVIE_SCALE: u32 = 1_000;

/// An identity matrix in 16.16 and 2.30 fixed point, as `mvhd` and `tkhd` want it.
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

pub(super) struct FragmentedMp4 {
    lc: Lc,
    rate: u32,
    started: bool,
    /// Access units of the fragment being filled.
    units: Vec<Vec<u8>>,
    fragments: u32,
    /// Samples in earlier fragments.
    time: u64,
}

impl FragmentedMp4 {
    pub(super) fn new(rate: u32, bitrate: Option<u32>) -> Result<Self, EncodeError> {
        Ok(Self {
            lc: Lc::new(Format::M4a, rate, bitrate)?,
            rate,
            started: false,
            units: Vec::new(),
            fragments: 0,
            time: 0,
        })
    }

    /// `ftyp` and `moov`.
    fn header(&self) -> Vec<u8> {
        let mut file = Vec::new();
        boxed(&mut file, b"ftyp", |b| b.extend(b"M4A \0\0\x02\0M4A isomiso5mp42"));
        boxed(&mut file, b"moov", |b| {
            full(b, b"mvhd", 0, 0, |b| {
                put(b, &[0, 0, MOVIE_SCALE, 0, 0x1_0000]); // made, changed, clock, length unknown, speed 1.0
                b.extend([1, 0, 0, 0]); // volume 1.0
                put(b, &[0, 0]);
                put(b, &MATRIX);
                put(b, &[0; 6]);
                put(b, &[TRACK + 1]);
            });
            boxed(b, b"trak", |b| self.track(b));
            boxed(b, b"mvex", |b| {
                // Defaults of fragments: sample description 1, duration of a frame, size given with each, independent.
                full(b, b"trex", 0, 0, |b| put(b, &[TRACK, 1, FRAME as u32, 0, 0x0200_0000]));
            });
        });
        file
    }

    fn track(&self, b: &mut Vec<u8>) {
        // Flags: enabled, in the movie, in the preview.
        full(b, b"tkhd", 0, 7, |b| {
            put(b, &[0, 0, TRACK, 0, 0, 0, 0]); // made, changed, track, reserved, length, reserved
            b.extend([0, 0, 0, 0, 1, 0, 0, 0]); // layer, group, volume 1.0
            put(b, &MATRIX);
            put(b, &[0, 0]);
        });
        boxed(b, b"edts", |b| {
            // One edit: all of the track, but for the run-in.
            full(b, b"elst", 0, 0, |b| put(b, &[1, 0, RUN_IN, 0x1_0000]));
        });
        boxed(b, b"mdia", |b| {
            full(b, b"mdhd", 0, 0, |b| put(b, &[0, 0, self.rate, 0, 0x55c4_0000])); // clock, length, language "und"
            full(b, b"hdlr", 0, 0, |b| {
                put(b, &[0]);
                b.extend(b"soun");
                put(b, &[0; 3]);
                b.extend(b"sound\0");
            });
            boxed(b, b"minf", |b| {
                full(b, b"smhd", 0, 0, |b| put(b, &[0]));
                boxed(b, b"dinf", |b| {
                    full(b, b"dref", 0, 0, |b| {
                        put(b, &[1]);
                        full(b, b"url ", 0, 1, |_| {}); // the data is in this file
                    });
                });
                boxed(b, b"stbl", |b| {
                    full(b, b"stsd", 0, 0, |b| {
                        put(b, &[1]);
                        boxed(b, b"mp4a", |b| self.sample_entry(b));
                    });
                    full(b, b"stts", 0, 0, |b| put(b, &[0]));
                    full(b, b"stsc", 0, 0, |b| put(b, &[0]));
                    full(b, b"stsz", 0, 0, |b| put(b, &[0, 0]));
                    full(b, b"stco", 0, 0, |b| put(b, &[0]));
                });
            });
        });
    }

    /// The body of an `mp4a` box with its `esds` (ISO/IEC 14496-14, 5.6; descriptors: 14496-1, 7.2.6).
    fn sample_entry(&self, b: &mut Vec<u8>) {
        b.extend([0, 0, 0, 0, 0, 0, 0, 1]); // reserved, data reference 1
        put(b, &[0, 0]);
        b.extend([0, 1, 0, 16, 0, 0, 0, 0]); // mono, 16 bits
        put(b, &[self.rate << 16]);
        let config = self.lc.config();
        full(b, b"esds", 0, 0, |b| {
            let descriptor = |b: &mut Vec<u8>, tag: u8, body: &[u8]| {
                b.extend([tag, body.len() as u8]);
                b.extend_from_slice(body);
            };
            let mut specific = Vec::new();
            descriptor(&mut specific, 5, config); // DecoderSpecificInfo
            let mut decoder = vec![0x40, 0x15, 0, 0, 0]; // AAC, audio stream, buffer size
            decoder.extend([0; 8]); // bit rates: unknown
            decoder.extend(specific);
            let mut stream = vec![0, 0, 0]; // stream 0, no flags
            descriptor(&mut stream, 4, &decoder); // DecoderConfigDescriptor
            descriptor(&mut stream, 6, &[2]); // SLConfigDescriptor: as in mp4 files
            descriptor(b, 3, &stream); // ES_Descriptor
        });
    }

    /// `moof` and `mdat` of the units that are waiting.
    fn fragment(&mut self, out: &mut Vec<u8>) {
        if self.units.is_empty() {
            return;
        }
        self.fragments += 1;
        let units = std::mem::take(&mut self.units);
        let start = out.len();
        let mut offset_at = 0;
        boxed(out, b"moof", |b| {
            full(b, b"mfhd", 0, 0, |b| put(b, &[self.fragments]));
            boxed(b, b"traf", |b| {
                full(b, b"tfhd", 0, 0x2_0000, |b| put(b, &[TRACK])); // offsets count from the moof
                full(b, b"tfdt", 1, 0, |b| b.extend(self.time.to_be_bytes()));
                // Flags: data offset, size of each sample.
                full(b, b"trun", 0, 0x201, |b| {
                    put(b, &[units.len() as u32]);
                    offset_at = b.len();
                    put(b, &[0]);
                    units.iter().for_each(|unit| put(b, &[unit.len() as u32]));
                });
            });
        });
        let data = (out.len() - start + 8) as u32;
        out[offset_at..offset_at + 4].copy_from_slice(&data.to_be_bytes());
        boxed(out, b"mdat", |b| units.iter().for_each(|unit| b.extend_from_slice(unit)));
        self.time += (units.len() * FRAME) as u64;
    }
}

impl Codec for FragmentedMp4 {
    fn push(&mut self, pcm: &[f32], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !std::mem::replace(&mut self.started, true) {
            out.extend(self.header());
        }
        let units = &mut self.units;
        self.lc.push(pcm, |unit| units.push(unit.to_vec()))?;
        if self.units.len() >= UNITS_PER_FRAGMENT {
            self.fragment(out);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Option<Vec<u8>>, EncodeError> {
        let units = &mut self.units;
        self.lc.finish(|unit| units.push(unit.to_vec()))?;
        self.fragment(out);
        Ok(None)
    }
}

fn put(b: &mut Vec<u8>, words: &[u32]) {
    b.extend(words.iter().flat_map(|w| w.to_be_bytes()));
}

/// Appends a box whose body `fill` writes.
fn boxed(b: &mut Vec<u8>, kind: &[u8; 4], fill: impl FnOnce(&mut Vec<u8>)) {
    let start = b.len();
    put(b, &[0]);
    b.extend(kind);
    fill(b);
    let size = (b.len() - start) as u32;
    b[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

/// Appends a box with version and flags.
fn full(b: &mut Vec<u8>, kind: &[u8; 4], version: u8, flags: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    boxed(b, kind, |b| {
        put(b, &[(u32::from(version) << 24) | flags]);
        fill(b);
    });
}
