//! PgBouncer in transaction mode before PostgreSQL.
//!
//! Must never run as root: it refuses to, so there it runs as Debian's user `postgres`.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::START_LIMIT;
use super::postgres::hand_over;
use crate::ports;
use crate::process::{Process, find_program};

/// Connections to the database, fewer than the nodes ask for.
const POOL: u32 = 20;

/// What a pooler has to say at the beginning of each connection, as `docs/postgresql.md` has it.
const SESSION: &str = "SET statement_timeout = 10000; SET lock_timeout = 5000; \
    SET idle_in_transaction_session_timeout = 2000; SET enable_seqscan = off; SET enable_hashjoin = off; \
    SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan; SET jit = off";

/// A pooler at a port of its own.
#[derive(Debug)]
pub struct Pgbouncer {
    /// Where it listens.
    pub port: u16,
    owner: Option<(u32, u32)>,
    process: Option<Process>,
    /// Dropped last: its configuration and its log.
    folder: TempDir,
}

impl Pgbouncer {
    /// A pooler before the database `hubbub` of the server at this port; it is not started yet.
    ///
    /// # Errors
    /// When its configuration cannot be written.
    pub fn new(postgres: u16) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hubbub-pgbouncer-").tempdir()?;
        let owner = hand_over(folder.path())?;
        let port = ports::free()?;
        let users = folder.path().join("users.txt");
        fs::write(&users, "\"hubbub\" \"\"\n")?;
        let configuration = format!(
            "[databases]\nhubbub = host=127.0.0.1 port={postgres} dbname=hubbub user=hubbub connect_query='{SESSION}'\n\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n\
             pool_mode = transaction\ndefault_pool_size = {POOL}\nmax_client_conn = 500\n\
             ignore_startup_parameters = extra_float_digits,options\n",
            users.display()
        );
        fs::write(folder.path().join("pgbouncer.ini"), configuration)?;
        Ok(Self { port, owner, process: None, folder })
    }

    /// Starts it, unless it runs.
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub async fn start(&mut self) -> Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        let mut command = Command::new(find_program("pgbouncer", "pgbouncer", &[])?);
        command.current_dir(self.folder.path()).arg("pgbouncer.ini");
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        let mut process = Process::start("pgbouncer", command, &self.folder.path().join("pgbouncer.log"))?;
        let port = self.port;
        let listens = async || TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        process.wait_until(START_LIMIT, "ready", listens).await.context("PgBouncer")?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.process = None;
    }
}
