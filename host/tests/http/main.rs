//! The HTTP API over real connections, with a plugin that is linked into the test.

mod client;
mod errors;
mod fake;
mod lifecycle;
mod limits;
mod models;
mod speech;
mod transcriptions;
mod voices;
