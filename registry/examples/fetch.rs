//! `fetch NAME…`: brings models (or, as `runtime:NAME`, shared libraries) into the user's store and says where they are.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use syrinx_registry::{Catalogue, FetchOptions, Store, TerminalProgress};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when standard error is closed.
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let catalogue = Catalogue::builtin();
    let store = Store::default_location()?;
    let progress = TerminalProgress::new();
    let mut out = std::io::stdout();
    for name in std::env::args().skip(1) {
        let started = Instant::now();
        if let Some(runtime) = name.strip_prefix("runtime:") {
            let library = store.fetch_runtime(runtime, &FetchOptions::default(), &progress)?;
            writeln!(out, "{name}\t{:.1} s\t{}", started.elapsed().as_secs_f64(), library.display())?;
            continue;
        }
        let model = catalogue.model(&name)?;
        let files = store.fetch(&model, &FetchOptions::default(), &progress)?;
        writeln!(out, "{name}\t{:.1} s\t{}", started.elapsed().as_secs_f64(), files.dir.display())?;
        for (asset, directory) in &files.assets {
            writeln!(out, "  {asset}\t{}", directory.display())?;
        }
    }
    Ok(())
}
