//! espeak-ng as a shared library that is opened at run time, or as a program.

use std::{
    collections::HashMap,
    ffi::{CStr, CString, c_char, c_int, c_uchar, c_void},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use libloading::Library;

use super::phonemizer::Phonemizer;
use crate::g2p::G2pError;

/// `espeak_VOICE` of `espeak-ng/speak_lib.h`.
#[repr(C)]
struct Voice {
    name: *const c_char,
    /// A priority byte and a language code, more pairs behind.
    languages: *const c_char,
    identifier: *const c_char,
    gender: c_uchar,
    age: c_uchar,
    variant: c_uchar,
    reserved: c_uchar,
    score: c_int,
    spare: *const c_void,
}

type Initialize = unsafe extern "C" fn(c_int, c_int, *const c_char, c_int) -> c_int;
type ListVoices = unsafe extern "C" fn(*const Voice) -> *const *const Voice;
type SetVoiceByName = unsafe extern "C" fn(*const c_char) -> c_int;
type TextToPhonemes = unsafe extern "C" fn(*mut *const c_void, c_int, c_int) -> *const c_char;

/// `AUDIO_OUTPUT_SYNCHRONOUS`: no audio device is opened.
const OUTPUT_SYNCHRONOUS: c_int = 2;
/// `espeakINITIALIZE_DONT_EXIT`: without it a missing data directory ends the process.
const DONT_EXIT: c_int = 0x8000;
/// `espeakCHARS_UTF8`.
const UTF8: c_int = 1;
/// Tie character between the symbols of one phoneme, U+0361.
const TIE: char = '\u{361}';
/// IPA, with the tie character in the upper bits (`espeak_TextToPhonemes`: bit 1, bit 7, bits 8–23).
const IPA_WITH_TIES: c_int = 0x02 | 0x80 | (TIE as c_int) << 8;

/// The parts of an opened library. It stays open for the life of the process: its own clean-up isn't safe to run while others may use it.
struct Opened {
    set_voice_by_name: SetVoiceByName,
    text_to_phonemes: TextToPhonemes,
    /// Language code → identifier of the first voice that speaks it.
    voices: HashMap<String, CString>,
    /// The language in use. The lock also serialises all calls: the library keeps its state in globals.
    language: Mutex<String>,
    _library: Library,
}

/// Opened libraries by path, so that each is initialised once.
static OPENED: Mutex<Vec<(PathBuf, Arc<Opened>)>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The shared library `libespeak-ng`.
pub struct EspeakLibrary {
    opened: Arc<Opened>,
    name: String,
}

impl std::fmt::Debug for EspeakLibrary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EspeakLibrary").field("name", &self.name).finish_non_exhaustive()
    }
}

impl EspeakLibrary {
    /// Opens the library at `path` (or a name that the system's loader finds). `data` is the directory `espeak-ng-data`, by default the one
    /// next to the library, else the one the library was built with.
    pub fn open(path: &Path, data: Option<&Path>) -> Result<Self, G2pError> {
        let mut all = lock(&OPENED);
        let opened = match all.iter().find(|(p, _)| p == path) {
            Some((_, opened)) => Arc::clone(opened),
            None => {
                let opened = Arc::new(
                    Opened::new(path, data).map_err(|reason| G2pError::Espeak { path: path.to_owned(), reason })?,
                );
                all.push((path.to_owned(), Arc::clone(&opened)));
                opened
            }
        };
        Ok(Self { opened, name: format!("espeak-ng library {}", path.display()) })
    }
}

impl Opened {
    fn new(path: &Path, data: Option<&Path>) -> Result<Self, String> {
        let beside = path.parent().map(|dir| dir.join("espeak-ng-data")).filter(|dir| dir.is_dir());
        let data = data
            .or(beside.as_deref())
            .map(|dir| CString::new(dir.as_os_str().as_encoded_bytes()))
            .transpose()
            .map_err(|_| "the data path holds a zero byte".to_owned())?;
        // SAFETY: loading runs the library's initialisers; espeak-ng has none with effects, and the user chose the file.
        let library = unsafe { Library::new(path) }.map_err(|e| e.to_string())?;
        // SAFETY: the types are those of espeak-ng's public header, unchanged since 1.49.
        let (initialize, list_voices, set_voice_by_name, text_to_phonemes) = unsafe {
            (
                symbol::<Initialize>(&library, "espeak_Initialize")?,
                symbol::<ListVoices>(&library, "espeak_ListVoices")?,
                symbol::<SetVoiceByName>(&library, "espeak_SetVoiceByName")?,
                symbol::<TextToPhonemes>(&library, "espeak_TextToPhonemes")?,
            )
        };
        let data = data.as_ref().map_or(std::ptr::null(), |d| d.as_ptr());
        // SAFETY: `data` is null or a C string that lives until the end of this function; the library copies it.
        let rate = unsafe { initialize(OUTPUT_SYNCHRONOUS, 0, data, DONT_EXIT) };
        if rate <= 0 {
            return Err(format!("it can't start (code {rate}); is its data directory `espeak-ng-data` there?"));
        }
        // SAFETY: a null filter lists all voices.
        let voices = unsafe { voices(list_voices(std::ptr::null())) };
        if voices.is_empty() {
            return Err("it has no voices; is its data directory `espeak-ng-data` there?".to_owned());
        }
        Ok(Self { set_voice_by_name, text_to_phonemes, voices, language: Mutex::new(String::new()), _library: library })
    }
}

/// # Safety
/// `T` must be the type of the function `name` in this library.
unsafe fn symbol<T: Copy>(library: &Library, name: &str) -> Result<T, String> {
    // SAFETY: the caller vouches for the type; the pointer is used only while the library is open.
    unsafe { library.get::<T>(name.as_bytes()) }.map(|symbol| *symbol).map_err(|e| e.to_string())
}

/// # Safety
/// `list` must be null or a null-terminated array of voices as `espeak_ListVoices` returns it.
unsafe fn voices(list: *const *const Voice) -> HashMap<String, CString> {
    let mut found = HashMap::new();
    if list.is_null() {
        return found;
    }
    let mut at = list;
    // SAFETY: the array is null-terminated and `at` hasn't passed its end.
    while let Some(voice) = unsafe { (*at).as_ref() } {
        if !voice.languages.is_null() && !voice.identifier.is_null() {
            // SAFETY: both are C strings; a languages list has at least its priority byte and a terminator behind it.
            let (language, identifier) = unsafe { (CStr::from_ptr(voice.languages), CStr::from_ptr(voice.identifier)) };
            let code = String::from_utf8_lossy(language.to_bytes().get(1..).unwrap_or_default()).into_owned();
            found.entry(code).or_insert_with(|| identifier.to_owned());
        }
        // SAFETY: the entry just read wasn't the terminator, so one more follows.
        at = unsafe { at.add(1) };
    }
    found
}

impl Phonemizer for EspeakLibrary {
    fn speak(&self, language: &str, text: &str) -> Option<String> {
        let opened = &self.opened;
        let mut current = lock(&opened.language);
        if *current != language {
            let identifier = opened.voices.get(language)?;
            // SAFETY: a C string that outlives the call; the lock keeps other calls out.
            if unsafe { (opened.set_voice_by_name)(identifier.as_ptr()) } != 0 {
                current.clear();
                return None;
            }
            language.clone_into(&mut current);
        }
        let text = CString::new(text.replace('\0', " ")).ok()?;
        let mut rest: *const c_void = text.as_ptr().cast();
        let mut clauses = Vec::new();
        // Each call consumes a clause and moves the pointer on; it is null at the end. The bound only guards against a library that stalls.
        for _ in 0..=text.as_bytes().len() {
            // SAFETY: `rest` points into `text`, which is alive; the lock keeps other calls out.
            let clause = unsafe { (opened.text_to_phonemes)(&mut rest, UTF8, IPA_WITH_TIES) };
            if !clause.is_null() {
                // SAFETY: a C string in the library's buffer, valid until the next call.
                let clause = unsafe { CStr::from_ptr(clause) };
                if !clause.is_empty() {
                    clauses.push(clause.to_string_lossy().into_owned());
                }
            }
            if rest.is_null() {
                break;
            }
        }
        Some(clauses.join(" ").replace(TIE, "^"))
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// The program `espeak-ng`, started once per word.
#[derive(Debug)]
pub struct EspeakProgram {
    path: PathBuf,
    name: String,
}

/// How long one word may take.
const PATIENCE: Duration = Duration::from_secs(10);

impl EspeakProgram {
    /// The program in one of the directories of `PATH`.
    pub fn find() -> Option<Self> {
        let file = format!("espeak-ng{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(&std::env::var_os("PATH")?)
            .map(|dir| dir.join(&file))
            .find(|path| path.is_file())
            .map(|path| Self::at(&path))
    }

    /// The program at `path`.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), name: format!("espeak-ng program {}", path.display()) }
    }
}

impl Phonemizer for EspeakProgram {
    fn speak(&self, language: &str, text: &str) -> Option<String> {
        let mut child = Command::new(&self.path)
            .args(["-q", "--ipa", "--tie=^", "--stdin", "-v", language])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut input = child.stdin.take()?;
        let mut output = child.stdout.take()?;
        let (sender, receiver) = mpsc::channel();
        let text = text.to_owned();
        std::thread::spawn(move || {
            let mut spoken = String::new();
            let result = input
                .write_all(text.as_bytes())
                .map(|()| drop(input))
                .and_then(|()| output.read_to_string(&mut spoken));
            // The receiver is gone only when the time was up.
            let _ = sender.send(result.is_ok().then_some(spoken));
        });
        let spoken = receiver.recv_timeout(PATIENCE).ok().flatten();
        if spoken.is_none() {
            let _ = child.kill();
        }
        let has_succeeded = child.wait().is_ok_and(|status| status.success());
        spoken.filter(|_| has_succeeded)
    }

    fn name(&self) -> &str {
        &self.name
    }
}
