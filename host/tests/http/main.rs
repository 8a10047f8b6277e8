//! The HTTP API over real connections, with a plugin that is linked into the test.

mod auth;
mod client;
mod cluster;
mod edges;
mod errors;
mod fake;
mod lifecycle;
mod limits;
mod models;
mod openapi;
mod speech;
mod transcriptions;
mod voices;
