//! The terms of a request to a model: whose it is, how long it may take, how urgent it is.
//!
//! | header | field | |
//! |---|---|---|
//! | `x-request-timeout` | `timeout` | seconds from the request's arrival to the end of its answer |
//! | `x-priority` | `priority` | `high`, `normal` or `low`; by itself a streamed answer is `high`, others are `normal` |
//! | `x-stainless-read-timeout`, `x-stainless-timeout` | | what OpenAI's clients (Python, Node) tell of their patience: seconds from the end of the request to the beginning of the answer |

use super::{body::Fields, error::ApiError};
use crate::{
    auth::StoredKey,
    callers::Turn,
    models::{Priority, Ticket},
    server::App,
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use utoipa::IntoParams;

/// The headers, for the description of the API.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `Terms` reads")]
pub(crate) struct TermsHeaders {
    /// Seconds that the request may take, waiting included; the server has a limit of its own. The field `timeout` says the same.
    #[param(rename = "x-request-timeout", exclusive_minimum = 0.0)]
    timeout: Option<f64>,
    /// `high`, `normal` or `low`. By default a streamed answer is `high`, others are `normal`; more than that may need a
    /// permission of the API key. The field `priority` says the same.
    #[param(rename = "x-priority")]
    priority: Option<String>,
}

/// What the guard knows of a request that it lets through.
#[derive(Clone, Debug)]
pub(super) struct Admitted {
    pub(super) arrived: Instant,
    pub(super) key: Option<StoredKey>,
    pub(super) may_raise_priority: bool,
    /// Taken by the handler.
    pub(super) turn: Arc<Mutex<Option<Turn>>>,
}

/// Headers and what the guard knows.
pub(crate) struct Terms {
    admitted: Admitted,
    headers: HeaderMap,
    longest: Duration,
}

impl FromRequestParts<Arc<App>> for Terms {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let admitted = parts.extensions.get::<Admitted>().cloned();
        Ok(Self {
            admitted: admitted.ok_or_else(|| ApiError::internal("a request has passed the guard unseen"))?,
            headers: parts.headers.clone(),
            longest: app.config.limits.job,
        })
    }
}

/// The header and the field of each term.
const TIMEOUT: (&str, &str) = ("x-request-timeout", "timeout");
const PRIORITY: (&str, &str) = ("x-priority", "priority");

/// Headers of OpenAI's clients.
const CLIENTS_PATIENCE: [&str; 2] = ["x-stainless-read-timeout", "x-stainless-timeout"];

/// What the terms come to.
pub(crate) struct Agreed {
    admitted: Admitted,
    priority: Option<Priority>,
    finish_within: Duration,
    patience: Duration,
}

impl Terms {
    /// Reads the fields over the headers.
    ///
    /// # Errors
    /// 400 that names the field or the header at fault.
    pub(crate) fn agree(self, fields: &Fields) -> Result<Agreed, ApiError> {
        let field = fields.number(TIMEOUT.1)?.map(|number| (TIMEOUT.1, positive(number)));
        let header = || self.header(TIMEOUT.0).map(|text| (TIMEOUT.0, seconds(text)));
        let finish_within = match field.or_else(header) {
            None => self.longest,
            Some((_, Some(time))) => time.min(self.longest),
            Some((name, None)) => {
                return Err(ApiError::invalid(name, format!("`{name}` must be a number of seconds above 0")));
            }
        };
        let field = fields.text(PRIORITY.1)?.map(|text| (PRIORITY.1, text.parse()));
        let header = || self.header(PRIORITY.0).map(|text| (PRIORITY.0, text.parse()));
        let priority = match field.or_else(header) {
            None => None,
            Some((_, Ok(priority))) => Some(priority),
            Some((name, Err(()))) => {
                return Err(ApiError::invalid(name, format!("`{name}` must be one of {}", Priority::NAMES)));
            }
        };
        // Nobody writes these by hand, so what makes no sense is no reason to refuse anything. They begin when all is sent.
        let patience = CLIENTS_PATIENCE.iter().filter_map(|name| seconds(self.header(name)?)).min();
        let patience = patience.map(|patience| self.admitted.arrived.elapsed().saturating_add(patience));
        let patience = patience.map_or(finish_within, |patience| patience.min(finish_within));
        Ok(Agreed { admitted: self.admitted, priority, finish_within, patience })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
    }
}

impl Agreed {
    /// When the request must have begun.
    pub(crate) fn start_by(&self) -> Instant {
        self.admitted.arrived + self.patience
    }

    /// What the model gets to see of it. A client's patience is for the beginning of an answer, which is all of it unless it
    /// is `streamed`.
    pub(crate) fn ticket(self, streamed: bool) -> Ticket {
        let natural = if streamed { Priority::High } else { Priority::Normal };
        let wanted = self.priority.unwrap_or(natural);
        let Admitted { arrived, key, may_raise_priority, turn } = self.admitted;
        Ticket {
            caller: key,
            priority: if may_raise_priority { wanted } else { wanted.max(natural) },
            arrived,
            start_within: self.patience,
            finish_within: if streamed { self.finish_within } else { self.patience },
            turn: turn.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }
}

/// A time in seconds, above 0.
fn seconds(text: &str) -> Option<Duration> {
    positive(text.parse().ok()?)
}

fn positive(seconds: f64) -> Option<Duration> {
    // What is no time that can be told is longer than any limit.
    (seconds > 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn agree(headers: &[(&'static str, &'static str)], body: serde_json::Value) -> Result<Agreed, ApiError> {
        let admitted = Admitted { arrived: Instant::now(), key: None, may_raise_priority: false, turn: Arc::default() };
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let fields = Fields::from_json(body.to_string().as_bytes()).unwrap();
        Terms { admitted, headers, longest: Duration::from_secs(100) }.agree(&fields)
    }

    fn times(headers: &[(&'static str, &'static str)], body: serde_json::Value, streamed: bool) -> (u64, u64) {
        let ticket = agree(headers, body).unwrap().ticket(streamed);
        (ticket.start_within.as_secs(), ticket.finish_within.as_secs())
    }

    #[test]
    fn a_request_may_ask_for_less_time() {
        assert_eq!(times(&[], json!({}), false), (100, 100));
        assert_eq!(times(&[("x-request-timeout", "7")], json!({}), true), (7, 7));
        assert_eq!(times(&[("x-request-timeout", "7")], json!({"timeout": 3}), false), (3, 3));
        assert_eq!(times(&[("x-request-timeout", "1e9")], json!({}), false), (100, 100));
        assert_eq!(times(&[("x-request-timeout", "1e300")], json!({"timeout": null}), false), (100, 100));
        for bad in [json!({"timeout": 0}), json!({"timeout": -1}), json!({"timeout": "soon"}), json!({"timeout": []})] {
            let error = agree(&[], bad.clone()).err().unwrap();
            assert!(error.to_string().contains("timeout"), "{bad}: {error}");
        }
        let error = agree(&[("x-request-timeout", "NaN")], json!({})).err().unwrap();
        assert!(error.to_string().contains("`x-request-timeout`"), "{error}");
    }

    #[test]
    fn clients_tell_how_long_they_wait_for_an_answer_to_begin() {
        assert_eq!(times(&[("x-stainless-read-timeout", "30.5")], json!({}), false), (30, 30));
        assert_eq!(times(&[("x-stainless-timeout", "20")], json!({}), true), (20, 100));
        assert_eq!(times(&[("x-stainless-timeout", "20"), ("x-request-timeout", "5")], json!({}), true), (5, 5));
        assert_eq!(times(&[("x-stainless-timeout", "never")], json!({}), false), (100, 100));
    }

    #[test]
    fn streams_are_more_urgent_by_themselves() {
        let priority = |body, streamed, may_raise| {
            let mut agreed = agree(&[], body).unwrap();
            agreed.admitted.may_raise_priority = may_raise;
            agreed.ticket(streamed).priority
        };
        assert_eq!(priority(json!({}), true, false), Priority::High);
        assert_eq!(priority(json!({}), false, false), Priority::Normal);
        assert_eq!(priority(json!({"priority": "low"}), true, false), Priority::Low);
        assert_eq!(priority(json!({"priority": "HIGH"}), false, false), Priority::Normal, "it isn't permitted");
        assert_eq!(priority(json!({"priority": "high"}), false, true), Priority::High);
        assert!(agree(&[], json!({"priority": "urgent"})).is_err());
    }
}
