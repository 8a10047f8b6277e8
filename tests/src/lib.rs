//! What the tests of the running product share: where things are built, plugins made for the occasion, the server as a
//! child process, clients, and measures of text and sound.
//!
//! Everything here fails by panicking with the reason: it runs in tests only.

pub mod cli;
pub mod clips;
pub mod debian;
pub mod fixtures;
pub mod http;
pub mod nginx;
pub mod node;
pub mod other_rustc;
pub mod python;
pub mod server;
pub mod services;
#[cfg(target_os = "linux")]
pub mod soak;
pub mod sound;
pub mod swaps;
pub mod text;
pub mod wire;
pub mod workspace;
