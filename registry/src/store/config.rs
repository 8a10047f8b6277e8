//! Where the store is and how it reaches the outside: from the environment, or set by the program.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use crate::error::StoreError;
use crate::fetch::http::Timeouts;

const HF_ENDPOINT: &str = "https://huggingface.co";
const MODELSCOPE_ENDPOINT: &str = "https://modelscope.cn";

/// Settings of a [`Store`](super::Store).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreConfig {
    /// Directory of everything that is kept.
    pub root: PathBuf,
    /// Never download; use what is stored.
    pub offline: bool,
    /// The model hubs.
    pub hub: HubConfig,
    /// Limits of waiting.
    pub timeouts: Timeouts,
    /// The interpreter whose pip fetches wheels; `None` for the first on the PATH.
    pub python: Option<PathBuf>,
    /// Shared libraries of the user's own by the name of the runtime, e.g. `onnxruntime`; they go before the environment.
    pub libraries: BTreeMap<String, PathBuf>,
    /// npm; `None` for the first on the PATH, or one of our own.
    pub npm: Option<PathBuf>,
}

/// How to reach Hugging Face and ModelScope.
#[derive(Clone)]
#[non_exhaustive]
pub struct HubConfig {
    /// Base address, without `/` at the end.
    pub hf_endpoint: String,
    /// Access token.
    pub hf_token: Option<String>,
    /// Hugging Face's own cache (`…/huggingface/hub`); read, never written.
    pub hf_cache: PathBuf,
    /// `HF_HUB_OFFLINE`: use the cache, ask nobody.
    pub hf_offline: bool,
    /// Base address, without `/` at the end.
    pub modelscope_endpoint: String,
    /// Access token.
    pub modelscope_token: Option<String>,
}

impl std::fmt::Debug for HubConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubConfig")
            .field("hf_endpoint", &self.hf_endpoint)
            .field("hf_token", &self.hf_token.as_ref().map(|_| "…"))
            .field("hf_cache", &self.hf_cache)
            .field("hf_offline", &self.hf_offline)
            .field("modelscope_endpoint", &self.modelscope_endpoint)
            .field("modelscope_token", &self.modelscope_token.as_ref().map(|_| "…"))
            .finish()
    }
}

impl StoreConfig {
    /// Settings for a store in this directory, everything else from the environment.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            offline: flag("SYRINX_OFFLINE"),
            hub: HubConfig::from_env(),
            timeouts: Timeouts::default(),
            python: path("SYRINX_PYTHON"),
            libraries: BTreeMap::new(),
            npm: path("SYRINX_NPM"),
        }
    }

    /// Settings from the environment. The directory is `$SYRINX_HOME`, else `$XDG_CACHE_HOME/syrinx`, else `~/.cache/syrinx`.
    ///
    /// # Errors
    /// [`StoreError::NoHome`] when none of these is known.
    pub fn from_env() -> Result<Self, StoreError> {
        let root = path("SYRINX_HOME")
            .or_else(|| path("XDG_CACHE_HOME").filter(|path| path.is_absolute()).map(|cache| cache.join("syrinx")))
            .or_else(|| {
                env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".cache").join("syrinx"))
            })
            .ok_or(StoreError::NoHome)?;
        Ok(Self::at(root))
    }
}

impl HubConfig {
    /// The variables that the hubs' own tools know: `HF_ENDPOINT`, `HF_TOKEN` (or the token file), `HF_HUB_CACHE`, `HF_HOME`, `HF_HUB_OFFLINE`;
    /// `MODELSCOPE_ENDPOINT` or `MODELSCOPE_DOMAIN`, `MODELSCOPE_API_TOKEN`.
    pub fn from_env() -> Self {
        let hf_home = path("HF_HOME")
            .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| env::home_dir().map(|home| home.join(".cache").join("huggingface")))
            .unwrap_or_else(|| PathBuf::from("huggingface"));
        let hf_cache =
            path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE")).unwrap_or_else(|| hf_home.join("hub"));
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| hf_home.join("token"));
        let hf_token =
            text("HF_TOKEN").or_else(|| std::fs::read_to_string(token_file).ok().map(|token| token.trim().to_owned()));
        let domain = text("MODELSCOPE_ENDPOINT").or_else(|| text("MODELSCOPE_DOMAIN"));
        let modelscope_endpoint = domain.map_or_else(
            || MODELSCOPE_ENDPOINT.to_owned(),
            |domain| if domain.contains("://") { domain } else { format!("https://{domain}") },
        );
        Self {
            hf_endpoint: without_slash(text("HF_ENDPOINT").unwrap_or_else(|| HF_ENDPOINT.to_owned())),
            hf_token: hf_token.filter(|token| is_token(token)),
            hf_cache,
            hf_offline: flag("HF_HUB_OFFLINE") || flag("TRANSFORMERS_OFFLINE"),
            modelscope_endpoint: without_slash(modelscope_endpoint),
            modelscope_token: text("MODELSCOPE_API_TOKEN").filter(|token| is_token(token)),
        }
    }
}

/// A token goes into a header: one visible word.
fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn without_slash(mut endpoint: String) -> String {
    while endpoint.ends_with('/') {
        endpoint.pop();
    }
    endpoint
}

fn text(name: &str) -> Option<String> {
    env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// As huggingface_hub reads flags: 1, true, yes, on.
fn flag(name: &str) -> bool {
    text(name).is_some_and(|value| ["1", "true", "yes", "on"].contains(&value.to_lowercase().as_str()))
}
