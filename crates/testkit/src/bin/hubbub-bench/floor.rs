//! `hubbub-load bare`: the least that a server can do that spreads messages, as the floor beside what is measured.
//!
//! Must never be left running.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use hubbub_testkit::process::Process;
use hubbub_testkit::servers::START_LIMIT;
use tempfile::TempDir;

use crate::load::{self, Aim, Found, Load, Outcome, Shape};

/// How the floor writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Each message at once.
    Direct,
    /// What came within 10 ms, in one write.
    Joined,
}

impl Mode {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Joined => "joined",
        }
    }

    /// As the subject of a row.
    pub(crate) const fn subject(self) -> &'static str {
        match self {
            Self::Direct => "bare",
            Self::Joined => "joined",
        }
    }
}

/// The name under which it is watched.
pub(crate) const NAME: &str = "bare";

/// A running bare server; killed when dropped, and by the kernel when we are.
pub(crate) struct Floor {
    process: Process,
    address: String,
    folder: TempDir,
}

impl Floor {
    /// Starts it where a node would run, with messages as long on the wire as those that it is compared with.
    pub(crate) fn start(mode: Mode, frame_bytes: u32, cpus: Option<&str>) -> Result<Self> {
        let program = load::program()?;
        let mut command = match cpus {
            None => Command::new(program),
            Some(cpus) => {
                // It becomes the server, so that the process id is the server's.
                let mut command = Command::new("taskset");
                command.args(["-c", cpus]).arg(program);
                command
            }
        };
        command.args(["bare", "--listen", "127.0.0.1:0", "--mode", mode.name()]);
        command.args(["--frame-bytes", &frame_bytes.to_string()]);
        if mode == Mode::Joined {
            command.args(["--tick", "10ms"]);
        }
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("bare.log");
        let mut process = Process::start(NAME, command, &log)?;
        // Its first line is the address.
        let mut address = None;
        let listens = async || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            address = text.split_once('\n').map(|(first, _)| first.trim().to_owned());
            address.is_some()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(process.wait_until(START_LIMIT, "ready", listens))?;
        let address = address.context("it said where it listens")?;
        Ok(Self { process, address, folder })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// As something to watch.
    pub(crate) fn watched(&self, name: &str) -> (String, u32) {
        (name.to_owned(), self.process.pid())
    }

    /// Runs a load against it.
    pub(crate) fn load(&self, shape: &Shape) -> Result<Outcome> {
        let aim = Aim { peer: "raw", urls: vec![self.url()], watched: vec![self.watched(NAME)], ..Aim::default() };
        Load { shape, aim: &aim, folder: self.folder.path(), processes: 1 }.run()
    }

    /// The highest rate at which the conditions hold.
    pub(crate) fn search(&self, shape: &Shape, conditions: &str, range: (f64, f64)) -> Result<Found> {
        let aim = Aim { peer: "raw", urls: vec![self.url()], ..Aim::default() };
        Load { shape, aim: &aim, folder: self.folder.path(), processes: 1 }.search(conditions, range)
    }
}

/// CPU per delivery of the same load on the floor of this mode, in µs.
pub(crate) fn cost(mode: Mode, frame_bytes: u32, cpus: Option<&str>, shape: &Shape) -> Result<(f64, Outcome)> {
    let outcome = Floor::start(mode, frame_bytes, cpus)?.load(shape)?;
    Ok((outcome.cpu(NAME)? * 1e6 / outcome.count("delivered")?, outcome))
}
