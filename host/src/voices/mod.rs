//! Voices that people save: a recording, what is said in it, and the consent of whoever speaks. They survive restarts.
//!
//! Each voice is a directory `voice_<hex>` with [`voice.json`](record) and `sample.wav` (16-bit mono). It appears by a
//! rename, so half a voice is never seen; it disappears the same way. Ids are made here and names of clients are text in a
//! file, so nothing that a client sends becomes a path.

mod openai;
mod record;

pub use openai::{OPENAI_VOICES, Timbre};
pub(crate) use record::looks_saved;
pub use record::{NAME_LENGTH, NameError, SavedVoice};

use crate::audio::{
    self,
    decode::{DecodeError, Decoded},
    encode::{EncodeError, EncodeOptions, Format, WholeFile, encoder},
};
use record::{Description, check_name, key_of};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Shortest and longest sample. OpenAI asks for at most 30 s; models use 3 to 30.
pub const SAMPLE_SECONDS: std::ops::RangeInclusive<f64> = 1.0..=60.0; // seconds

/// Rates in Hz that samples are kept at; others are converted to the nearest of them.
const STORED_RATES: std::ops::RangeInclusive<u32> = 8_000..=48_000;

const DESCRIPTION: &str = "voice.json";
const SAMPLE: &str = "sample.wav";

/// Directories that begin with this are on their way in or out.
const TRANSIENT: &str = ".";

/// A transient directory this old belongs to a process that ended in the middle.
const ABANDONED: Duration = Duration::from_secs(3600);

/// How much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Voices.
    pub count: usize,
    /// Bytes of all samples.
    pub bytes: u64,
}

/// A voice to be saved.
#[derive(Debug)]
pub struct NewVoice {
    /// What people call it.
    pub name: String,
    /// The statement of consent, or the reference of one.
    pub consent: String,
    /// What is said in the sample.
    pub prompt_text: Option<String>,
    /// The model that it was made for; a note, other models can use it too.
    pub model: Option<String>,
    /// The sample, at its own rate.
    pub sample: Decoded,
}

/// Why a voice can't be saved, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum VoiceError {
    /// There is no such voice (any more).
    #[error("there is no saved voice `{id}`")]
    NotFound {
        /// What was looked for.
        id: String,
    },
    /// The name can't be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Another voice has the name.
    #[error("there is a voice `{name}` already (`{id}`); choose another name, or delete that one first")]
    Taken {
        /// The name.
        name: String,
        /// The voice that has it.
        id: String,
    },
    /// The sample is too short.
    #[error("the sample is {seconds:.1} s long, but must have {} to {} s", SAMPLE_SECONDS.start(), SAMPLE_SECONDS.end())]
    Length {
        /// Its length.
        seconds: f64,
    },
    /// As many voices as the server keeps.
    #[error("this server keeps up to {count} voices of {bytes} bytes altogether; delete one that isn't needed")]
    Full {
        /// The limit in voices.
        count: usize,
        /// The limit in bytes.
        bytes: u64,
    },
    /// The disk's.
    #[error("the place for voices can't be used: {0}")]
    Io(#[from] io::Error),
    /// The sample can't be written as a file.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A kept sample can't be read back.
    #[error("the sample of `{id}` is damaged: {source}")]
    Damaged {
        /// The voice.
        id: String,
        /// What is wrong with it.
        source: DecodeError,
    },
}

/// The saved voices.
pub struct Voices {
    dir: PathBuf,
    quota: Quota,
    /// By id. Held while one is added or removed.
    index: Mutex<BTreeMap<String, Arc<SavedVoice>>>,
}

impl Voices {
    /// The voices that are kept in `dir`, which is made when there is none. A directory in it that is no voice is left
    /// alone and reported.
    ///
    /// # Errors
    /// When the directory can't be made or read.
    pub fn open(dir: &Path, quota: Quota) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut index = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let Some(id) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if id.starts_with(TRANSIENT) {
                remove_abandoned(&path);
            } else if looks_saved(id) {
                match load(&path, id) {
                    Ok(voice) => {
                        index.insert(id.to_owned(), Arc::new(voice));
                    }
                    Err(error) => tracing::warn!(id, %error, "a saved voice can't be read and is left out"),
                }
            }
        }
        Ok(Self { dir: dir.to_owned(), quota, index: Mutex::new(index) })
    }

    /// No voices, and no place for any.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn none() -> Self {
        Self { dir: PathBuf::new(), quota: Quota { count: 0, bytes: 0 }, index: Mutex::default() }
    }

    fn index(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<SavedVoice>>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, oldest first.
    pub fn list(&self) -> Vec<Arc<SavedVoice>> {
        let mut all: Vec<_> = self.index().values().cloned().collect();
        all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        all
    }

    /// The voice with this id, or of this name in any case.
    pub fn find(&self, id_or_name: &str) -> Option<Arc<SavedVoice>> {
        let wanted = id_or_name.trim();
        let index = self.index();
        let by_name = || {
            let key = key_of(wanted);
            index.values().find(|voice| key_of(&voice.name) == key)
        };
        index.get(wanted).or_else(by_name).cloned()
    }

    /// Keeps a voice. Blocks.
    ///
    /// # Errors
    /// When its name or length can't be used, when there are too many, and when the disk fails.
    pub fn create(&self, new: NewVoice) -> Result<Arc<SavedVoice>, VoiceError> {
        let name = check_name(&new.name)?;
        let seconds = new.sample.samples.len() as f64 / f64::from(new.sample.rate.max(1));
        if !SAMPLE_SECONDS.contains(&seconds) {
            return Err(VoiceError::Length { seconds });
        }
        let sample = wav_of(&new.sample)?;
        let bytes = sample.len() as u64;
        let id = record::new_id();
        let voice = SavedVoice {
            id: id.clone(),
            name,
            consent: new.consent,
            prompt_text: new.prompt_text,
            model: new.model,
            seconds,
            bytes,
            created_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        };
        // What is slow is written before anybody has to wait for it.
        let arriving = self.dir.join(format!("{TRANSIENT}new-{id}"));
        let written = write(&arriving, &voice, &sample);
        let outcome = written.map_err(VoiceError::from).and_then(|()| self.admit(&arriving, voice));
        if outcome.is_err() {
            let _ = fs::remove_dir_all(&arriving);
        }
        outcome
    }

    /// Gives a voice that is written its place, if there is one.
    fn admit(&self, arriving: &Path, voice: SavedVoice) -> Result<Arc<SavedVoice>, VoiceError> {
        let mut index = self.index();
        let key = key_of(&voice.name);
        if let Some(other) = index.values().find(|other| key_of(&other.name) == key) {
            return Err(VoiceError::Taken { name: other.name.clone(), id: other.id.clone() });
        }
        let kept: u64 = index.values().map(|voice| voice.bytes).sum();
        let Quota { count, bytes } = self.quota;
        if index.len() >= count || kept.saturating_add(voice.bytes) > bytes {
            return Err(VoiceError::Full { count, bytes });
        }
        fs::rename(arriving, self.dir.join(&voice.id))?;
        let voice = Arc::new(voice);
        index.insert(voice.id.clone(), voice.clone());
        Ok(voice)
    }

    /// Removes the voice with this id. Requests that read its sample before are not disturbed. Blocks.
    ///
    /// # Errors
    /// When there is none, and when the disk fails.
    pub fn delete(&self, id: &str) -> Result<(), VoiceError> {
        let leaving = {
            let mut index = self.index();
            // Only ids that are in the index ever become a path.
            let Some(voice) = index.get(id).cloned() else {
                return Err(VoiceError::NotFound { id: id.to_owned() });
            };
            let leaving = self.dir.join(format!("{TRANSIENT}old-{}", voice.id));
            match fs::rename(self.dir.join(&voice.id), &leaving) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            index.remove(id);
            leaving
        };
        match fs::remove_dir_all(&leaving) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(id, %error, "what is left of a deleted voice can't be removed");
            }
            _ => {}
        }
        Ok(())
    }

    /// The sample of a voice as mono PCM at `rate` Hz. Blocks.
    ///
    /// # Errors
    /// When it is gone meanwhile, or damaged.
    pub fn sample(&self, voice: &SavedVoice, rate: u32) -> Result<Decoded, VoiceError> {
        let bytes = fs::read(self.dir.join(&voice.id).join(SAMPLE)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => VoiceError::NotFound { id: voice.id.clone() },
            _ => error.into(),
        })?;
        audio::decode(bytes, rate, &audio::decode::Limits::default())
            .map_err(|source| VoiceError::Damaged { id: voice.id.clone(), source })
    }
}

/// A sample as the file that is kept.
fn wav_of(sample: &Decoded) -> Result<Vec<u8>, EncodeError> {
    let kept_rate = sample.rate.clamp(*STORED_RATES.start(), *STORED_RATES.end());
    let options = EncodeOptions { sample_rate: Some(kept_rate), ..EncodeOptions::default() };
    let mut file = WholeFile::new(encoder(Format::Wav, sample.rate, &options)?);
    file.push(&sample.samples)?;
    file.finish()
}

/// Writes a voice into a new directory, and to the disk.
fn write(dir: &Path, voice: &SavedVoice, sample: &[u8]) -> io::Result<()> {
    fs::create_dir(dir)?;
    let description = serde_json::to_vec_pretty(&Description::of(voice)).map_err(io::Error::other)?;
    for (name, bytes) in [(SAMPLE, sample), (DESCRIPTION, description.as_slice())] {
        let mut file = fs::File::create_new(dir.join(name))?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
    }
    Ok(())
}

/// Reads a voice's description, and checks that its sample is there.
fn load(dir: &Path, id: &str) -> io::Result<SavedVoice> {
    let description: Description = serde_json::from_slice(&fs::read(dir.join(DESCRIPTION))?)?;
    let bytes = fs::metadata(dir.join(SAMPLE))?.len();
    Ok(description.into_voice(id, bytes))
}

/// Removes what a process left that ended in the middle. One that seems to be of the future was left before the clock was
/// turned back.
fn remove_abandoned(path: &Path) {
    let modified = fs::metadata(path).and_then(|about| about.modified());
    let age = modified.map(|time| time.elapsed().unwrap_or_else(|ahead| ahead.duration()));
    if age.is_ok_and(|age| age > ABANDONED)
        && let Err(error) = fs::remove_dir_all(path)
    {
        tracing::warn!(%error, "what is left of an unfinished voice can't be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::decode::SourceInfo;

    fn new(name: &str, seconds: f64) -> NewVoice {
        let rate = 16_000;
        let samples: Vec<f32> = (0..(seconds * 16_000.0) as usize).map(|n| 0.5 * (n as f32 * 0.1).sin()).collect();
        let source = SourceInfo {
            container: "wave".into(),
            codec: "pcm_s16le".into(),
            rate,
            channels: 1,
            seconds,
            truncated: false,
        };
        NewVoice {
            name: name.into(),
            consent: "I agree".into(),
            prompt_text: Some("what I say".into()),
            model: None,
            sample: Decoded { samples, rate, source },
        }
    }

    const QUOTA: Quota = Quota { count: 3, bytes: 1_000_000 };

    #[test]
    fn a_voice_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let voices = Voices::open(dir.path(), QUOTA).unwrap();
        let made = voices.create(new(" Ann ", 2.0)).unwrap();
        assert!(made.id.starts_with("voice_") && made.name == "Ann");
        let again = Voices::open(dir.path(), QUOTA).unwrap();
        let found = again.find("aNN").unwrap();
        assert_eq!(*found, *made);
        assert_eq!(again.find(&made.id).unwrap().consent, "I agree");
        let samples = again.sample(&found, 24_000).unwrap().samples;
        assert_eq!(samples.len(), 48_000);
        assert!(samples.iter().any(|x| x.abs() > 0.45));
        again.delete(&made.id).unwrap();
        assert!(matches!(again.delete(&made.id), Err(VoiceError::NotFound { .. })));
        assert!(matches!(again.sample(&found, 24_000), Err(VoiceError::NotFound { .. })));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn names_lengths_and_numbers_have_limits() {
        let dir = tempfile::tempdir().unwrap();
        let voices = Voices::open(dir.path(), QUOTA).unwrap();
        voices.create(new("Ann", 1.0)).unwrap();
        assert!(matches!(voices.create(new("ANN", 1.0)), Err(VoiceError::Taken { .. })));
        assert!(matches!(voices.create(new("Bob", 0.9)), Err(VoiceError::Length { .. })));
        assert!(matches!(voices.create(new("Bob", 60.5)), Err(VoiceError::Length { .. })));
        assert!(matches!(voices.create(new("alloy", 1.0)), Err(VoiceError::Name(_))));
        // 1 MB is 31 s of 16 kHz.
        assert!(matches!(voices.create(new("Bob", 40.0)), Err(VoiceError::Full { .. })));
        voices.create(new("Bob", 1.0)).unwrap();
        voices.create(new("Cid", 1.0)).unwrap();
        assert!(matches!(voices.create(new("Dan", 1.0)), Err(VoiceError::Full { .. })));
        // What was refused leaves nothing behind.
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn damage_on_disk_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let voices = Voices::open(dir.path(), QUOTA).unwrap();
        let made = voices.create(new("Ann", 1.0)).unwrap();
        fs::create_dir(dir.path().join("voice_0123456789abcdef01234567")).unwrap();
        fs::create_dir(dir.path().join("something else")).unwrap();
        fs::create_dir(dir.path().join(".new-voice_1")).unwrap();
        let again = Voices::open(dir.path(), QUOTA).unwrap();
        assert_eq!(again.list().len(), 1);
        fs::write(dir.path().join(&made.id).join(DESCRIPTION), "{").unwrap();
        assert!(Voices::open(dir.path(), QUOTA).unwrap().list().is_empty());
        fs::write(dir.path().join(&made.id).join(SAMPLE), "no audio").unwrap();
        assert!(matches!(again.sample(&made, 16_000), Err(VoiceError::Damaged { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn what_was_left_goes_whatever_the_clock_said() {
        let dir = tempfile::tempdir().unwrap();
        let left = |name: &str, time| {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::File::open(dir.path().join(name)).unwrap().set_modified(time).unwrap();
        };
        let now = SystemTime::now();
        left(".new-past", now - 2 * ABANDONED);
        left(".new-future", now + 2 * ABANDONED);
        left(".new-now", now);
        Voices::open(dir.path(), QUOTA).unwrap();
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [".new-now"]);
    }

    #[test]
    fn many_at_once_get_one_name_once() {
        let dir = tempfile::tempdir().unwrap();
        let voices = Voices::open(dir.path(), Quota { count: 100, bytes: 1 << 30 }).unwrap();
        let made: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|n| {
                    let voices = &voices;
                    scope.spawn(move || {
                        let same = voices.create(new("same", 1.0)).is_ok();
                        let own = voices.create(new(&format!("own {n}"), 1.0)).unwrap();
                        voices.delete(&own.id).unwrap();
                        usize::from(same)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((made, voices.list().len(), fs::read_dir(dir.path()).unwrap().count()), (1, 1, 1));
    }
}
