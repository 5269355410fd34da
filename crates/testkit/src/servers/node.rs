//! One `hubbub serve`, configured by its environment (CONTRACT §2).
//!
//! Owns the process and its folder. Must never know what a client is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::START_LIMIT;
use crate::process::{Process, Signal};
use crate::{http, ports};

/// The `hubbub` binary: `HUBBUB_BIN`, else the one that cargo built beside this program.
///
/// # Errors
/// When there is none; the message says how to build it.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("HUBBUB_BIN") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join("hubbub")).find(|file| file.is_file());
    beside.context("there is no hubbub binary: `cargo build -p hubbub`, or set HUBBUB_BIN")
}

/// A node at ports of its own.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Where clients connect.
    pub port: u16,
    /// Where operators look.
    pub ops_port: u16,
    program: PathBuf,
    /// Its log, its data and its working folder.
    folder: PathBuf,
    environment: Vec<(String, String)>,
    cpus: Option<String>,
    process: Option<Process>,
}

impl Node {
    /// A node that is not started yet, with its files in `folder`. `environment` wins over the defaults of tests.
    ///
    /// # Errors
    /// When there is no binary, no port, or the folder cannot be made.
    pub fn new(name: &str, folder: &Path, environment: &[(String, String)]) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (port, ops_port) = (ports::free()?, ports::free()?);
        let mut all = vec![
            ("HUBBUB_LISTEN".to_owned(), format!("127.0.0.1:{port}")),
            ("HUBBUB_OPS_LISTEN".to_owned(), format!("127.0.0.1:{ops_port}")),
            ("HUBBUB_DATA_FOLDER".to_owned(), folder.join("node").display().to_string()),
            ("HUBBUB_NODE_NAME".to_owned(), name.to_owned()),
            ("HUBBUB_LOG_LEVEL".to_owned(), std::env::var("HUBBUB_LOG_LEVEL").unwrap_or_else(|_| "info".to_owned())),
        ];
        all.extend_from_slice(environment);
        let program = binary()?;
        let name = name.to_owned();
        let folder = folder.to_path_buf();
        Ok(Self { name, port, ops_port, program, folder, environment: all, cpus: None, process: None })
    }

    /// Runs this build from the next start on.
    pub fn run_build(&mut self, program: &Path) {
        self.program = program.to_path_buf();
    }

    /// Runs on these processors alone from the next start on, such as `0` or `0-3`: it then counts no others either.
    pub fn on_cpus(&mut self, cpus: &str) {
        self.cpus = Some(cpus.to_owned());
    }

    /// Sets or replaces a variable for the next start.
    pub fn set(&mut self, variable: &str, value: impl Into<String>) {
        self.environment.retain(|(name, _)| name != variable);
        self.environment.push((variable.to_owned(), value.into()));
    }

    /// Takes a variable out for the next start.
    pub fn unset(&mut self, variable: &str) {
        self.environment.retain(|(name, _)| name != variable);
    }

    /// A command of the binary with the node's configuration.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        self.equip(command)
    }

    /// `taskset` becomes the node, so that its process id is the node's.
    fn serve(&self) -> Command {
        let Some(cpus) = &self.cpus else { return self.command(&["serve"]) };
        let mut command = Command::new("taskset");
        command.args(["-c", cpus]).arg(&self.program).arg("serve");
        self.equip(command)
    }

    fn equip(&self, mut command: Command) -> Command {
        command.current_dir(&self.folder);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HUBBUB_")) {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it, unless it runs, without waiting until it is ready.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn launch(&mut self) -> Result<()> {
        if self.process.is_none() {
            self.process = Some(Process::start(&self.name, self.serve(), &self.log())?);
        }
        Ok(())
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_ready().await
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Errors
    /// When it ends before, or takes too long.
    pub async fn wait_ready(&mut self) -> Result<()> {
        let port = self.ops_port;
        self.wait_until("ready", async || is_ready(port).await).await
    }

    /// Waits for anything while the node runs.
    ///
    /// # Errors
    /// When it ends before, or takes too long.
    pub async fn wait_until(&mut self, what: &str, condition: impl AsyncFnMut() -> bool) -> Result<()> {
        let process = self.process.as_mut().with_context(|| format!("{} does not run", self.name))?;
        process.wait_until(START_LIMIT, what, condition).await
    }

    /// Whether it was started and not stopped or killed since.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Sends a signal, if it runs.
    pub fn signal(&mut self, signal: Signal) {
        if let Some(process) = &mut self.process {
            process.signal(signal);
        }
    }

    /// Waits for the end of a node that was told to stop.
    ///
    /// # Errors
    /// When it goes on for longer than `limit`.
    pub async fn wait_ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let Some(process) = &mut self.process else { bail!("{} does not run", self.name) };
        let status = process.wait(limit).await?;
        self.process = None;
        Ok(status)
    }

    /// How it ended, once, if it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.ended()?;
        self.process = None;
        Some(status)
    }

    /// Its readiness.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ready(&self) -> Result<http::Answer> {
        http::get(self.ops_port, "/readyz").await
    }

    /// Its metrics as text.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        Ok(http::get(self.ops_port, "/metrics").await?.body)
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }
}

/// Whether the node with this ops port takes clients.
pub async fn is_ready(ops_port: u16) -> bool {
    http::get(ops_port, "/readyz").await.is_ok_and(|answer| answer.status == 200)
}
