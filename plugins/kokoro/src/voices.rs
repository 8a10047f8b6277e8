//! Voices: style packs, their files, and how a request names one or a blend of several.
//!
//! A pack has one style row of 256 values per phoneme count; the first 128 values drive the decoder, the last 128 the
//! prosody. Packs come as raw files (`voices/<name>.bin`, onnx-community), torch files (`voices/<name>.pt`, official) or
//! all in one NumPy archive (`voices-v1.0.bin`, kokoro-onnx).

mod archive;
mod spec;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use spec::{BlendError, VoiceSpec};

use crate::language::Language;

/// Values in a style row.
pub const STYLE_WIDTH: usize = 256;

/// How many voice names an error message lists.
const LISTED: usize = 60;

/// A voice that can't be had.
#[derive(Debug, thiserror::Error)]
pub enum VoiceError {
    /// The request names a voice that the model doesn't have.
    #[error("there is no voice `{name}`; voices of this model: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Names that exist.
        known: String,
    },
    /// The request's blend can't be read.
    #[error(transparent)]
    Blend(#[from] BlendError),
    /// The model comes without voices.
    #[error(
        "no voices in `{}`: `voices/<name>.bin`, `voices/<name>.pt` or `voices-*.bin` are looked for", .0.display()
    )]
    None(PathBuf),
    /// A voice file is not one.
    #[error("voice file `{}`: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The style rows of one voice.
#[derive(Debug, PartialEq)]
pub struct VoicePack {
    /// Row-major, [rows, 256].
    values: Vec<f32>,
}

impl VoicePack {
    /// Makes a pack of `values`, row-major.
    ///
    /// # Errors
    ///
    /// Says what is wrong when they are not whole rows, or not finite.
    pub fn new(values: Vec<f32>) -> Result<Self, String> {
        if values.is_empty() || !values.len().is_multiple_of(STYLE_WIDTH) {
            return Err(format!("{} values are not rows of {STYLE_WIDTH}", values.len()));
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err("some values are not finite".to_owned());
        }
        Ok(VoicePack { values })
    }

    fn from_le_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (values, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(format!("{} bytes are not 32-bit floats", bytes.len()));
        }
        Self::new(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
    }

    /// Number of rows: 510 in the released packs.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.len() / STYLE_WIDTH
    }

    /// Row `index`, or the last one.
    #[must_use]
    pub fn row(&self, index: usize) -> &[f32] {
        let start = index.min(self.rows() - 1) * STYLE_WIDTH;
        &self.values[start..start + STYLE_WIDTH]
    }
}

/// The row of a pack that a phoneme string of so many characters uses: characters minus one, unknown ones counted
/// (`kokoro.pipeline:KPipeline.infer`; kokoro-onnx counts without them).
#[must_use]
pub fn style_row(phoneme_characters: usize) -> usize {
    phoneme_characters.saturating_sub(1)
}

/// A voice as a request uses it: one pack, or a weighted mean of several.
#[derive(Clone, Debug)]
pub struct Voice {
    /// What the request said, in canonical form.
    pub name: String,
    /// Language of the first component, when its name says it.
    pub language: Option<Language>,
    /// Packs and their shares, which sum to 1.
    parts: Vec<(Arc<VoicePack>, f32)>,
}

impl Voice {
    /// Row `index` of the blend.
    #[must_use]
    pub fn row(&self, index: usize) -> Vec<f32> {
        let mut blended = vec![0.0; STYLE_WIDTH];
        for (pack, share) in &self.parts {
            for (sum, value) in blended.iter_mut().zip(pack.row(index)) {
                *sum += share * value;
            }
        }
        blended
    }
}

/// Gender as the second letter of a voice's name tells it.
#[must_use]
pub fn gender(name: &str) -> Option<&'static str> {
    match name_letters(name)?.1 {
        'f' => Some("female"),
        'm' => Some("male"),
        _ => None,
    }
}

/// Language as the first letter of a voice's name tells it.
#[must_use]
pub fn language(name: &str) -> Option<Language> {
    Language::from_letter(name_letters(name)?.0)
}

/// The two letters before the underscore in `af_heart`.
fn name_letters(name: &str) -> Option<(char, char)> {
    let (letters, _) = name.split_once('_')?;
    let mut letters = letters.chars();
    match (letters.next(), letters.next(), letters.next()) {
        (Some(language), Some(gender), None) => Some((language, gender)),
        _ => None,
    }
}

/// The name part of `af_heart`: `heart`.
#[must_use]
pub fn display_name(name: &str) -> String {
    let bare = if name_letters(name).is_some() { name.split_once('_').map_or(name, |(_, bare)| bare) } else { name };
    let mut characters = bare.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

enum Source {
    Raw(PathBuf),
    Torch(PathBuf),
    Npz(PathBuf),
}

/// All voices of a model. Packs are read when they are first asked for.
pub struct Voices {
    sources: BTreeMap<String, Source>,
    loaded: Mutex<BTreeMap<String, Arc<VoicePack>>>,
}

impl Voices {
    /// Finds the voices of the model in `model_dir`.
    ///
    /// # Errors
    ///
    /// [`VoiceError::None`] when there are none, [`VoiceError::File`] for an archive that is broken.
    pub fn discover(model_dir: &Path) -> Result<Self, VoiceError> {
        let mut sources = BTreeMap::new();
        for path in files(model_dir) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with("voices") && (name.ends_with(".bin") || name.ends_with(".npz")) {
                for voice in archive::npz_names(&path).map_err(|reason| file_error(&path, reason))? {
                    sources.insert(voice, Source::Npz(path.clone()));
                }
            }
        }
        for path in files(&model_dir.join("voices")) {
            let Some(name) = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("bin") => sources.insert(name, Source::Raw(path)),
                Some("pt") if !sources.contains_key(&name) => sources.insert(name, Source::Torch(path)),
                _ => continue,
            };
        }
        if sources.is_empty() {
            return Err(VoiceError::None(model_dir.to_owned()));
        }
        Ok(Voices { sources, loaded: Mutex::default() })
    }

    /// Names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// Whether there is a voice of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.sources.contains_key(name)
    }

    /// The voice that `text` names: `af_heart`, `af_heart,af_bella` (mean), `af_heart(2)+af_bella(1)` (weighted mean). A
    /// name is looked up in the list of voices; it is never a path.
    ///
    /// # Errors
    ///
    /// [`VoiceError::Unknown`] with the names that exist, [`VoiceError::Blend`], [`VoiceError::File`].
    pub fn get(&self, text: &str) -> Result<Voice, VoiceError> {
        let spec: VoiceSpec = text.parse()?;
        let total: f32 = spec.parts.iter().map(|(_, weight)| weight).sum();
        let parts = spec
            .parts
            .iter()
            .map(|(name, weight)| Ok((self.pack(name)?, weight / total)))
            .collect::<Result<_, VoiceError>>()?;
        Ok(Voice { language: spec.parts.first().and_then(|(name, _)| language(name)), name: spec.to_string(), parts })
    }

    fn pack(&self, name: &str) -> Result<Arc<VoicePack>, VoiceError> {
        if let Some(pack) = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(Arc::clone(pack));
        }
        let Some(source) = self.sources.get(name) else {
            return Err(VoiceError::Unknown { name: name.to_owned(), known: self.listing() });
        };
        let (path, pack) = match source {
            Source::Raw(path) => (path, fs::read(path).map_err(|error| error.to_string())),
            Source::Torch(path) => (path, archive::torch_tensor(path)),
            Source::Npz(path) => (path, archive::npz_array(path, name)),
        };
        let pack =
            pack.and_then(|bytes| VoicePack::from_le_bytes(&bytes)).map_err(|reason| file_error(path, reason))?;
        let pack = Arc::new(pack);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.insert(name.to_owned(), Arc::clone(&pack));
        Ok(pack)
    }

    fn listing(&self) -> String {
        let mut listing = self.names().take(LISTED).collect::<Vec<_>>().join(", ");
        if self.sources.len() > LISTED {
            listing.push_str(", …");
        }
        listing
    }
}

fn file_error(path: &Path, reason: String) -> VoiceError {
    VoiceError::File { path: path.to_owned(), reason }
}

/// Files of a directory, sorted; none when it can't be read.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect())
        .unwrap_or_default();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("syrinx-kokoro-voices-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("voices")).unwrap();
        directory
    }

    fn raw(value: f32, rows: usize) -> Vec<u8> {
        (0..rows * STYLE_WIDTH).flat_map(|index| (value + (index / STYLE_WIDTH) as f32).to_le_bytes()).collect()
    }

    #[test]
    fn a_directory_of_raw_files() {
        let directory = directory("raw");
        fs::write(directory.join("voices/af_one.bin"), raw(0.0, 3)).unwrap();
        fs::write(directory.join("voices/bm_two.bin"), raw(10.0, 3)).unwrap();
        fs::write(directory.join("voices/zz_broken.bin"), b"12345").unwrap();
        let voices = Voices::discover(&directory).unwrap();
        assert_eq!(voices.names().collect::<Vec<_>>(), ["af_one", "bm_two", "zz_broken"]);
        assert_eq!(voices.get("bm_two").unwrap().row(1), vec![11.0; STYLE_WIDTH]);
        // Beyond the last row.
        assert_eq!(voices.get("bm_two").unwrap().row(509), vec![12.0; STYLE_WIDTH]);
        let blend = voices.get("bm_two(3)+af_one(1)").unwrap();
        assert_eq!(blend.row(0), vec![7.5; STYLE_WIDTH]);
        assert_eq!(blend.language, Some(Language::BritishEnglish));
        let error = voices.get("af_nobody").unwrap_err().to_string();
        assert!(error.contains("af_nobody") && error.contains("af_one, bm_two"), "{error}");
        assert!(matches!(voices.get("../voices/af_one"), Err(VoiceError::Unknown { .. })));
        assert!(matches!(voices.get("zz_broken"), Err(VoiceError::File { .. })));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn no_voices_at_all() {
        let directory = directory("none");
        assert!(matches!(Voices::discover(&directory), Err(VoiceError::None(_))));
        fs::write(directory.join("voices-v1.0.bin"), b"no archive").unwrap();
        assert!(matches!(Voices::discover(&directory), Err(VoiceError::File { .. })));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn names_tell_language_and_gender() {
        assert_eq!((language("jf_alpha"), gender("jf_alpha")), (Some(Language::Japanese), Some("female")));
        assert_eq!((language("zm_010"), gender("zm_010")), (Some(Language::Mandarin), Some("male")));
        assert_eq!((language("custom"), gender("custom")), (None, None));
        assert_eq!(display_name("af_heart"), "Heart");
        assert_eq!(display_name("custom"), "Custom");
    }
}
