//! Talks to a running server.

use super::{Endpoint, Failure};
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
        let from_env = || ["SYRINX_ENDPOINT", "XINFERENCE_ENDPOINT"].iter().find_map(|name| env::var(name).ok());
        let base = endpoint.endpoint.clone().or_else(from_env).unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let config = Agent::config_builder().http_status_as_error(false).timeout_connect(Some(Duration::from_secs(5)));
        Self {
            agent: config.build().new_agent(),
            endpoint: base.trim_end_matches('/').to_owned(),
            api_key: endpoint.api_key.clone(),
        }
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
        let message = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|body| Some(body.get("error")?.get("message")?.as_str()?.to_owned()))
            .unwrap_or_else(|| format!("the server answered {status}"));
        Err(Failure::new(message))
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
