//! Where and with what it was measured: processor, memory, kernel, versions, day, commit.
//!
//! Must never tell names or paths of the machine: results are published.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use hubbub_testkit::process::find_program;
use hubbub_testkit::servers;
use serde::{Deserialize, Serialize};

use crate::load;

/// A machine without a name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) system: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_bytes: u64,
}

impl Machine {
    pub(crate) fn read() -> Result<Self> {
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim().to_owned())
        };
        let (cpus, memory) = (fs::read_to_string("/proc/cpuinfo")?, fs::read_to_string("/proc/meminfo")?);
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        // Behind the numbers stands who built it.
        let release = release.trim().split(|sign: char| !sign.is_ascii_digit() && sign != '.').next().unwrap_or("");
        let kilobytes = field(&memory, "MemTotal").and_then(|size| size.trim_end_matches(" kB").parse::<u64>().ok());
        Ok(Self {
            system: format!("Linux {release}"),
            processor: field(&cpus, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            processors: cpus.lines().filter(|line| line.starts_with("processor")).count(),
            memory_bytes: kilobytes.unwrap_or(0) * 1024,
        })
    }
}

/// Programs that took part and their versions; one that is not there is left out.
pub(crate) fn versions() -> Vec<(String, String)> {
    let programs = [
        ("hubbub", servers::node::binary()),
        ("hubbub-load", load::program()),
        ("PostgreSQL", servers::postgres::program("postgres")),
        ("Redis", find_program("redis-server", "redis-server", &[])),
    ];
    let version = |program: Result<std::path::PathBuf>| {
        let output = Command::new(program.ok()?).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_number = |word: &&str| word.trim_start_matches("v=").starts_with(|sign: char| sign.is_ascii_digit());
        let word = text.split_whitespace().find(is_number)?;
        Some(word.trim_start_matches("v=").to_owned())
    };
    programs.into_iter().filter_map(|(name, program)| Some((name.to_owned(), version(program)?))).collect()
}

/// The commit of the sources around us, `+` behind it when files were changed; nothing outside of a checkout.
pub(crate) fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return String::new() };
    let changes = git(&["status", "--porcelain", "--untracked-files=no"]).unwrap_or_default();
    if changes.is_empty() { commit } else { format!("{commit}+") }
}

/// The day in UTC, as `2026-01-31`.
pub(crate) fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Days since 1970 as a date: the year is counted from March on, so that the odd day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + u64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (days, date) in [(0, (1970, 1, 1)), (59, (1970, 3, 1)), (11_016, (2000, 2, 29)), (20_454, (2026, 1, 1))] {
            assert_eq!(civil(days), date, "{days}");
        }
    }
}
