//! The HTTP API over real connections, with a plugin that is linked into the test.

mod cache;
mod client;
mod errors;
mod fake;
mod hub;
mod launches;
mod lifecycle;
mod limits;
mod models;
mod registrations;
mod reload;
mod speech;
mod transcriptions;
