//! `hubbub-load bare`: the least that a server can do that spreads messages, as the floor beside what is measured.
//!
//! Must never be left running.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
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

/// A running bare server; killed when dropped.
pub(crate) struct Floor {
    child: Child,
    address: String,
    folder: TempDir,
}

impl Drop for Floor {
    fn drop(&mut self) {
        // Both fail only when it is gone already, which is what is wanted.
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
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
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start hubbub-load")?;
        let mut floor = Self { child, address: String::new(), folder: tempfile::tempdir()? };
        let output = floor.child.stdout.take().context("its output is ours")?;
        BufReader::new(output).read_line(&mut floor.address)?;
        floor.address.truncate(floor.address.trim_end().len());
        ensure!(!floor.address.is_empty(), "hubbub-load bare did not say where it listens");
        Ok(floor)
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// As something to watch.
    pub(crate) fn watched(&self, name: &str) -> (String, u32) {
        (name.to_owned(), self.child.id())
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
