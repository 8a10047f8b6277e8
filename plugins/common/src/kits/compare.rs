//! Comparing what an op computed with what the reference did.
//!
//! All `out.*` tensors and all entries of `expect` have to be there; shapes, integers, strings and lengths of lists are exact; numbers
//! follow their [tolerance](super::tolerance) (floats in `expect` without one: equal to 12 digits). `mid.*` tensors are compared when the op supplies them. In objects, null and absent are
//! the same, and entries that the reference doesn't have are not looked at.

use serde_json::Value;

use super::tensor::Values;
use super::tolerance::{Elementwise, Rules};
use super::{Case, Got, Tensor, glob};

/// Relative error that a float in `expect` may have if no tolerance names it: double precision, in another order of summation.
const UNRULED_RTOL: f64 = 1e-12;
/// How many differences of one output are spelled out.
const SPELLED_OUT: usize = 3;

/// Something that is not as the reference has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Which output, e.g. `out.hidden` or `expect.result.segments.0.start`.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
}

/// All differences, and the worst error of a number relative to its tolerance (1 is the limit).
pub fn compare(case: &Case, got: &Got, remarks: &[&str]) -> (Vec<Difference>, f64) {
    let mut comparison = Comparison { case, got, remarks, differences: Vec::new(), worst: 0.0 };
    for (name, want) in &case.tensors {
        let needed = name.starts_with("out.");
        if !(needed || name.starts_with("mid.")) || comparison.is_remark(name) {
            continue;
        }
        match got.tensors.get(name) {
            Some(tensor) => comparison.tensor(name, tensor, want),
            None if needed => comparison.measures_only(name),
            None => {}
        }
    }
    if let Value::Object(entries) = &case.expect {
        for (key, want) in entries {
            comparison.value(&format!("expect.{key}"), got.expect.get(key), want);
        }
    }
    (comparison.differences, comparison.worst)
}

struct Comparison<'a> {
    case: &'a Case,
    got: &'a Got,
    remarks: &'a [&'a str],
    differences: Vec<Difference>,
    worst: f64,
}

impl Comparison<'_> {
    fn is_remark(&self, path: &str) -> bool {
        self.remarks.iter().any(|pattern| glob::matches(pattern, path))
    }

    fn differ(&mut self, path: &str, what: String) {
        self.differences.push(Difference { path: path.to_owned(), what });
    }

    fn rules(&mut self, path: &str) -> Option<Rules> {
        Rules::find(&self.case.tolerance, path).map_err(|e| self.differ(path, e)).ok()
    }

    /// A single number bounded from above by `limit`.
    fn bounded(&mut self, path: &str, name: &str, value: f64, limit: f64) {
        let error = if value <= 0.0 { 0.0 } else { value / limit };
        self.worst = self.worst.max(error);
        if error.is_nan() || error > 1.0 {
            self.differ(path, format!("{name} is {value:.6}, at most {limit} is allowed"));
        }
    }

    /// The output as such is missing: fine only if all that the tolerance asks for are measures that were supplied.
    fn measures_only(&mut self, path: &str) {
        let Some(rules) = self.rules(path) else {
            return;
        };
        let supplied = !rules.measures.is_empty()
            && rules.elementwise.is_none()
            && rules.min_corr.is_none()
            && rules.rel_rms.is_none()
            && rules.samples_abs.is_none()
            && rules.rms_rel.is_none();
        if supplied { self.measures(path, &rules) } else { self.differ(path, "missing".to_owned()) }
    }

    fn measures(&mut self, path: &str, rules: &Rules) {
        for (name, bound, upper) in &rules.measures {
            match self.got.measures.get(&(path.to_owned(), name.clone())) {
                None => self.differ(path, format!("the measure {name} is missing")),
                Some(&value) if *upper => self.bounded(path, name, value, *bound),
                Some(&value) if value >= *bound => {}
                Some(&value) => self.differ(path, format!("{name} is {value:.6}, at least {bound} is needed")),
            }
        }
    }

    fn tensor(&mut self, path: &str, got: &Tensor, want: &Tensor) {
        let Some(rules) = self.rules(path) else {
            return;
        };
        self.measures(path, &rules);
        if !got.is_consistent() {
            return self.differ(path, format!("{} values don't fill shape {:?}", got.len(), got.shape()));
        }
        if let Some(limit) = rules.samples_abs {
            self.bounded(path, "difference in length", got.len().abs_diff(want.len()) as f64, limit);
        } else if got.shape() != want.shape() {
            return self.differ(path, format!("shape {:?}, wanted {:?}", got.shape(), want.shape()));
        }
        if let (Values::Int(got), Values::Int(want)) = (got.values(), want.values())
            && rules.elementwise == Some(Elementwise::default())
        {
            // i64 in full: token ids and hashes don't survive f64.
            return self.integers(path, got, want);
        }
        let (got, want) = (got.to_f64(), want.to_f64());
        if let Some(limit) = rules.rms_rel {
            self.bounded(path, "relative difference of RMS", (rms(&got) / rms(&want) - 1.0).abs(), limit);
        }
        if got.len() != want.len() {
            return;
        }
        if let Some(limit) = rules.rel_rms {
            let difference: Vec<f64> = got.iter().zip(&want).map(|(g, w)| g - w).collect();
            self.bounded(path, "RMS of the difference relative to RMS", rms(&difference) / rms(&want), limit);
        }
        if let Some(limit) = rules.min_corr {
            let value = correlation(&got, &want);
            self.bounded(path, "1 - correlation", 1.0 - value, 1.0 - limit);
        }
        if let Some(rule) = &rules.elementwise {
            self.elements(path, &got, &want, rule);
        }
    }

    fn integers(&mut self, path: &str, got: &[i64], want: &[i64]) {
        let wrong: Vec<usize> = (0..want.len()).filter(|&i| got[i] != want[i]).collect();
        if wrong.is_empty() {
            return;
        }
        let samples: Vec<String> =
            wrong.iter().take(SPELLED_OUT).map(|&i| format!("[{i}] is {}, wanted {}", got[i], want[i])).collect();
        self.worst = f64::INFINITY;
        self.differ(path, format!("{} of {} values differ: {}", wrong.len(), want.len(), samples.join("; ")));
    }

    fn elements(&mut self, path: &str, got: &[f64], want: &[f64], rule: &Elementwise) {
        let mask = match rule.ignore_where.as_ref().map(|condition| condition.mask(&self.case.tensors)).transpose() {
            Ok(mask) if mask.as_ref().is_none_or(|mask| mask.len() == want.len()) => mask,
            Ok(_) => {
                return self.differ(path, "ignore_where names a tensor of another shape".to_owned());
            }
            Err(e) => return self.differ(path, e),
        };
        let (mut count, mut worst, mut worst_at) = (0_usize, 0.0_f64, 0);
        for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
            if mask.as_ref().is_some_and(|mask| mask[i]) {
                continue;
            }
            let error = rule.relative_error(g, w);
            count += usize::from(error > 1.0);
            if error > worst {
                (worst, worst_at) = (error, i);
            }
        }
        self.worst = self.worst.max(worst);
        if count > 0 {
            let (got, want) = (got[worst_at], want_at(want, worst_at));
            self.differ(
                path,
                format!(
                    "{count} values are off; the worst, [{worst_at}], is {got}, wanted {want} ({worst:.3} x its tolerance, atol {}, rtol {})",
                    rule.atol, rule.rtol
                ),
            );
        }
    }

    fn value(&mut self, path: &str, got: Option<&Value>, want: &Value) {
        if self.is_remark(path) {
            return;
        }
        let Some(got) = got else {
            if !want.is_null() {
                self.differ(path, "missing".to_owned());
            }
            return;
        };
        match (got, want) {
            (Value::Object(got), Value::Object(want)) => {
                for (key, want) in want {
                    self.value(&format!("{path}.{key}"), got.get(key), want);
                }
            }
            (Value::Array(got), Value::Array(want)) => {
                if got.len() != want.len() {
                    self.differ(
                        path,
                        format!(
                            "{} entries, wanted {}: {}",
                            got.len(),
                            want.len(),
                            abridged(&Value::Array(got.clone()), &Value::Array(want.clone()))
                        ),
                    );
                    return;
                }
                for (i, (got, want)) in got.iter().zip(want).enumerate() {
                    self.value(&format!("{path}.{i}"), Some(got), want);
                }
            }
            (Value::Number(got), Value::Number(want)) => {
                let Some(Rules { elementwise: Some(rule), .. }) = self.rules(path) else {
                    return;
                };
                // Large integers first: f64 would round them.
                if got == want {
                    return;
                }
                let is_float = got.is_f64() || want.is_f64();
                let unruled = rule == Elementwise::default();
                let rule = if is_float && unruled { Elementwise { rtol: UNRULED_RTOL, ..rule } } else { rule };
                let (got, want) = (got.as_f64().unwrap_or(f64::NAN), want.as_f64().unwrap_or(f64::NAN));
                let error = if is_float || !unruled { rule.relative_error(got, want) } else { f64::INFINITY };
                self.worst = self.worst.max(error);
                if error > 1.0 {
                    self.differ(path, format!("is {got}, wanted {want} (atol {}, rtol {})", rule.atol, rule.rtol));
                }
            }
            (got, want) if got == want => {}
            (got, want) => self.differ(path, abridged(got, want)),
        }
    }
}

fn want_at(want: &[f64], index: usize) -> f64 {
    want.get(index).copied().unwrap_or(f64::NAN)
}

fn abridged(got: &Value, want: &Value) -> String {
    const LONGEST: usize = 300; // characters of a value in the report
    let short = |value: &Value| {
        let text = value.to_string();
        if text.chars().count() <= LONGEST { text } else { text.chars().take(LONGEST).collect::<String>() + "…" }
    };
    format!("is {}, wanted {}", short(got), short(want))
}

fn rms(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len().max(1) as f64).sqrt()
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().max(1) as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    if aa == 0.0 && bb == 0.0 { 1.0 } else { ab / (aa * bb).sqrt() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;

    fn case(tensors: &[(&str, Tensor)], expect: Value, tolerance: Value) -> Case {
        Case {
            root: PathBuf::new(),
            name: "test".into(),
            op: "test.op".into(),
            model: None,
            params: Value::Null,
            expect,
            tolerance,
            tensors: tensors
                .iter()
                .map(|(name, tensor)| ((*name).to_owned(), tensor.clone()))
                .collect::<BTreeMap<_, _>>(),
        }
    }

    fn passes(case: &Case, got: Got) -> bool {
        compare(case, &got, &[]).0.is_empty()
    }

    #[test]
    fn floats_follow_their_tolerance() {
        let case = case(
            &[("out.x", Tensor::float(&[2], vec![1.0, 2.0]))],
            Value::Null,
            json!({"out.x": {"atol": 0.1, "rtol": 0.1}}),
        );
        assert!(passes(&case, Got::new().f32("out.x", &[2], vec![1.19, 2.29])));
        assert!(!passes(&case, Got::new().f32("out.x", &[2], vec![1.21, 2.0])));
        assert!(!passes(&case, Got::new().f32("out.x", &[2], vec![1.0, f32::NAN])));
    }

    #[test]
    fn shapes_and_presence_are_exact() {
        let case = case(
            &[("out.x", Tensor::float(&[2], vec![1.0, 2.0])), ("mid.y", Tensor::float(&[1], vec![5.0]))],
            Value::Null,
            json!({"out.x": {"atol": 9.0}}),
        );
        assert!(!passes(&case, Got::new()));
        assert!(!passes(&case, Got::new().f32("out.x", &[1, 2], vec![1.0, 2.0])));
        assert!(!passes(&case, Got::new().f32("out.x", &[2], vec![1.0])));
        assert!(passes(&case, Got::new().f32("out.x", &[2], vec![1.0, 2.0])));
        assert!(
            !passes(&case, Got::new().f32("out.x", &[2], vec![1.0, 2.0]).f32("mid.y", &[1], vec![6.0])),
            "an intermediate that is given is compared"
        );
    }

    #[test]
    fn integers_are_exact_beyond_f64() {
        let big = (1_i64 << 53) + 1;
        let case = case(&[("out.i", Tensor::int(&[1], vec![big]))], json!({"n": 7, "hash": u64::MAX}), Value::Null);
        assert!(passes(&case, Got::new().i64("out.i", &[1], vec![big]).value("n", 7).value("hash", u64::MAX)));
        assert!(!passes(&case, Got::new().i64("out.i", &[1], vec![big - 1]).value("n", 7).value("hash", u64::MAX)));
        assert!(!passes(&case, Got::new().i64("out.i", &[1], vec![big]).value("n", 7).value("hash", u64::MAX - 1)));
        assert!(!passes(&case, Got::new().i64("out.i", &[1], vec![big]).value("n", 8).value("hash", u64::MAX)));
    }

    #[test]
    fn values_are_compared_to_the_leaves() {
        let case = case(
            &[],
            json!({"segments": [{"start": 1.0, "text": "a", "words": null}]}),
            json!({"expect.segments.*.start": {"atol": 0.021}}),
        );
        let got = |value: Value| Got::new().value("segments", value);
        assert!(passes(&case, got(json!([{"start": 1.02, "text": "a", "more": 1}]))));
        assert!(!passes(&case, got(json!([{"start": 1.03, "text": "a"}]))));
        assert!(!passes(&case, got(json!([{"start": 1.0, "text": "b"}]))));
        assert!(!passes(&case, got(json!([{"start": 1.0}]))));
        assert!(!passes(&case, got(json!([]))));
        assert!(!passes(&case, Got::new()));
        assert!(compare(&case, &Got::new(), &["expect.seg*"]).0.is_empty(), "a remark isn't compared");
    }

    #[test]
    fn signals_can_be_judged_as_a_whole() {
        let wave: Vec<f32> = (0..100).map(|i| (i as f32 * 0.3).sin()).collect();
        let noisy: Vec<f32> = wave.iter().enumerate().map(|(i, v)| v + if i % 2 == 0 { 0.01 } else { -0.01 }).collect();
        let other: Vec<f32> = (0..100).map(|i| (i as f32 * 0.5).cos()).collect();
        for tolerance in [json!({"out.a": {"min_corr": 0.97}}), json!({"out.a": {"rel_rms": 0.05}})] {
            let case = case(&[("out.a", Tensor::float(&[100], wave.clone()))], Value::Null, tolerance);
            assert!(passes(&case, Got::new().f32("out.a", &[100], noisy.clone())));
            assert!(!passes(&case, Got::new().f32("out.a", &[100], other.clone())));
            assert!(!passes(&case, Got::new().f32("out.a", &[99], noisy[1..].to_vec())));
        }
    }

    #[test]
    fn an_ops_own_measures_are_bounded_and_needed() {
        let wanted = Tensor::float(&[4], vec![1.0, -1.0, 1.0, -1.0]);
        let case = case(
            &[("out.a", wanted)],
            Value::Null,
            json!({"out.a": {"max_dtw_logmel": 0.32, "samples_abs": 1, "rms_rel": 0.1, "identical_on": "x"}}),
        );
        let got = |n: usize, gain: f32, distance: f64| {
            Got::new().f32("out.a", &[n], vec![gain; n]).measure("out.a", "dtw_logmel", distance)
        };
        assert!(passes(&case, got(5, 1.05, 0.3)));
        assert!(!passes(&case, got(6, 1.0, 0.3)), "too long");
        assert!(!passes(&case, got(4, 1.2, 0.3)), "too loud");
        assert!(!passes(&case, got(4, 1.0, 0.4)), "too far");
        assert!(!passes(&case, Got::new().f32("out.a", &[4], vec![1.0; 4])), "not measured");
    }

    #[test]
    fn masked_values_do_not_count() {
        let tensors =
            [("out.spec", Tensor::float(&[2], vec![1.0, 0.0])), ("out.phase", Tensor::float(&[2], vec![3.1, 0.0]))];
        let tolerance =
            json!({"out.phase": {"atol": 0.1, "modulo": std::f64::consts::TAU, "ignore_where": "out.spec < 1e-3"}});
        let case = case(&tensors, Value::Null, tolerance);
        let got = |a: f32, b: f32| Got::new().f32("out.spec", &[2], vec![1.0, 0.0]).f32("out.phase", &[2], vec![a, b]);
        assert!(passes(&case, got(-3.15, 2.0)));
        assert!(!passes(&case, got(2.5, 0.0)));
    }
}
