//! PgBouncer in transaction mode before a PostgreSQL server, set as `docs/postgresql.md` tells operators.
//!
//! Must never outlive the program that started it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The number in the name of its socket.
const PORT: u16 = 6432;
/// How long it may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(20);
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// The account that runs it when we are root, which PgBouncer refuses to be.
const ACCOUNT: &str = "postgres";
/// What operators are told to give it; `tests/conformance/pooling.rs` holds the document to it.
pub(crate) const CONNECT_QUERY: &str = "SET statement_timeout = 10000; SET lock_timeout = 5000; \
     SET idle_in_transaction_session_timeout = 2000; SET enable_seqscan = off; SET enable_hashjoin = off; \
     SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan; SET jit = off";

/// Ends it and removes its folder when the input ends, which it does however the owner of the other end dies.
const JANITOR: &str = r#"
    trap '' INT TERM HUP
    read -r _
    kill -KILL "$(cat "$1/pid" 2>/dev/null)" 2>/dev/null
    rm -rf "$1"
"#;

/// A pooler and its folder.
pub(crate) struct Pgbouncer {
    folder: PathBuf,
    process: Option<Child>,
    janitor: Child,
}

impl Pgbouncer {
    /// Starts one before the server whose socket lies in `server`. Without `sets` it leaves its connections as they are.
    pub(crate) fn start(server: &Path, sets: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("hubbub-pgbouncer-").tempdir().expect("a folder").keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("open to the account");
        let query = if sets { format!("connect_query='{CONNECT_QUERY}'") } else { String::new() };
        let settings = format!(
            "[databases]\n* = host={} user=hubbub {query}\n[pgbouncer]\npool_mode = transaction\nauth_type = any\n\
             listen_addr =\nlisten_port = {PORT}\nunix_socket_dir = {folder}\nmax_client_conn = 1000\n\
             default_pool_size = 8\nlogfile = {folder}/log\npidfile = {folder}/pid\n",
            server.display(),
            folder = folder.display()
        );
        fs::write(folder.join("pgbouncer.ini"), settings).expect("a file of settings");
        if is_root() {
            let done = Command::new("chown").arg("-R").arg(ACCOUNT).arg(&folder).status().expect("chown");
            assert!(done.success(), "the account owns the folder");
        }
        let mut janitor = Command::new("sh");
        janitor.args(["-c", JANITOR, "janitor"]).arg(&folder).stdin(Stdio::piped()).process_group(0);
        let janitor = janitor.spawn().expect("a shell");
        let mut pooler = Self { folder, process: None, janitor };
        pooler.run();
        pooler
    }

    /// Starts it again after [`Self::kill`].
    pub(crate) fn run(&mut self) {
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--clear-groups", "pgbouncer"]);
            command
        } else {
            Command::new("pgbouncer")
        };
        command.arg("--quiet").arg(self.folder.join("pgbouncer.ini"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut process = command.spawn().expect("PgBouncer is installed: apt-get install pgbouncer");
        let deadline = Instant::now() + START_TIMEOUT;
        let socket = self.folder.join(format!(".s.PGSQL.{PORT}"));
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(process.try_wait().expect("a child").is_none(), "PgBouncer runs: {}", log());
            assert!(Instant::now() < deadline, "PgBouncer listens: {}", log());
            std::thread::sleep(LOOK_PAUSE);
        }
        self.process = Some(process);
    }

    /// Kills it without a warning.
    pub(crate) fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        process.kill().expect("our own child");
        process.wait().expect("our own child");
        // What it leaves behind would stop the next one.
        fs::remove_file(self.folder.join("pid")).ok();
        fs::remove_file(self.folder.join(format!(".s.PGSQL.{PORT}"))).ok();
    }

    /// The URL of a database behind it.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://hubbub@localhost:{PORT}/{database}?host={}", self.folder.display())
    }
}

impl Drop for Pgbouncer {
    fn drop(&mut self) {
        self.kill();
        drop(self.janitor.stdin.take());
        self.janitor.wait().ok();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}
