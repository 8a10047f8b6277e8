//! Where the plugin looks for libtorch: where it was when the plugin was built. `LD_LIBRARY_PATH` goes before.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The variables of torch-sys, the crate that links libtorch.
    for name in ["LIBTORCH_LIB", "LIBTORCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    if env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    if let Ok(dir) = env::var("LIBTORCH_LIB").or_else(|_| env::var("LIBTORCH")) {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{dir}/lib");
    }
}
