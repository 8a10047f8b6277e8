//! Talks to a running server.

use super::{Endpoint, Failure};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::{env, time::Duration};
use ureq::{
    Agent, Body, RequestBuilder,
    http::Response,
    typestate::{WithBody, WithoutBody},
    unversioned::multipart::Form,
};

/// Where the server listens unless something else is said.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:9997";

/// A server and a key for it.
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    api_key: Option<String>,
}

impl Client {
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        // An empty variable is one that isn't set.
        let set = |name: &&str| env::var(name).ok().filter(|endpoint| !endpoint.trim().is_empty());
        let from_env = || ["SYRINX_ENDPOINT", "XINFERENCE_ENDPOINT"].iter().find_map(set);
        let base = endpoint.endpoint.clone().or_else(from_env).unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let base = address(&base);
        let mut config =
            Agent::config_builder().http_status_as_error(false).timeout_connect(Some(Duration::from_secs(5)));
        if is_this_machine(&base) {
            config = config.proxy(None);
        }
        Self { agent: config.build().new_agent(), endpoint: base, api_key: endpoint.api_key.clone() }
    }

    fn without_body(&self, request: RequestBuilder<WithoutBody>) -> Result<Response<Body>, Failure> {
        let request = match &self.api_key {
            Some(key) => request.header("authorization", format!("Bearer {key}")),
            None => request,
        };
        self.answer(request.call())
    }

    fn post(&self, path: &str) -> RequestBuilder<WithBody> {
        let request = self.agent.post(format!("{}{path}", self.endpoint));
        match &self.api_key {
            Some(key) => request.header("authorization", format!("Bearer {key}")),
            None => request,
        }
    }

    fn answer(&self, result: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, Failure> {
        let mut response = result.map_err(|error| {
            Failure::new(format!("no server answers at {} ({error}); start one with `syrinx serve`", self.endpoint))
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.body_mut().read_to_string().unwrap_or_default();
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        // A server of Xinference's own has only `detail`.
        let message = [&body["error"]["message"], &body["detail"]].into_iter().find_map(Value::as_str);
        Err(Failure::new(message.map_or_else(|| format!("the server answered {status}"), ToOwned::to_owned)))
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        json(self.without_body(self.agent.get(format!("{}{path}", self.endpoint)))?)
    }

    pub(super) fn delete(&self, path: &str) -> Result<Value, Failure> {
        json(self.without_body(self.agent.delete(format!("{}{path}", self.endpoint)))?)
    }

    pub(super) fn post_json(&self, path: &str, body: &Value) -> Result<Response<Body>, Failure> {
        self.answer(self.post(path).header("content-type", "application/json").send(body.to_string()))
    }

    pub(super) fn post_form(&self, path: &str, form: Form<'_>) -> Result<Response<Body>, Failure> {
        self.answer(self.post(path).send(form))
    }
}

pub(super) fn json(mut response: Response<Body>) -> Result<Value, Failure> {
    let text = response.body_mut().read_to_string().map_err(|error| Failure::new(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| Failure::new(format!("the server's answer is not JSON: {error}")))
}

/// What isn't `unreserved` (RFC 3986, section 2.3).
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A name as a part of a path or as a value in a query.
pub(super) fn encoded(name: &str) -> String {
    utf8_percent_encode(name, &RESERVED).to_string()
}

/// Whole, without a slash at the end: `localhost:9997` is `http://localhost:9997`.
fn address(endpoint: &str) -> String {
    let endpoint = endpoint.trim().trim_end_matches('/');
    if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") }
}

/// Whether no proxy can be on the way.
fn is_this_machine(address: &str) -> bool {
    let host = address.split_once("://").map_or(address, |(_, rest)| rest);
    ["127.", "localhost", "[::1]"].iter().any(|own| host.starts_with(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded() {
        assert_eq!(encoded("whisper-base.en_~"), "whisper-base.en_~");
        assert_eq!(encoded("a b&c=%?#/é"), "a%20b%26c%3D%25%3F%23%2F%C3%A9");
    }

    #[test]
    fn endpoints_are_completed() {
        assert_eq!(address("http://a:1//"), "http://a:1");
        assert_eq!(address("localhost:9997"), "http://localhost:9997");
        assert!(is_this_machine("http://127.0.0.1:1") && !is_this_machine("http://10.0.0.1"));
    }
}
