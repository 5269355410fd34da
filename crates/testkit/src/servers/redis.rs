//! Redis without persistence: what it holds may be lost at any time.
//!
//! Must never write to disk.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::START_LIMIT;
use crate::ports;
use crate::process::{Process, Signal, find_program};

/// A Redis server at a port of its own.
#[derive(Debug)]
pub struct Redis {
    /// Where it listens.
    pub port: u16,
    folder: PathBuf,
    /// Further arguments.
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Redis {
    /// A server that is not started yet.
    ///
    /// # Errors
    /// When no port is free.
    pub fn new(folder: PathBuf) -> Result<Self> {
        Self::with_arguments(folder, &[])
    }

    /// As [`Redis::new`], with further arguments.
    ///
    /// # Errors
    /// As [`Redis::new`].
    pub fn with_arguments(folder: PathBuf, arguments: &[&str]) -> Result<Self> {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Ok(Self { port: ports::free()?, folder, arguments, process: None })
    }

    /// What the server answers to a question, as `redis-cli` shows it.
    ///
    /// # Errors
    /// When it does not answer, or there is no `redis-cli`.
    pub fn ask(&self, question: &[&str]) -> Result<String> {
        let mut command = Command::new(find_program("redis-cli", "redis-tools", &[])?);
        let answer = command.args(["-p", &self.port.to_string()]).args(question).output()?;
        ensure!(answer.status.success(), "redis-cli: {}", String::from_utf8_lossy(&answer.stderr).trim());
        Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
    }

    /// Starts it, unless it runs.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(&mut self) -> Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        let mut command = Command::new(find_program("redis-server", "redis-server", &[])?);
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(&self.folder).args(&self.arguments);
        let mut process = Process::start("redis", command, &self.folder.join("redis.log"))?;
        let port = self.port;
        process.wait_until(START_LIMIT, "ready", async || answers(port).await).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Freezes it or lets it go on.
    pub fn signal(&mut self, signal: Signal) {
        if let Some(process) = &mut self.process {
            process.signal(signal);
        }
    }
}

async fn answers(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(&answer == b"+PONG\r\n")
    };
    ask.await.unwrap_or(false)
}
