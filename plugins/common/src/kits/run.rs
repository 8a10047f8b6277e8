//! Selecting, running and reporting.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::{Case, Op, case, compare, glob};

/// How many differences of one case are printed.
const PRINTED_DIFFERENCES: usize = 5;

#[derive(Debug, PartialEq)]
struct Selection {
    dir: Option<PathBuf>,
    op: String,
    case: String,
}

fn parse(arguments: &[String]) -> Result<Selection, String> {
    let mut selection = Selection { dir: None, op: "*".to_owned(), case: "*".to_owned() };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let (name, inline) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        let mut value =
            || inline.clone().or_else(|| rest.next().cloned()).ok_or_else(|| format!("{name} needs a value"));
        match name {
            "--dir" => selection.dir = Some(PathBuf::from(value()?)),
            "--op" => selection.op = value()?,
            "--case" => selection.case = value()?,
            _ => {
                return Err(format!("unknown argument {argument}; usage: [--dir DIR] [--op GLOB] [--case GLOB]"));
            }
        }
    }
    Ok(selection)
}

pub(super) fn default_dir() -> Result<PathBuf, String> {
    if let Some(dir) = std::env::var_os("SYRINX_KITS") {
        return Ok(PathBuf::from(dir));
    }
    let here = std::env::current_dir().map_err(|e| format!("the working directory can't be read: {e}"))?;
    here.ancestors()
        .map(|above| above.join("tests").join("kits"))
        .find(|dir| dir.is_dir())
        .ok_or_else(|| format!("no tests/kits at or above {}; name the kits with --dir or SYRINX_KITS", here.display()))
}

#[derive(Default)]
struct OpReport {
    cases: usize,
    passed: usize,
    skipped: usize,
    worst: f64,
    time: Duration,
}

pub(super) fn main(family: &str, ops: &[Op], informative: &[(&str, &str)], arguments: &[String]) -> ExitCode {
    let mut out = io::stdout();
    match run(family, ops, informative, arguments, &mut out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            // The report could not even be written: the exit status has to say it.
            let _ = writeln!(io::stderr(), "kits of {family}: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Runs and reports; whether all is well.
fn run(
    family: &str,
    ops: &[Op],
    informative: &[(&str, &str)],
    arguments: &[String],
    out: &mut dyn Write,
) -> Result<bool, String> {
    let selection = parse(arguments)?;
    let root = match &selection.dir {
        Some(dir) => dir.clone(),
        None => default_dir()?,
    }
    .join(family);
    let io_error = |e: io::Error| format!("the report can't be written: {e}");

    let mut reports: BTreeMap<String, OpReport> = BTreeMap::new();
    let mut reasons: BTreeMap<String, &str> = BTreeMap::new();
    let mut unreadable = 0;
    for (path, set) in case::list(&root)? {
        let case = match read(&root, &path, set.as_deref()) {
            Ok(case) => case,
            Err(reason) => {
                unreadable += 1;
                writeln!(out, "FAILED  {reason}").map_err(io_error)?;
                continue;
            }
        };
        if !glob::matches(&selection.op, &case.op) || !glob::matches(&selection.case, &case.name) {
            continue;
        }
        let report = reports.entry(case.op.clone()).or_default();
        report.cases += 1;
        let full_name = format!("{}/{}", case.op, case.name);
        let why = informative
            .iter()
            .find(|(pattern, _)| glob::matches(pattern, &case.op) || glob::matches(pattern, &full_name));
        if let Some((_, why)) = why {
            report.skipped += 1;
            reasons.insert(case.op.clone(), why);
            continue;
        }
        let started = Instant::now();
        let outcome = run_case(&case, ops);
        report.time += started.elapsed();
        match outcome {
            Ok(worst) => {
                report.passed += 1;
                report.worst = report.worst.max(worst);
            }
            Err(lines) => {
                writeln!(out, "FAILED  {full_name}").map_err(io_error)?;
                for line in lines {
                    writeln!(out, "        {line}").map_err(io_error)?;
                }
            }
        }
        out.flush().map_err(io_error)?;
    }
    summarise(&reports, &reasons, unreadable, &root, out).map_err(io_error)
}

fn read(root: &Path, path: &Path, set: Option<&str>) -> Result<Case, String> {
    match set {
        None => Case::read(root, path),
        Some(set) => Case::read_lines(root, set, path),
    }
}

/// Worst relative error, or what is wrong.
fn run_case(case: &Case, ops: &[Op]) -> Result<f64, Vec<String>> {
    let Some(op) = ops.iter().find(|op| op.name == case.op) else {
        return Err(vec![format!("the plugin doesn't know the op {}", case.op)]);
    };
    // A panic is one case's failure, not the end of the run.
    let got = catch_unwind(AssertUnwindSafe(|| (op.run)(case)))
        .unwrap_or_else(|panic| {
            let text =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("panicked: {}", text.unwrap_or("(no message)")))
        })
        .map_err(|reason| vec![reason])?;
    let (differences, worst) = compare(case, &got, op.remarks);
    if differences.is_empty() {
        return Ok(worst);
    }
    let mut lines: Vec<String> =
        differences.iter().take(PRINTED_DIFFERENCES).map(|d| format!("{}: {}", d.path, d.what)).collect();
    if differences.len() > PRINTED_DIFFERENCES {
        lines.push(format!("… and {} more", differences.len() - PRINTED_DIFFERENCES));
    }
    Err(lines)
}

fn summarise(
    reports: &BTreeMap<String, OpReport>,
    reasons: &BTreeMap<String, &str>,
    unreadable: usize,
    root: &Path,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let (mut passed, mut failed, mut skipped) = (0, unreadable, 0);
    writeln!(out, "{:<28} {:>6} {:>7} {:>12} {:>9}", "op", "cases", "passed", "worst error", "seconds")?;
    for (op, report) in reports {
        let remark = match reasons.get(op) {
            Some(why) => format!("  {} skipped: {why}", report.skipped),
            None => String::new(),
        };
        let (worst, seconds) = (report.worst, report.time.as_secs_f64());
        writeln!(out, "{op:<28} {:>6} {:>7} {worst:>12.3} {seconds:>9.2}{remark}", report.cases, report.passed)?;
        passed += report.passed;
        skipped += report.skipped;
        failed += report.cases - report.passed - report.skipped;
    }
    if reports.is_empty() && unreadable == 0 {
        failed += 1;
        writeln!(out, "FAILED  no case below {} is selected", root.display())?;
    }
    write!(out, "{passed} passed, {failed} failed")?;
    if skipped > 0 {
        write!(out, ", {skipped} skipped")?;
    }
    writeln!(out)?;
    Ok(failed == 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::super::Got;
    use super::*;

    /// A kit of two ops in a folder of its own.
    fn kit(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("syrinx-kits-{}-{name}", std::process::id()));
        let cases = dir.join("demo").join("cases");
        fs::create_dir_all(&cases).unwrap();
        let write = |name: &str, op: &str| {
            let case = json!({"family": "demo", "model": null, "op": op, "params": {"x": 2.0}, "expect": {"y": 4.0, "how": "doubled"}});
            fs::write(cases.join(name), case.to_string()).unwrap();
        };
        write("one.json", "demo.double");
        write("two.json", "demo.other");
        dir
    }

    fn report(dir: &Path, ops: &[Op], informative: &[(&str, &str)], more: &[&str]) -> (Result<bool, String>, String) {
        let mut arguments = vec!["--dir".to_owned(), dir.display().to_string()];
        arguments.extend(more.iter().map(|s| (*s).to_owned()));
        let mut out = Vec::new();
        let result = run("demo", ops, informative, &arguments, &mut out);
        (result, String::from_utf8(out).unwrap())
    }

    fn double(case: &Case) -> Result<Got, String> {
        Ok(Got::new().value("y", case.param::<f64>("x")? * 2.0).value("how", "doubled"))
    }

    fn triple(case: &Case) -> Result<Got, String> {
        Ok(Got::new().value("y", case.param::<f64>("x")? * 3.0).value("how", "doubled"))
    }

    fn panics(_: &Case) -> Result<Got, String> {
        panic!("out of luck")
    }

    #[test]
    fn counts_and_exit_status() {
        let dir = kit("counts");
        let both = [Op::new("demo.double", double), Op::new("demo.other", double)];
        let (result, text) = report(&dir, &both, &[], &[]);
        assert_eq!(result, Ok(true), "{text}");
        assert!(text.ends_with("2 passed, 0 failed\n"), "{text}");

        let (result, text) = report(&dir, &[both[0], Op::new("demo.other", triple)], &[], &[]);
        assert_eq!(result, Ok(false));
        assert!(text.contains("expect.y: is 6, wanted 4") && text.ends_with("1 passed, 1 failed\n"), "{text}");

        let (result, text) = report(&dir, &[both[0], Op::new("demo.other", panics)], &[], &[]);
        assert_eq!(result, Ok(false));
        assert!(text.contains("out of luck"), "{text}");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn an_unknown_op_fails_unless_it_is_informative() {
        let dir = kit("unknown");
        let one = [Op::new("demo.double", double)];
        let (result, text) = report(&dir, &one, &[], &[]);
        assert_eq!(result, Ok(false));
        assert!(text.contains("doesn't know the op demo.other"), "{text}");

        let (result, text) = report(&dir, &one, &[("demo.o*", "another implementation")], &[]);
        assert_eq!(result, Ok(true));
        assert!(text.ends_with("1 passed, 0 failed, 1 skipped\n"), "{text}");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn selection_and_wrong_arguments() {
        let dir = kit("selection");
        let one = [Op::new("demo.double", double)];
        assert!(report(&dir, &one, &[], &["--op", "*.double"]).1.ends_with("1 passed, 0 failed\n"));
        assert!(report(&dir, &one, &[], &["--case=one"]).1.ends_with("1 passed, 0 failed\n"));
        assert_eq!(report(&dir, &one, &[], &["--op", "nothing"]).0, Ok(false), "an empty selection is no success");
        assert!(report(&dir, &one, &[], &["--cases"]).0.is_err());
        assert!(report(&dir, &one, &[], &["--op"]).0.is_err());
        assert!(report(&dir.join("nowhere"), &one, &[], &[]).0.is_err());
        fs::write(dir.join("demo/cases/broken.json"), "{").unwrap();
        let (result, text) = report(&dir, &one, &[], &["--case=one"]);
        assert_eq!(result, Ok(false), "{text}");
        assert!(text.contains("broken.json"), "{text}");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn lines_become_one_case() {
        let dir = kit("lines");
        let set = dir.join("demo").join("words");
        fs::create_dir_all(&set).unwrap();
        fs::write(set.join("en.jsonl"), "{\"text\":\"a\",\"sounds\":\"A\"}\n\n{\"text\":\"b\",\"sounds\":\"B\"}\n")
            .unwrap();
        fn sounds(case: &Case) -> Result<Got, String> {
            let lines: Vec<serde_json::Map<String, serde_json::Value>> = case.param("lines")?;
            let said: Vec<_> = lines
                .iter()
                .map(|line| json!({"sounds": line["text"].as_str().unwrap_or("").to_uppercase()}))
                .collect();
            Ok(Got::new().value("lines", said))
        }
        let (result, text) =
            report(&dir, &[Op::new("words.en", sounds)], &[], &["--op", "words.*", "--case", "words_en"]);
        assert_eq!(result, Ok(true), "{text}");
        fs::remove_dir_all(dir).unwrap();
    }
}
