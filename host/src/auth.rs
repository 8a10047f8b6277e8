//! API keys: where they come from, how they are kept, how one is checked.
//!
//! Only SHA-256 digests are kept, in memory and, for whoever wants it, in files: keys made by `syrinx api-key` hold 256 random
//! bits, so that a fast digest gives nothing away. A digest is compared with all keys in constant time.

use crate::look::Look;
use serde::{Deserialize, Deserializer, de};
use sha2::{Digest as _, Sha256};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use subtle::{Choice, ConstantTimeEq as _};

/// How often the key file is looked at, at most.
const RECHECK: Duration = Duration::from_secs(1);

/// Before the digest of a key that is stored hashed.
const HASHED: &str = "sha256:";

/// Length of a digest. [bytes]
const DIGEST: usize = 32;

/// What the settings say about keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Keys that are accepted.
    pub keys: Vec<StoredKey>,
    /// File with further keys, one per line. It is read again when it changes.
    pub key_file: Option<PathBuf>,
    /// Whether `/metrics` answers without a key.
    pub open_metrics: bool,
    /// How much each key may ask.
    pub limits: KeyLimits,
    /// Keys with limits of their own; they are accepted, too.
    pub own: Vec<LimitedKey>,
}

/// How much a key may ask of the models.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyLimits {
    /// Requests at a time, those that wait included.
    pub requests: Option<usize>,
    /// Requests in any 60 s.
    pub requests_per_minute: Option<usize>,
    /// Whether they may be more urgent than they are by themselves.
    pub may_raise_priority: bool,
}

/// A key with limits of its own.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitedKey {
    /// The key.
    pub key: StoredKey,
    /// All of its limits: those for every key don't hold for it.
    #[serde(default)]
    pub limits: KeyLimits,
}

impl Settings {
    /// Whether requests need a key. A key file switches this on, even an empty one.
    pub fn is_on(&self) -> bool {
        !self.keys.is_empty() || !self.own.is_empty() || self.key_file.is_some()
    }
}

/// A key as it is kept: its digest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoredKey([u8; DIGEST]);

impl StoredKey {
    /// The digest of a key that a client sends.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Whether both are digests of one key.
    fn matches(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }

    /// `sha256:` and the digest in hexadecimal, as files hold it.
    pub fn line(&self) -> String {
        self.0.iter().fold(HASHED.to_owned(), |line, byte| line + &format!("{byte:02x}"))
    }
}

/// Nobody's logs need more of it.
impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredKey(…)")
    }
}

/// Why a text is no key. Doesn't repeat the text, which may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Could not be sent in a header as one word.
    #[error("a key must be of visible ASCII characters without spaces, or sha256: and 64 hexadecimal digits")]
    Unprintable,
    /// Not a digest.
    #[error("after sha256: there must be 64 hexadecimal digits")]
    Digest,
}

impl FromStr for StoredKey {
    type Err = KeyError;

    /// A key, or `sha256:` and its digest.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let Some(digits) = text.strip_prefix(HASHED) else {
            let printable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            return if printable { Ok(Self::of(text)) } else { Err(KeyError::Unprintable) };
        };
        if digits.len() != 2 * DIGEST || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(KeyError::Digest);
        }
        let mut digest = [0; DIGEST];
        for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| KeyError::Digest)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| KeyError::Digest)?;
        }
        Ok(Self(digest))
    }
}

impl<'de> Deserialize<'de> for StoredKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A new key with 256 bits from the operating system's source of randomness (two random UUIDs, less their fixed bits).
pub fn generate() -> String {
    let random = || uuid::Uuid::new_v4().simple().to_string();
    format!("sx-{}{}", random(), random())
}

/// Why a key file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It can't be read.
    #[error("cannot read the key file {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is no key.
    #[error("{}:{line}: {source}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        source: KeyError,
    },
}

/// Reads keys from the text of a key file: one per line; blank lines, and from `#` to the end of a line, are for people.
///
/// # Errors
/// When a line is no key, with its number from 1.
pub fn parse_lines(text: &str) -> Result<Vec<StoredKey>, (usize, KeyError)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        // A key may hold `#` itself, so only one after white space begins a comment.
        let words = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect::<Vec<_>>();
        match words[..] {
            [] => {}
            [key] => keys.push(key.parse().map_err(|error| (number + 1, error))?),
            _ => return Err((number + 1, KeyError::Unprintable)),
        }
    }
    Ok(keys)
}

/// The keys of a server that runs.
#[derive(Debug)]
pub struct Keys {
    settings: Settings,
    file: Option<Mutex<KeyFile>>,
}

/// What was last read of the key file.
#[derive(Debug)]
struct KeyFile {
    path: PathBuf,
    keys: Vec<StoredKey>,
    look: Option<Look>,
    looked: Instant,
}

impl Keys {
    /// The keys of these settings.
    ///
    /// # Errors
    /// When there is a key file and it can't be used.
    pub fn open(settings: Settings) -> Result<Self, KeyFileError> {
        let file = settings.key_file.as_deref().map(KeyFile::open).transpose()?.map(Mutex::new);
        Ok(Self { settings, file })
    }

    /// Whether requests need a key.
    pub fn is_on(&self) -> bool {
        self.settings.is_on()
    }

    /// Whether `/metrics` needs one too.
    pub fn guard_metrics(&self) -> bool {
        !self.settings.open_metrics
    }

    /// The key as it is kept, if it is one of them.
    pub fn find(&self, key: &str) -> Option<StoredKey> {
        fn any<'a>(keys: impl Iterator<Item = &'a StoredKey>, given: &StoredKey) -> Choice {
            keys.fold(Choice::from(0), |found, key| found | key.matches(given))
        }
        let given = StoredKey::of(key);
        let mut found = any(self.settings.keys.iter(), &given);
        found |= any(self.settings.own.iter().map(|own| &own.key), &given);
        if let Some(file) = &self.file {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.refresh();
            found |= any(file.keys.iter(), &given);
        }
        bool::from(found).then_some(given)
    }

    /// Whether this is one of the keys.
    pub fn accept(&self, key: &str) -> bool {
        self.find(key).is_some()
    }
}

impl KeyFile {
    fn open(path: &Path) -> Result<Self, KeyFileError> {
        let look = Look::at(path);
        Ok(Self { path: path.to_owned(), keys: read(path)?, look, looked: Instant::now() })
    }

    /// Reads the file again if it has changed. One that can't be used leaves the last good keys in force.
    fn refresh(&mut self) {
        if self.looked.elapsed() < RECHECK {
            return;
        }
        self.looked = Instant::now();
        let look = Look::at(&self.path);
        if look == self.look {
            return;
        }
        self.look = look;
        match read(&self.path) {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "the key file has changed");
                self.keys = keys;
            }
            Err(error) => tracing::error!(%error, "the changed key file can't be used; the keys before stay in force"),
        }
    }
}

fn read(path: &Path) -> Result<Vec<StoredKey>, KeyFileError> {
    let text = fs::read_to_string(path).map_err(|source| KeyFileError::Unreadable { path: path.to_owned(), source })?;
    parse_lines(&text).map_err(|(line, source)| KeyFileError::Malformed { path: path.to_owned(), line, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_plain_or_hashed() {
        let key = generate();
        assert_eq!(key.len(), 3 + 64);
        assert_ne!(key, generate());
        let line = StoredKey::of(&key).line();
        assert_eq!(line.parse::<StoredKey>(), key.parse());
        assert_eq!("abc".parse::<StoredKey>().unwrap().line(), line_of_abc());
        assert_eq!("sha256:12".parse::<StoredKey>(), Err(KeyError::Digest));
        assert_eq!(format!("sha256:{}", "g".repeat(64)).parse::<StoredKey>(), Err(KeyError::Digest));
        for bad in ["", "two words", "grüße", "tab\t"] {
            assert_eq!(bad.parse::<StoredKey>(), Err(KeyError::Unprintable), "{bad:?}");
        }
        assert_eq!(format!("{:?}", StoredKey::of("secret")), "StoredKey(…)");
    }

    /// FIPS 180-2, appendix B.1.
    fn line_of_abc() -> &'static str {
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    }

    #[test]
    fn key_files_have_comments() {
        let text = format!("\u{feff}# keys\n\n  first#1  # laptop\r\n{}\n", line_of_abc());
        assert_eq!(parse_lines(&text).unwrap(), [StoredKey::of("first#1"), StoredKey::of("abc")]);
        assert_eq!(parse_lines("good\ntwo words\n"), Err((2, KeyError::Unprintable)));
    }

    #[test]
    fn only_the_keys_are_accepted() {
        let keys =
            Keys::open(Settings { keys: vec![StoredKey::of("one"), StoredKey::of("two")], ..Settings::default() });
        let keys = keys.unwrap();
        assert!(keys.is_on() && keys.accept("one") && keys.accept("two"));
        assert!(!keys.accept("") && !keys.accept("On") && !keys.accept(&StoredKey::of("one").line()));
        assert!(!Keys::open(Settings::default()).unwrap().is_on());
        let own = LimitedKey { key: StoredKey::of("three"), limits: KeyLimits::default() };
        let keys = Keys::open(Settings { own: vec![own], ..Settings::default() }).unwrap();
        assert!(keys.is_on() && keys.find("three") == Some(StoredKey::of("three")) && !keys.accept("one"));
    }

    #[test]
    fn a_changed_key_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        fs::write(&path, "").unwrap();
        let settings = Settings { key_file: Some(path.clone()), ..Settings::default() };
        let keys = Keys::open(settings).unwrap();
        assert!(keys.is_on() && !keys.accept("one"), "an empty file lets nobody in");
        let age = |keys: &Keys| {
            keys.file.as_ref().unwrap().lock().unwrap().looked -= 2 * RECHECK;
        };
        fs::write(&path, "one").unwrap();
        age(&keys);
        assert!(keys.accept("one"));
        fs::write(&path, "not one key").unwrap();
        age(&keys);
        assert!(keys.accept("one"), "a mistake changes nothing");
        fs::remove_file(&path).unwrap();
        age(&keys);
        assert!(keys.accept("one"), "nor does a file that is gone for a moment");
        fs::write(&path, "another").unwrap();
        age(&keys);
        assert!(!keys.accept("one") && keys.accept("another"));
        // As long as the one before, and of the same date, as where files of an image are exchanged.
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        let next = dir.path().join("next");
        fs::write(&next, "Another").unwrap();
        fs::File::options().write(true).open(&next).unwrap().set_modified(written).unwrap();
        fs::rename(&next, &path).unwrap();
        age(&keys);
        assert!(!keys.accept("another") && keys.accept("Another"));
        fs::write(&path, "one two").unwrap();
        let error = Keys::open(Settings { key_file: Some(path), ..Settings::default() }).unwrap_err().to_string();
        assert!(error.contains(":1: ") && !error.contains("one two"), "{error}");
    }
}
