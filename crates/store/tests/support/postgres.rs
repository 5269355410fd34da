//! A PostgreSQL server of one's own, from Debian's packages, that never outlives the program that started it.
//!
//! Must never touch a server that somebody else started.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the server may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two looks at something that takes its time.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// The account that runs the server when we are root, which PostgreSQL refuses to be.
const ACCOUNT: &str = "postgres";

/// Ends the server and removes its folder when its input ends, which it does however the owner of the other end dies.
/// It is deaf to the Ctrl-C or time limit that ends its owner.
const JANITOR: &str = r#"
    trap '' INT TERM HUP
    read -r _
    pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
    if [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] && tr '\0' ' ' < "/proc/$pid/cmdline" 2>/dev/null | grep -qF "$1/data"; then
        kill -QUIT "$pid" 2>/dev/null
        kill -CONT "$pid" $(ps -o pid= --ppid "$pid") 2>/dev/null
        for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            [ -d "/proc/$pid" ] || break
            sleep 0.05
        done
    fi
    rm -rf "$1"
"#;

/// A server and its folder.
pub(crate) struct Server {
    programs: PathBuf,
    folder: PathBuf,
    settings: Vec<String>,
    process: Option<Child>,
    janitor: Child,
}

impl Server {
    /// Makes a database folder and starts a server on it, with these settings (`name=value`).
    pub(crate) fn start(settings: &[&str]) -> Self {
        let mut server = Self::prepare(settings);
        let made = server
            .command("initdb")
            .args(["--username=hubbub", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
            .arg("--pgdata")
            .arg(server.folder.join("data"))
            .stdout(Stdio::null())
            .status()
            .expect("initdb runs");
        assert!(made.success(), "initdb made a database");
        server.run();
        server
    }

    /// Makes a database folder and starts a server on it that takes nobody over the network but with TLS.
    #[allow(dead_code, reason = "not every user of this file speaks TLS")]
    pub(crate) fn start_tls(address: std::net::IpAddr, certificate: &str, key: &str) -> Self {
        let mut server = Self::start(&["fsync=off"]);
        server.kill();
        let data = server.folder.join("data");
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let file = data.join(name);
            fs::write(&file, text).expect("a file of the server");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a private file");
        }
        fs::write(data.join("pg_hba.conf"), "local all all trust\nhostssl all all 127.0.0.0/8 trust\n").expect("rules");
        if is_root() {
            let done = Command::new("chown").arg("-R").arg(ACCOUNT).arg(&data).status().expect("chown");
            assert!(done.success(), "the server's account owns the files");
        }
        server.settings.extend(["ssl=on".to_owned(), format!("listen_addresses={address}")]);
        server.run();
        server
    }

    /// Starts another server that follows this one.
    #[allow(dead_code, reason = "not every user of this file has a standby")]
    pub(crate) fn standby(&self) -> Self {
        let mut standby = Self::prepare(&[]);
        let copied = standby
            .command("pg_basebackup")
            .args(["-U", "hubbub", "--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-h"])
            .arg(&self.folder)
            .arg("--pgdata")
            .arg(standby.folder.join("data"))
            .status()
            .expect("pg_basebackup runs");
        assert!(copied.success(), "the data was copied");
        standby.run();
        standby
    }

    /// Makes a standby the server that takes writes, and waits until it does.
    #[allow(dead_code, reason = "not every user of this file has a standby")]
    pub(crate) fn promote(&self) {
        let promoted = self.command("pg_ctl").arg("promote").arg("-D").arg(self.folder.join("data")).output();
        assert!(promoted.expect("pg_ctl runs").status.success(), "the standby was promoted");
    }

    /// Where its socket lies.
    #[allow(dead_code, reason = "not every user of this file looks there")]
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a server that has no database yet.
    fn prepare(settings: &[&str]) -> Self {
        let programs = programs().expect("PostgreSQL is installed: apt-get install postgresql");
        let folder = tempfile::Builder::new().prefix("hubbub-postgres-").tempdir().expect("a folder").keep();
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("a shell");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("open to the server's account");
        let data = folder.join("data");
        fs::create_dir(&data).expect("a folder for the data");
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("a private folder");
        if is_root() {
            let done = Command::new("chown").arg("-R").arg(ACCOUNT).arg(&folder).status().expect("chown");
            assert!(done.success(), "the server's account owns the folder");
        }
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Self { programs, folder, settings, process: None, janitor }
    }

    /// Starts the server again after [`Server::kill`] and waits until it answers.
    pub(crate) fn run(&mut self) {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).expect("a log");
            let mut command = self.command("postgres");
            command.arg("-D").arg(self.folder.join("data")).arg("-k").arg(&self.folder);
            command.args(["-c", "listen_addresses=", "-c", "max_connections=300"]);
            for setting in &self.settings {
                command.args(["-c", setting]);
            }
            let mut process = command.stdout(Stdio::null()).stderr(log).spawn().expect("postgres runs");
            // After a kill its children may hold the shared memory for a moment; then the start fails and is repeated.
            while process.try_wait().expect("a child").is_none() {
                if self.answers() {
                    self.process = Some(process);
                    return;
                }
                assert!(Instant::now() < deadline, "the server answers in time");
                std::thread::sleep(LOOK_PAUSE);
            }
            assert!(Instant::now() < deadline, "the server starts: {}", self.log());
            std::thread::sleep(LOOK_PAUSE);
        }
    }

    /// Kills the server without a warning, with all its children.
    pub(crate) fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        process.kill().expect("our own child");
        process.wait().expect("our own child");
    }

    /// Stops the server in its steps, as a machine does that is paused, until [`Server::thaw`].
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets the server go on.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Signals the server first, so that it makes no more children, and then those that it has.
    fn signal(&self, signal: &str) {
        let server = self.process.as_ref().expect("a server that runs").id();
        let send = |process: &str| Command::new("kill").args(["-s", signal, process]).status().expect("kill runs");
        assert!(send(&server.to_string()).success(), "the server hears the signal");
        let children =
            Command::new("ps").args(["-o", "pid=", "--ppid", &server.to_string()]).output().expect("ps runs");
        let children = String::from_utf8(children.stdout).expect("numbers");
        // One may have ended in between.
        for child in children.split_whitespace() {
            send(child);
        }
    }

    /// The URL of a database on this server.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://hubbub@localhost/{database}?host={}", self.folder.display())
    }

    /// Makes an empty database.
    pub(crate) fn create_database(&self, name: &str) {
        let made = self.command("createdb").args(["-U", "hubbub", "-h"]).arg(&self.folder).arg(name).status();
        assert!(made.expect("createdb runs").success(), "createdb made a database");
    }

    fn answers(&self) -> bool {
        let asked = self.command("pg_isready").arg("-q").arg("-h").arg(&self.folder).status();
        asked.is_ok_and(|status| status.success())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        // A server of its own group does not hear the Ctrl-C that is meant for the tests; the janitor ends it.
        command.current_dir(&self.folder).stdin(Stdio::null()).process_group(0);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            // What is frozen would not notice that its server is gone.
            self.thaw();
        }
        if let Some(process) = self.process.as_mut() {
            // The janitor does it as well, but a child that nobody waits for would keep its number.
            let stopped = process.kill().and_then(|()| process.wait());
            drop(stopped);
        }
        drop(self.janitor.stdin.take());
        drop(self.janitor.wait());
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// The newest PostgreSQL of Debian's packages.
fn programs() -> io::Result<PathBuf> {
    let version = |path: &Path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let installed = fs::read_dir("/usr/lib/postgresql")?.filter_map(|entry| Some(entry.ok()?.path()));
    let newest = installed.filter(|path| path.join("bin/postgres").exists()).max_by_key(|path| version(path));
    newest.map(|path| path.join("bin")).ok_or_else(|| io::ErrorKind::NotFound.into())
}
