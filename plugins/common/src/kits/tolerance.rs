//! What a case's `tolerance` may say about one output.
//!
//! Keys of `tolerance` are paths (`out.hidden`, `expect.result.segments.*.start`); `*` stands for any run of characters, and a key
//! without prefix (`sum`) also names the last part of a path, and a whole path all that is below it. Of several matching keys the one with the most literal characters wins.
//!
//! | entry | meaning |
//! |---|---|
//! | `atol`, `rtol` | every value: `|got − want| ≤ atol + rtol · |want|` |
//! | `modulo` | the difference is taken on a circle of this length |
//! | `ignore_where` | `"out.har_spec < 1e-3"`: values where that expected tensor is so are not compared |
//! | `min_corr` | Pearson correlation over the whole signal |
//! | `rel_rms` | RMS of the difference / RMS of what is wanted |
//! | `samples_abs` | lengths may differ by so many values |
//! | `rms_rel` | RMS of both, relative difference |
//! | `max_NAME`, `min_NAME` | bound on a measure that the op supplies ([`Got::measure`](super::Got::measure)) |
//!
//! Entries named `measured…`, `identical_on` and `note` are remarks. Anything else is an error: a rule that isn't understood isn't kept.
//! Without any rule, values have to be equal.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Tensor, glob};

/// The rules for one output.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Rules {
    pub(super) elementwise: Option<Elementwise>,
    pub(super) min_corr: Option<f64>,
    pub(super) rel_rms: Option<f64>,
    pub(super) samples_abs: Option<f64>,
    pub(super) rms_rel: Option<f64>,
    /// Name, bound, whether it is an upper bound.
    pub(super) measures: Vec<(String, f64, bool)>,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Elementwise {
    pub(super) atol: f64,
    pub(super) rtol: f64,
    pub(super) modulo: Option<f64>,
    pub(super) ignore_where: Option<Condition>,
}

/// `tensor < bound` or `tensor > bound`.
#[derive(Debug, PartialEq)]
pub(super) struct Condition {
    tensor: String,
    below: bool,
    bound: f64,
}

impl Elementwise {
    /// Error of one value in units of its tolerance: above 1 it fails.
    pub(super) fn relative_error(&self, got: f64, want: f64) -> f64 {
        if got == want || (got.is_nan() && want.is_nan()) {
            return 0.0;
        }
        let mut difference = (got - want).abs();
        if let Some(modulo) = self.modulo {
            difference %= modulo;
            difference = difference.min(modulo - difference);
        }
        if difference == 0.0 {
            return 0.0;
        }
        let error = difference / (self.atol + self.rtol * want.abs());
        // NaN on one side only, or infinity against a number.
        if error.is_nan() || difference.is_infinite() { f64::INFINITY } else { error }
    }
}

impl Condition {
    fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split_whitespace().collect();
        match parts[..] {
            [tensor, sign @ ("<" | ">"), bound] => {
                let bound = bound.parse().map_err(|_| format!("ignore_where {text:?}: {bound:?} is not a number"))?;
                Ok(Self { tensor: tensor.to_owned(), below: sign == "<", bound })
            }
            _ => Err(format!("ignore_where {text:?} is not of the form \"NAME < NUMBER\"")),
        }
    }

    /// For each value of the tensor whether it is to be ignored.
    pub(super) fn mask(&self, tensors: &BTreeMap<String, Tensor>) -> Result<Vec<bool>, String> {
        let tensor =
            tensors.get(&self.tensor).ok_or_else(|| format!("ignore_where: the case has no {}", self.tensor))?;
        Ok(tensor.to_f64().iter().map(|&v| if self.below { v < self.bound } else { v > self.bound }).collect())
    }
}

impl Rules {
    /// The rules that `tolerance` has for `path`; equality if it has none.
    pub(super) fn find(tolerance: &Value, path: &str) -> Result<Self, String> {
        let entry = tolerance.as_object().and_then(|entries| {
            entries
                .iter()
                .filter(|(key, _)| key_matches(key, path))
                .max_by_key(|(key, _)| key.chars().filter(|&c| c != '*').count())
                .map(|(_, entry)| entry)
        });
        match entry {
            None => Ok(Self { elementwise: Some(Elementwise::default()), ..Self::default() }),
            Some(entry) => Self::parse(entry).map_err(|e| format!("tolerance of {path}: {e}")),
        }
    }

    fn parse(entry: &Value) -> Result<Self, String> {
        let entries = entry.as_object().ok_or("not an object")?;
        let mut rules = Self::default();
        let mut elementwise = None;
        for (key, value) in entries {
            let number = || value.as_f64().ok_or_else(|| format!("{key} is not a number"));
            match key.as_str() {
                "atol" => elementwise.get_or_insert_with(Elementwise::default).atol = number()?,
                "rtol" => elementwise.get_or_insert_with(Elementwise::default).rtol = number()?,
                "modulo" => elementwise.get_or_insert_with(Elementwise::default).modulo = Some(number()?),
                "ignore_where" => {
                    let text = value.as_str().ok_or("ignore_where is not a string")?;
                    elementwise.get_or_insert_with(Elementwise::default).ignore_where = Some(Condition::parse(text)?);
                }
                "min_corr" => rules.min_corr = Some(number()?),
                "rel_rms" => rules.rel_rms = Some(number()?),
                "samples_abs" => rules.samples_abs = Some(number()?),
                "rms_rel" => rules.rms_rel = Some(number()?),
                "note" | "identical_on" => {}
                remark if remark.starts_with("measured") => {}
                other => match (other.strip_prefix("max_"), other.strip_prefix("min_")) {
                    (Some(name), _) => rules.measures.push((name.to_owned(), number()?, true)),
                    (_, Some(name)) => rules.measures.push((name.to_owned(), number()?, false)),
                    _ => return Err(format!("unknown rule {other}")),
                },
            }
        }
        // Rules on the signal as a whole replace the rule of equal values; they don't soften a written one.
        let whole = rules.min_corr.is_some() || rules.rel_rms.is_some() || !rules.measures.is_empty();
        rules.elementwise = if whole { elementwise } else { Some(elementwise.unwrap_or_default()) };
        Ok(rules)
    }
}

fn key_matches(key: &str, path: &str) -> bool {
    glob::matches(key, path)
        || path.strip_prefix(key).is_some_and(|below| below.starts_with('.'))
        || path.split_once('.').is_some_and(|(_, rest)| glob::matches(key, rest))
        || path.rsplit('.').next() == Some(key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_most_literal_key_wins() {
        let tolerance = json!({"expect.*": {"atol": 1.0}, "expect.*.start": {"atol": 0.5}, "out.x": {"atol": 0.25}, "sum": {"atol": 2.0}});
        let atol = |path: &str| Rules::find(&tolerance, path).unwrap().elementwise.unwrap().atol;
        assert_eq!(atol("expect.a.start"), 0.5);
        assert_eq!(atol("expect.a.end"), 1.0);
        assert_eq!(atol("out.x"), 0.25);
        assert_eq!(atol("out.y"), 0.0);
        assert_eq!(atol("expect.tensors.a.sum"), 1.0);
        assert_eq!(Rules::find(&json!({"sum": {"atol": 2.0}}), "expect.t.sum").unwrap().elementwise.unwrap().atol, 2.0);
    }

    #[test]
    fn an_unknown_rule_is_an_error() {
        assert!(Rules::find(&json!({"out.x": {"atoll": 1.0}}), "out.x").is_err());
        assert!(Rules::find(&json!({"out.x": {"measured_f32": 1.0, "atol": 1.0}}), "out.x").is_ok());
    }

    #[test]
    fn differences_wrap_and_infinities_are_equal_to_themselves() {
        let rule = Elementwise { atol: 0.1, modulo: Some(6.0), ..Elementwise::default() };
        assert!(rule.relative_error(5.95, 0.0) < 1.0);
        let rule = Elementwise { atol: 0.1, rtol: 0.5, ..Elementwise::default() };
        assert_eq!(rule.relative_error(f64::NEG_INFINITY, f64::NEG_INFINITY), 0.0);
        assert_eq!(rule.relative_error(f64::NEG_INFINITY, 1.0), f64::INFINITY);
        assert_eq!(rule.relative_error(1.0, f64::NEG_INFINITY), f64::INFINITY);
        assert_eq!(rule.relative_error(f64::NAN, 1.0), f64::INFINITY);
    }
}
