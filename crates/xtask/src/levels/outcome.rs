//! What tests came to: runs a test program, passes its output on, and keeps the counts.
//!
//! Must never swallow a line of output or turn a failure into a success.

use std::io::{BufRead as _, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// What a level came to.
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) took: Duration,
    pub(super) sum: TestResult,
}

/// Runs a test program to its end. Fails when it says nothing about its tests, or fails without saying which.
pub(super) fn run(command: Command) -> Result<Vec<TestResult>> {
    run_into(command, &mut std::io::stdout().lock())
}

fn run_into(mut command: Command, terminal: &mut impl Write) -> Result<Vec<TestResult>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let output = child.stdout.take().context("the output of a test program is not ours")?;
    let mut results = Vec::new();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        terminal.write_all(&line)?;
        terminal.write_all(b"\n")?;
        results.extend(TestResult::parse(&String::from_utf8_lossy(&line)));
    }
    let status = child.wait()?;
    let failed = TestResult::sum(&results).failed > 0;
    ensure!(status.success() || failed, "a test program ended without a result ({status}): {command:?}");
    ensure!(!results.is_empty(), "a test program said nothing of its tests: {command:?}");
    Ok(results)
}

/// The counts of one `test result: ok.` line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TestResult {
    pub(super) passed: u64,
    pub(super) failed: u64,
    ignored: u64,
    measured: u64,
    filtered_out: u64,
}

impl TestResult {
    fn parse(line: &str) -> Option<Self> {
        let counts = line.trim_start().strip_prefix("test result: ")?.split_once(". ")?.1;
        let count = |what: &str| {
            let part = counts.split(';').map(str::trim).find_map(|part| part.strip_suffix(what))?;
            part.trim().parse().ok()
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            ignored: count("ignored")?,
            measured: count("measured")?,
            filtered_out: count("filtered out")?,
        })
    }

    pub(super) fn sum(results: &[Self]) -> Self {
        results.iter().fold(Self::default(), |sum, result| Self {
            passed: sum.passed + result.passed,
            failed: sum.failed + result.failed,
            ignored: sum.ignored + result.ignored,
            measured: sum.measured + result.measured,
            filtered_out: sum.filtered_out + result.filtered_out,
        })
    }

    /// In cargo's own form, so that whoever looks for its closing line finds it.
    pub(super) fn line(&self, took: Option<Duration>) -> String {
        let Self { passed, failed, ignored, measured, filtered_out } = self;
        let verdict = if *failed == 0 { "ok" } else { "FAILED" };
        let time = took.map_or_else(String::new, |took| format!("; finished in {:.2}s", took.as_secs_f64()));
        format!(
            "test result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; {measured} measured; \
            {filtered_out} filtered out{time}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "test result: ok. 7 passed; 0 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.01s";

    fn shell(script: &str) -> Result<Vec<TestResult>> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        // Kept off the real output, or whoever reads that would count these lines.
        run_into(command, &mut Vec::new())
    }

    #[test]
    fn cargos_line_is_read_and_written_alike() {
        let result = TestResult::parse(LINE).expect("a result");
        assert_eq!(result, TestResult { passed: 7, failed: 0, ignored: 2, measured: 0, filtered_out: 3 });
        assert_eq!(result.line(Some(Duration::from_millis(10))), LINE);
        assert_eq!(TestResult::parse("test levels::tests::result ... ok"), None);
    }

    #[test]
    fn sums_show_a_failure() {
        let ok = TestResult::parse(LINE).expect("a result");
        let failed = TestResult { failed: 1, ..ok.clone() };
        assert_eq!(TestResult::sum(&[ok, failed]).passed, 14);
        assert!(TestResult { failed: 1, ..TestResult::default() }.line(None).starts_with("test result: FAILED."));
    }

    #[test]
    fn a_program_that_dies_or_is_mute_is_no_success() {
        assert_eq!(shell(&format!("echo '{LINE}'")).expect("a result").len(), 1);
        shell(&format!("echo '{LINE}'; exit 101")).expect_err("it failed without a failed test");
        shell("exit 0").expect_err("it said nothing");
    }
}
