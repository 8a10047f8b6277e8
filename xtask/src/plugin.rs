//! `cargo xtask plugin`: one plugin, also for NVIDIA cards.

use crate::{build, command, cuda, libtorch, place};
use clap::Args;
use std::process::{Command, ExitCode};

#[derive(Debug, Args)]
pub(crate) struct Plugin {
    /// Folder of the plugin below `plugins/`. For `chattts`, libtorch is fetched (0.5 GB)
    family: String,
    /// Build it for NVIDIA cards, with a CUDA compiler that is fetched unless it is there. The plugin then computes on cards where they and
    /// CUDA's libraries are, and on the processor everywhere. For `chattts`, libtorch for cards is fetched (3.2 GB)
    #[arg(long)]
    cuda: bool,
    /// Run this example of the plugin, built the same way; with --cuda, CUDA's libraries are fetched for it (600 MB)
    #[arg(long, value_name = "NAME")]
    example: Option<String>,
    /// Arguments of the example
    #[arg(last = true, value_name = "ARGUMENTS")]
    rest: Vec<String>,
}

impl Plugin {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        if !place::families()?.contains(&self.family) {
            return Err(format!("there is no plugin `{}`; there are {}", self.family, place::families()?.join(", ")));
        }
        let package = format!("syrinx-plugin-{}", self.family);
        let verb = if self.example.is_some() { "run" } else { "build" };
        let mut cargo = command::cargo(&[verb, "--release", "--package", &package]);
        if let Some(example) = &self.example {
            cargo.args(["--example", example]);
        } else {
            cargo.arg("--lib");
        }
        let has_own_folder = self.configure(&mut cargo)?;
        if self.example.is_some() {
            command::run(cargo.arg("--").args(&self.rest))?;
            return Ok(ExitCode::SUCCESS);
        }
        command::run(&mut cargo)?;
        let library = place::plugin_library(&self.family);
        if has_own_folder {
            println!("{}", cuda::release().join(library).display());
        } else {
            println!("{}", build::place_plugins()?.join(library).display());
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Makes `cargo` build with what the plugin needs; whether into CUDA's own folder.
    fn configure(&self, cargo: &mut Command) -> Result<bool, String> {
        if self.family == libtorch::FAMILY {
            let libtorch = if self.cuda { libtorch::provide_cuda()? } else { libtorch::provide()? };
            libtorch.configure(cargo);
            return Ok(false);
        }
        if self.cuda {
            cuda::toolkit()?.configure(cargo);
            if self.example.is_some() {
                cuda::libraries(cargo)?;
            }
        }
        Ok(self.cuda)
    }
}
