//! Whether a model runs in this process or in one of its own.

use super::LaunchError;
use crate::plugins::Generation;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Where a model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Models whose plugin needs a native runtime: in a process of their own; others in the server's.
    #[default]
    Auto,
    /// In the server's process: a crash in native code ends the server.
    InProcess,
    /// In a process of its own: a crash costs that model's requests in flight.
    Process,
}

impl FromStr for Isolation {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name.to_ascii_lowercase().replace('_', "-").as_str() {
            "auto" => Ok(Self::Auto),
            "in-process" => Ok(Self::InProcess),
            "process" => Ok(Self::Process),
            _ => Err(()),
        }
    }
}

impl Isolation {
    /// What there is to choose from.
    pub const NAMES: &str = "auto, in-process, process";

    /// Whether models of this plugin get a process of their own.
    ///
    /// # Errors
    /// When they can't have one but must.
    pub(super) fn applies(self, plugin: &Generation) -> Result<bool, LaunchError> {
        let possible = cfg!(unix) && plugin.staged().is_some();
        match self {
            Self::InProcess => Ok(false),
            Self::Auto => Ok(possible && !plugin.manifest().runtimes.is_empty()),
            Self::Process if possible => Ok(true),
            Self::Process => {
                let message = "`isolation` can't be \"process\" here: that needs a plugin in a file, on a Unix system";
                Err(LaunchError::invalid("isolation", message))
            }
        }
    }
}
