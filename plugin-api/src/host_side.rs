//! The host's end: opens plugin files and drives what is in them, with no raw type in sight.

use crate::{
    abi::{
        PluginModule_Ref, RawAudio, RawAudio_TO, RawClip, RawHost, RawHost_TO, RawModelBox, RawPcmSink, RawPcmSink_TO,
        RawPluginBox, RawTranscriptSink, RawTranscriptSink_TO, ABI_VERSION, EXPORTED_SYMBOL, FLOW_CONTINUE, FLOW_STOP,
    },
    Clip, Device, Error, Level, LoadRequest, Manifest, MetricKind, ModelCard, ReceivePcm, ReceiveTranscript,
    SpeechEvent, SpeechSettings, TranscribeSettings, TranscriptEvent,
};
use abi_stable::{
    abi_stability::abi_checking::check_layout_compatibility,
    library::{AbiHeaderRef, LibHeader, LibraryError},
    sabi_trait::TD_Opaque,
    sabi_types::{VersionNumber, VersionStrings},
    std_types::{RBoxError, ROption, RSlice, RSliceMut, RStr, RString},
    StableAbi as _,
};
use object::{Object as _, ObjectSection as _, ObjectSegment as _};
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why a file is not a plugin that this host can use.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file can't be read.
    #[error("cannot read the file: {0}")]
    Unreadable(#[from] std::io::Error),
    /// The file isn't a shared library of any kind.
    #[error("not a shared library: {0}")]
    NotALibrary(String),
    /// Some of the file is missing.
    #[error("the file is cut short: {0}; copy it again (write to another name and rename)")]
    Truncated(String),
    /// The library is for another machine or operating system.
    #[error("built for {found}, this host is {expected}: rebuild the plugin for this machine")]
    WrongPlatform {
        /// What the file says.
        found: String,
        /// What the host is.
        expected: String,
    },
    /// The dynamic linker refused it.
    #[error("the dynamic linker refuses it: {0}")]
    Linker(String),
    /// A library, but not a plugin.
    #[error("a shared library, but no Syrinx plugin: it does not export `{EXPORTED_SYMBOL}` (see `export_plugin!`)")]
    NotAPlugin,
    /// A plugin for another ABI version.
    #[error(
        "built for plugin ABI {found}, this host speaks {expected}: rebuild it against syrinx-plugin-api {expected}"
    )]
    WrongVersion {
        /// The plugin's version.
        found: String,
        /// The host's version.
        expected: String,
    },
    /// The version fits, but the types don't.
    #[error(
        "its types are laid out differently although it says plugin ABI {found} and this host speaks {expected}: \
         rebuild it against an unmodified syrinx-plugin-api ({reason})"
    )]
    WrongLayout {
        /// The plugin's version.
        found: String,
        /// The host's version.
        expected: String,
        /// First difference found.
        reason: String,
    },
    /// It can't describe itself.
    #[error("it does not start: {0}")]
    Broken(Error),
}

/// The platform that the host was built for, as `linux x86_64`.
fn host_platform() -> String {
    format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)
}

/// Looks at the file's headers, so that a bad file gets a clear message and never reaches the dynamic linker.
///
/// # Errors
/// When it isn't a whole shared library for this platform.
pub fn check_file(path: &Path) -> Result<(), OpenError> {
    let data = fs::read(path)?;
    if data.is_empty() {
        return Err(OpenError::Truncated("it is empty".to_owned()));
    }
    let kind = object::FileKind::parse(data.as_slice())
        .map_err(|_| OpenError::NotALibrary("its first bytes are of no known format".to_owned()))?;
    let file = object::File::parse(data.as_slice()).map_err(|error| match kind {
        object::FileKind::Elf32 | object::FileKind::Elf64 | object::FileKind::MachO64 | object::FileKind::Pe64 => {
            OpenError::Truncated(error.to_string())
        }
        _ => OpenError::NotALibrary(format!("{kind:?}: {error}")),
    })?;
    let os = match file.format() {
        object::BinaryFormat::Elf => "linux",
        object::BinaryFormat::MachO => "macos",
        object::BinaryFormat::Pe => "windows",
        _ => "unknown",
    };
    let arch = match file.architecture() {
        object::Architecture::X86_64 => "x86_64".to_owned(),
        object::Architecture::Aarch64 => "aarch64".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    };
    let same_os = os == std::env::consts::OS || (os == "linux" && cfg!(all(unix, not(target_os = "macos"))));
    if !same_os || arch != std::env::consts::ARCH {
        return Err(OpenError::WrongPlatform { found: format!("{os} {arch}"), expected: host_platform() });
    }
    if file.kind() != object::ObjectKind::Dynamic {
        return Err(OpenError::NotALibrary(format!("it is of kind {:?}", file.kind())));
    }
    for section in file.sections() {
        section.data().map_err(|error| {
            OpenError::Truncated(format!("section {}: {error}", section.name().unwrap_or("without name")))
        })?;
    }
    for segment in file.segments() {
        // The dynamic linker maps segments without looking whether the file is long enough.
        let (offset, size) = segment.file_range();
        if offset.checked_add(size).is_none_or(|end| end > data.len() as u64) {
            return Err(OpenError::Truncated(format!("a segment of {size} bytes at {offset} goes beyond its end")));
        }
    }
    Ok(())
}

/// An opened plugin.
pub struct PluginLibrary {
    plugin: RawPluginBox,
    manifest: Manifest,
}

impl PluginLibrary {
    /// Opens a plugin file. The library stays mapped until the process ends: Rust libraries can't be unmapped safely.
    /// The file must not change while it is mapped, so open a private copy.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        check_file(path)?;
        // SAFETY: opening runs the library's initialisers, which is what the operator asked for by installing it;
        // Rust plugins have none but the standard library's.
        let library =
            unsafe { libloading::Library::new(path) }.map_err(|error| OpenError::Linker(error.to_string()))?;
        // SAFETY: the symbol, where it exists, was defined by `export_plugin!` and is a `LibHeader`, which starts with
        // the `AbiHeader` that `AbiHeaderRef` points to.
        let header = unsafe { library.get::<AbiHeaderRef>(EXPORTED_SYMBOL) }.map(|symbol| *symbol);
        let header = header.map_err(|_| OpenError::NotAPlugin)?;
        // From here on there are references into the library.
        std::mem::forget(library);
        let header = header.upgrade().map_err(|error| describe(&error, "?"))?;
        let found = header.version_strings().version.to_string();
        let module = root_module(header).map_err(|error| describe(&error, &found))?;
        let create = module.create();
        Self::from_object(create())
    }

    /// A plugin that is linked into this binary.
    ///
    /// # Errors
    /// When it can't describe itself.
    pub fn from_object(plugin: RawPluginBox) -> Result<Self, OpenError> {
        let manifest = parse(plugin.manifest().as_str(), "manifest").map_err(OpenError::Broken)?;
        Ok(Self { plugin, manifest })
    }

    /// What the plugin says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Loads a model. Blocks for as long as that takes.
    ///
    /// # Errors
    /// The plugin's.
    pub fn load(&self, request: &LoadRequest, services: Arc<dyn HostServices>) -> Result<LoadedModel, Error> {
        let request = to_document(request)?;
        let host = RawHost_TO::from_value(HostAdapter(services), TD_Opaque);
        let model = self.plugin.load(RStr::from_str(&request), host).into_result();
        let model = model.map_err(|document| Error::from_document(document.as_str()))?;
        let card: ModelCard = parse(model.card().as_str(), "model card")?;
        Ok(LoadedModel { model, card })
    }
}

/// Checks version and layout, and gets the root module.
///
/// `abi_stable` takes the interface to be the older side: it may lack methods that the implementation has, not the other
/// way round. Here that is whichever of host and plugin has the smaller minor version.
fn root_module(header: &'static LibHeader) -> Result<PluginModule_Ref, LibraryError> {
    let ours = VersionStrings::new(ABI_VERSION).parsed();
    let theirs = header.version_strings().parsed();
    let is_older = |theirs: VersionNumber, ours: VersionNumber| theirs.major == ours.major && theirs.minor < ours.minor;
    match (theirs, ours, header.layout()) {
        (Ok(theirs), Ok(ours), Some(layout)) if is_older(theirs, ours) => {
            check_layout_compatibility(layout, PluginModule_Ref::LAYOUT)
                .map_err(|errors| LibraryError::AbiInstability(RBoxError::from_fmt(&errors)))?;
            // SAFETY: the layouts were compared on the lines above.
            unsafe { header.init_root_module_with_unchecked_layout() }
        }
        _ => header.init_root_module(),
    }
}

fn describe(error: &LibraryError, found: &str) -> OpenError {
    let expected = ABI_VERSION.to_owned();
    match error {
        LibraryError::IncompatibleVersionNumber { actual_version, .. } => {
            OpenError::WrongVersion { found: actual_version.to_string(), expected }
        }
        LibraryError::InvalidAbiHeader(header) => OpenError::WrongVersion {
            found: format!("of abi_stable {}.{}", header.abi_major, header.abi_minor),
            expected,
        },
        LibraryError::AbiInstability(report) => {
            let report = report.to_string();
            // `Error:too many fields`, `Expected:`, `9`, `Found:`, `8` on lines of their own, after pages of context.
            let lines = report.lines().map(str::trim).skip_while(|line| !line.starts_with("Error:"));
            let reason: Vec<_> = lines.filter(|line| !line.is_empty()).take(5).collect();
            OpenError::WrongLayout { found: found.to_owned(), expected, reason: reason.join(" ") }
        }
        other => OpenError::Linker(other.to_string().trim().to_owned()),
    }
}

/// A document that may be an [`Error`] instead.
fn parse<T: DeserializeOwned>(document: &str, what: &str) -> Result<T, Error> {
    let value: serde_json::Value =
        serde_json::from_str(document).map_err(|error| Error::internal(format!("{what} from the plugin: {error}")))?;
    if value.get("kind").is_some() && value.get("message").is_some() {
        return Err(Error::from_document(document));
    }
    serde_json::from_value(value).map_err(|error| Error::internal(format!("{what} from the plugin: {error}")))
}

fn to_document<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::internal(error.to_string()))
}

/// What a host offers to its models.
pub trait HostServices: Send + Sync + 'static {
    /// Writes into the log.
    fn log(&self, level: Level, message: &str);
    /// Records a measurement.
    fn metric(&self, kind: MetricKind, name: &str, labels: &BTreeMap<String, String>, value: f64);
    /// The plugin's own directory.
    fn cache_dir(&self) -> PathBuf;
    /// Where a native runtime's shared library is.
    fn runtime_library(&self, name: &str) -> Option<PathBuf>;
    /// How far a load is.
    fn progress(&self, fraction: f32, stage: &str);
    /// Whether the load is no longer wanted.
    fn is_cancelled(&self) -> bool;
    /// What there is to compute on.
    fn devices(&self) -> Vec<Device>;
}

struct HostAdapter(Arc<dyn HostServices>);

impl RawHost for HostAdapter {
    fn log(&self, level: u8, message: RStr<'_>) {
        let level = match level {
            1 => Level::Error,
            2 => Level::Warn,
            3 => Level::Info,
            4 => Level::Debug,
            _ => Level::Trace,
        };
        self.0.log(level, message.as_str());
    }

    fn metric(&self, kind: u8, name: RStr<'_>, labels: RStr<'_>, value: f64) {
        let kind = match kind {
            0 => MetricKind::Counter,
            1 => MetricKind::Gauge,
            _ => MetricKind::Histogram,
        };
        let labels = serde_json::from_str(labels.as_str()).unwrap_or_default();
        self.0.metric(kind, name.as_str(), &labels, value);
    }

    fn cache_dir(&self) -> RString {
        RString::from(self.0.cache_dir().to_string_lossy().into_owned())
    }

    fn runtime_library(&self, name: RStr<'_>) -> ROption<RString> {
        self.0.runtime_library(name.as_str()).map(|path| RString::from(path.to_string_lossy().into_owned())).into()
    }

    fn progress(&self, fraction: f32, stage: RStr<'_>) {
        self.0.progress(fraction, stage.as_str());
    }

    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    #[cfg(not(feature = "test-abi-1-0"))]
    fn devices(&self) -> RString {
        RString::from(serde_json::to_string(&self.0.devices()).unwrap_or_else(|_| "[]".to_owned()))
    }
}

/// Input audio as the host provides it.
pub trait ProvideAudio: Send {
    /// Everything, when all of it is there and nothing was read yet.
    fn whole(&self) -> Option<&[f32]>;
    /// Fills the front of `buffer`, waiting for at least one sample; 0 is the end.
    fn read(&mut self, buffer: &mut [f32]) -> usize;
}

/// Audio that is there from the start.
#[derive(Debug)]
pub struct WholeAudio<'a> {
    samples: &'a [f32],
    position: usize,
}

impl<'a> WholeAudio<'a> {
    /// Mono samples at the card's input rate.
    pub fn new(samples: &'a [f32]) -> Self {
        Self { samples, position: 0 }
    }
}

impl ProvideAudio for WholeAudio<'_> {
    fn whole(&self) -> Option<&[f32]> {
        (self.position == 0).then_some(self.samples)
    }

    fn read(&mut self, buffer: &mut [f32]) -> usize {
        let count = buffer.len().min(self.samples.len() - self.position);
        buffer[..count].copy_from_slice(&self.samples[self.position..self.position + count]);
        self.position += count;
        count
    }
}

struct AudioAdapter<'a>(&'a mut dyn ProvideAudio);

impl RawAudio for AudioAdapter<'_> {
    fn whole(&self) -> ROption<RSlice<'_, f32>> {
        self.0.whole().map(RSlice::from_slice).into()
    }

    fn read(&mut self, mut buffer: RSliceMut<'_, f32>) -> usize {
        self.0.read(buffer.as_mut_slice())
    }
}

struct TranscriptAdapter<'a>(&'a mut dyn ReceiveTranscript);

impl RawTranscriptSink for TranscriptAdapter<'_> {
    fn push(&mut self, event: RStr<'_>) -> u8 {
        match serde_json::from_str(event.as_str()) {
            Ok(TranscriptEvent::Unknown) | Err(_) => self.0.flow().to_raw(),
            Ok(event) => self.0.push(event).to_raw(),
        }
    }

    fn flow(&self) -> u8 {
        self.0.flow().to_raw()
    }
}

struct PcmAdapter<'a>(&'a mut dyn ReceivePcm);

impl RawPcmSink for PcmAdapter<'_> {
    fn push(&mut self, samples: RSlice<'_, f32>) -> u8 {
        self.0.push(samples.as_slice()).to_raw()
    }

    fn note(&mut self, event: RStr<'_>) -> u8 {
        match serde_json::from_str(event.as_str()) {
            Ok(SpeechEvent::Unknown) | Err(_) => self.0.flow().to_raw(),
            Ok(event) => self.0.note(event).to_raw(),
        }
    }

    fn flow(&self) -> u8 {
        self.0.flow().to_raw()
    }
}

/// A model that lives in a plugin.
pub struct LoadedModel {
    model: RawModelBox,
    card: ModelCard,
}

impl LoadedModel {
    /// What the model says of itself.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// Runs the model once on throw-away input. Does nothing in plugins of ABI 1.0.
    ///
    /// # Errors
    /// The plugin's.
    pub fn warm_up(&self) -> Result<(), Error> {
        #[cfg(not(feature = "test-abi-1-0"))]
        return self.model.warm_up().into_result().map_err(|document| Error::from_document(document.as_str()));
        #[cfg(feature = "test-abi-1-0")]
        Ok(())
    }

    /// Runs a transcription job on this thread. Plugins before ABI 1.2 don't see `known_speakers`.
    ///
    /// # Errors
    /// The plugin's; a panic over there is one of them.
    pub fn transcribe(
        &self,
        settings: &TranscribeSettings,
        audio: &mut dyn ProvideAudio,
        known_speakers: &[Clip<'_>],
        receiver: &mut dyn ReceiveTranscript,
    ) -> Result<(), Error> {
        let settings = to_document(settings)?;
        let settings = RStr::from_str(&settings);
        let mut audio = AudioAdapter(audio);
        let audio = RawAudio_TO::from_ptr(&mut audio, TD_Opaque);
        let mut sink = TranscriptAdapter(receiver);
        let sink = RawTranscriptSink_TO::from_ptr(&mut sink, TD_Opaque);
        let known_speakers = raw_clips(known_speakers);
        #[cfg(not(feature = "test-abi-1-0"))]
        let result = self.model.transcribe_known(settings, audio, RSlice::from_slice(&known_speakers), sink);
        #[cfg(feature = "test-abi-1-0")]
        let result = {
            let _ = known_speakers;
            self.model.transcribe(settings, audio, sink)
        };
        result.into_result().map_err(|document| Error::from_document(document.as_str()))
    }

    /// Runs a speech job on this thread.
    ///
    /// # Errors
    /// The plugin's; a panic over there is one of them.
    pub fn synthesize(
        &self,
        settings: &SpeechSettings,
        clips: &[Clip<'_>],
        receiver: &mut dyn ReceivePcm,
    ) -> Result<(), Error> {
        let settings = to_document(settings)?;
        let clips = raw_clips(clips);
        let mut sink = PcmAdapter(receiver);
        self.model
            .synthesize(
                RStr::from_str(&settings),
                RSlice::from_slice(&clips),
                RawPcmSink_TO::from_ptr(&mut sink, TD_Opaque),
            )
            .into_result()
            .map_err(|document| Error::from_document(document.as_str()))
    }
}

fn raw_clips<'a>(clips: &[Clip<'a>]) -> Vec<RawClip<'a>> {
    let raw = |clip: &Clip<'a>| RawClip {
        name: RStr::from_str(clip.name),
        samples: RSlice::from_slice(clip.samples),
        sample_rate: clip.sample_rate,
    };
    clips.iter().map(raw).collect()
}

const _: () = assert!(FLOW_CONTINUE != FLOW_STOP);
