//! The HTTP API over real connections, with a plugin that is linked into the test.

mod auth;
mod cache;
mod client;
mod cluster;
mod edges;
mod errors;
mod fake;
mod hub;
mod launches;
mod lifecycle;
mod limits;
mod models;
mod openapi;
mod registrations;
mod reload;
mod speech;
mod transcriptions;
mod voices;
