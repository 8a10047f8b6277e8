//! Commands of Xinference's that don't apply to a server of audio models: they say so, and what to do instead.

use super::{Failure, Outcome};
use clap::Args;
use std::ffi::OsString;

/// Whatever stands behind such a command.
#[derive(Debug, Args)]
pub(super) struct Foreign {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _words: Vec<OsString>,
}

/// The end of such a command.
pub(super) fn refuse(command: &str, instead: &str) -> Outcome {
    Err(Failure::new(format!("`{command}` doesn't apply to this server: {instead}")))
}

/// Logs in to a cluster of Xinference's.
#[derive(Debug, Args)]
pub(super) struct Login {
    #[command(flatten)]
    endpoint: super::Endpoint,
    /// Not used
    #[arg(long)]
    username: Option<String>,
    /// Not used, and not stored
    #[arg(long)]
    password: Option<String>,
}

impl Login {
    pub(super) fn run(self) -> Outcome {
        let auth = super::client::Client::new(&self.endpoint).get("/v1/cluster/auth")?;
        if auth["auth"] != true {
            super::screen::line("This server wants no key; there is nothing to log in to.");
            return Ok(());
        }
        let _ = (self.username, self.password);
        refuse("login", "it knows API keys and no users. Give a key with --api-key, or in SYRINX_API_KEY")
    }
}
