//! Where and with what it was measured: processor, memory, kernel, versions, day, commit.
//!
//! Must never tell names or paths of the machine: results are published.

use std::fs;
use std::process::Command;

use anyhow::Result;
pub(crate) use hubbub_testkit::origin::{commit, today};
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
