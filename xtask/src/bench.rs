//! (in the making)
use clap::Args;
use std::process::ExitCode;
#[derive(Debug, Args)]
pub(crate) struct Bench {}
impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        Ok(ExitCode::SUCCESS)
    }
}
