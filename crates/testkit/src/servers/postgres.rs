//! PostgreSQL with a database made anew, as careful about its disk as in production.
//!
//! Must never run as root: there it runs as Debian's user `postgres`, in a folder that it owns.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use super::{START_LIMIT, STOP_LIMIT, is_root};
use crate::ports;
use crate::process::{Process, Signal, find_program};

/// Debian keeps the servers here, one folder for each major version, off the search path.
const FOLDER: &str = "/usr/lib/postgresql";

/// More connections than a cluster of tests takes.
const CONNECTIONS_MAX: u32 = 200;

/// How it is asked to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// Ends the sessions, writes everything down.
    Fast,
    /// As after a power cut: the next start recovers from the log.
    Immediate,
}

/// A PostgreSQL server at a port of its own.
#[derive(Debug)]
pub struct Postgres {
    /// Where it listens.
    pub port: u16,
    log: PathBuf,
    programs: PathBuf,
    owner: Option<(u32, u32)>,
    process: Option<Process>,
    /// Further settings, as `name=value`.
    settings: Vec<String>,
    /// Further variables of its environment.
    variables: Vec<(String, String)>,
    /// Dropped last: the files of the server.
    folder: TempDir,
}

impl Postgres {
    /// Makes the database folder; the server is not started yet. `log` is written by us, wherever it lies.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or the folder cannot be made.
    pub fn new(log: PathBuf) -> Result<Self> {
        Self::new_in(&std::env::temp_dir(), log)
    }

    /// As [`Postgres::new`], with its files below this folder: on a disk of its own, for one.
    ///
    /// # Errors
    /// As [`Postgres::new`].
    pub fn new_in(parent: &Path, log: PathBuf) -> Result<Self> {
        let postgres = Self::bare(parent, log)?;
        let mut command = postgres.command("initdb");
        command.args(["--username=hubbub", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--pgdata"]);
        let made = command.arg(postgres.database()).output().context("cannot start initdb")?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr).trim());
        Ok(postgres)
    }

    /// A standby that follows this server, which has to run; it is not started yet.
    ///
    /// # Errors
    /// When the copy cannot be made.
    pub fn standby(&self, name: &str, log: PathBuf) -> Result<Self> {
        let standby = Self::bare(&std::env::temp_dir(), log)?;
        let mut command = standby.command("pg_basebackup");
        let from = format!("host=127.0.0.1 port={} user=hubbub application_name={name}", self.port);
        command.args(["--dbname", &from, "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"]);
        let made = command.arg("--pgdata").arg(standby.database()).output().context("cannot start pg_basebackup")?;
        ensure!(made.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&made.stderr).trim());
        // The database is there already.
        fs::write(standby.log.with_extension("created"), "")?;
        Ok(standby)
    }

    /// Makes a standby the primary.
    ///
    /// # Errors
    /// When it does not take over.
    pub fn promote(&self) -> Result<()> {
        let mut command = self.command("pg_ctl");
        let made =
            command.arg("promote").arg("--pgdata").arg(self.database()).output().context("cannot start pg_ctl")?;
        ensure!(made.status.success(), "pg_ctl promote: {}", String::from_utf8_lossy(&made.stderr).trim());
        Ok(())
    }

    /// With this setting from the next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|setting| setting.split_once('=').is_none_or(|(other, _)| other != name));
        self.settings.push(format!("{name}={value}"));
    }

    /// With this variable from the next start on.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Listens at another port from the next start on.
    ///
    /// # Errors
    /// When no port is free.
    pub fn move_port(&mut self) -> Result<()> {
        self.port = ports::free()?;
        Ok(())
    }

    fn bare(parent: &Path, log: PathBuf) -> Result<Self> {
        let postgres = program("postgres")?;
        let programs = postgres.parent().context("a program lies in a folder")?.to_path_buf();
        let folder = tempfile::Builder::new().prefix("hubbub-postgresql-").tempdir_in(parent)?;
        let owner = hand_over(folder.path())?;
        let (settings, variables) = Default::default();
        Ok(Self { port: ports::free()?, log, programs, owner, process: None, settings, variables, folder })
    }

    /// Starts it, unless it runs, and makes the database `hubbub` at the first start.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(&mut self) -> Result<()> {
        if self.process.is_none() {
            self.launch()?;
        }
        let ready = find_program("pg_isready", "postgresql", std::slice::from_ref(&self.programs))?;
        let port = self.port.to_string();
        let process = self.process.as_mut().context("just started")?;
        let probe = async || {
            let mut command = Command::new(&ready);
            command.args(["--quiet", "--host", "127.0.0.1", "--port", &port]);
            command.status().is_ok_and(|status| status.success())
        };
        process.wait_until(START_LIMIT, "ready", probe).await?;
        let mark = self.log.with_extension("created");
        if !mark.exists() {
            let mut command = self.command("createdb");
            command.args(["--host", "127.0.0.1", "--port", &port, "--username", "hubbub", "hubbub"]);
            let made = command.output()?;
            ensure!(made.status.success(), "createdb: {}", String::from_utf8_lossy(&made.stderr).trim());
            fs::write(mark, "")?;
        }
        Ok(())
    }

    /// Starts it without waiting until it answers.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn launch(&mut self) -> Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.database()).args(["-p", &self.port.to_string()]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        command.args(["-c", &format!("max_connections={CONNECTIONS_MAX}")]);
        command.args(self.settings.iter().flat_map(|setting| ["-c", setting]));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::start("postgresql", command, &self.log)?);
        Ok(())
    }

    /// Stops it and waits until it has.
    ///
    /// # Errors
    /// When it does not stop in time; it is killed then.
    pub async fn stop(&mut self, shutdown: Shutdown) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.signal(match shutdown {
            Shutdown::Fast => Signal::Interrupt,
            Shutdown::Immediate => Signal::Quit,
        });
        process.wait(STOP_LIMIT).await.map(drop)
    }

    /// `kill -9` to its first process, as a machine that goes dark. Its sessions end when they notice.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// How it ended, once, if it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.ended()?;
        self.process = None;
        Some(status)
    }

    /// Its first process and all that this one started, while it runs.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let Some(pid) = self.pid() else { return Vec::new() };
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        std::iter::once(pid).chain(children.split_whitespace().filter_map(|child| child.parse().ok())).collect()
    }

    /// The id of its first process while it runs; the sessions are its children.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Runs statements in the database `hubbub`, for as long as they take, and returns what they answer.
    ///
    /// # Errors
    /// With what PostgreSQL said.
    pub fn run(&self, statements: &str) -> Result<String> {
        let mut command = self.command("psql");
        command.args(["--host", "127.0.0.1", "--port", &self.port.to_string(), "--username", "hubbub"]);
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]);
        let answer = command.args(["--command", statements, "hubbub"]).output().context("cannot start psql")?;
        ensure!(answer.status.success(), "psql: {}", String::from_utf8_lossy(&answer.stderr).trim());
        Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("database")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path());
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(process) = &mut self.process else { return };
        // Killed outright it would leave a segment of shared memory behind for ever.
        process.signal(Signal::Quit);
        let deadline = std::time::Instant::now() + STOP_LIMIT;
        while process.ended().is_none() && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// One of PostgreSQL's programs, of the newest version that is installed.
///
/// # Errors
/// When it is not installed.
pub fn program(name: &str) -> Result<PathBuf> {
    find_program(name, "postgresql", &versions(Path::new(FOLDER)))
}

/// The `bin` folders of every installed PostgreSQL, newest first.
fn versions(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// Hands a folder to the user whom servers run as, where that is another than ours, and says who it is.
pub(super) fn hand_over(folder: &Path) -> Result<Option<(u32, u32)>> {
    let owner = if is_root() { Some(postgres_user()?) } else { None };
    if let Some((user, group)) = owner {
        chown(folder, Some(user), Some(group)).context("cannot hand the folder to `postgres`")?;
    }
    Ok(owner)
}

/// User and group of Debian's package.
fn postgres_user() -> Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.starts_with("postgres:")).context("there is no user `postgres`")?;
    let mut numbers = line.split(':').skip(2).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(user)), Some(Ok(group))) => Ok((user, group)),
        _ => anyhow::bail!("the user `postgres` has no numbers"),
    }
}
