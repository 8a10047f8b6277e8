//! Counting what test programs report.

use std::{fmt, ops::AddAssign};

/// How many passed, failed and did not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Tally {
    /// One check that passed or failed.
    pub(crate) fn one(success: bool) -> Self {
        Self { passed: usize::from(success), failed: usize::from(!success), skipped: 0 }
    }

    /// Adds up what a program's output says, of the standard harness (`test result: ok. 3 passed; 0 failed; 1 ignored; …`)
    /// and of the kit runner (`3 passed, 0 failed, 1 skipped`). A program that failed without owning up to it counts as a
    /// failure, one that succeeded without a word as a success.
    pub(crate) fn of(output: &str, success: bool) -> Self {
        let reports: Vec<Self> = output.lines().filter_map(Self::of_line).collect();
        let mut total = Self::default();
        for report in &reports {
            total += *report;
        }
        // Tests that say themselves that they could not run; they count as passed above.
        let said = output.lines().filter(|line| line.starts_with("SKIPPED ")).count();
        total.skipped += said;
        total.passed -= said.min(total.passed);
        let told_all = if success { !reports.is_empty() } else { total.failed > 0 };
        if !told_all {
            total += Self::one(success);
        }
        total
    }

    fn of_line(line: &str) -> Option<Self> {
        let counts = match line.strip_prefix("test result: ") {
            Some(rest) => rest.split_once(". ")?.1,
            None => line,
        };
        let mut total = Self::default();
        let mut named_failures = false;
        for part in counts.split([';', ',']) {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match what {
                "passed" => total.passed += number,
                "failed" => {
                    total.failed += number;
                    named_failures = true;
                }
                "ignored" | "skipped" => total.skipped += number,
                _ => {}
            }
        }
        named_failures.then_some(total)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: usize, failed: usize, skipped: usize) -> Tally {
        Tally { passed, failed, skipped }
    }

    #[test]
    fn harness_output_is_counted() {
        let line = "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.31s";
        assert_eq!(Tally::of(line, true), tally(12, 0, 3));
        let two = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s\n"
            .repeat(2);
        assert_eq!(Tally::of(&two, false), tally(2, 4, 0));
    }

    #[test]
    fn kit_output_is_counted() {
        assert_eq!(Tally::of("encoder.forward 6 cases\n5 passed, 1 failed, 2 skipped", false), tally(5, 1, 2));
        assert_eq!(Tally::of("300 passed, 0 failed", true).to_string(), "300 passed, 0 failed");
    }

    #[test]
    fn silent_and_lying_programs_are_counted() {
        assert_eq!(Tally::of("", true), tally(1, 0, 0));
        assert_eq!(Tally::of("test result: ok. 0 passed; 0 failed; 0 ignored", true), tally(0, 0, 0));
        assert_eq!(Tally::of("it began", false), tally(0, 1, 0));
        assert_eq!(Tally::of("5 passed, 0 failed", false), tally(5, 1, 0));
    }

    #[test]
    fn tests_that_say_that_they_did_not_run_are_counted() {
        let text = "\nSKIPPED a: no apt-get here\ntest result: ok. 2 passed; 0 failed; 0 ignored";
        assert_eq!(Tally::of(text, true), tally(1, 0, 1));
        assert_eq!(Tally::of(text, true).to_string(), "1 passed, 0 failed, 1 skipped");
    }
}
