//! What the nodes stand on: PostgreSQL, Redis, and HAProxy before them.
//!
//! Owns how each is started on a free port of this machine only. Must never write outside of the scratch
//! folder, but for the database of a root user, which another user has to own.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xshell::cmd;

use crate::process::{self, Service};
use crate::project::Project;
use crate::tools;

const START_LIMIT: Duration = Duration::from_secs(30);

/// Databases of a root user lie in the system's temporary folder under this name and our process id.
const DATABASE_PREFIX: &str = "hubbub-cluster-";

/// More connections than three nodes with full pools take.
const DATABASE_CONNECTIONS_MAX: u32 = 200;

/// A server and how to reach it.
pub(super) struct Server {
    pub(super) service: Service,
    pub(super) url: String,
}

/// PostgreSQL with its data, which goes when it goes.
pub(super) struct Database {
    pub(super) service: Service,
    pub(super) url: String,
    folder: PathBuf,
}

impl Database {
    /// Makes a database cluster and starts it. PostgreSQL refuses root: there it runs as `postgres`, and its
    /// data lies where that user can reach it, which a checkout below root's home is not.
    pub(super) fn start(project: &Project, scratch: &Path) -> Result<Self> {
        let owner = if tools::is_root(project)? { Some(postgres_user(project)?) } else { None };
        let folder = match owner {
            Some(_) => std::env::temp_dir().join(format!("{DATABASE_PREFIX}{}", std::process::id())),
            None => scratch.join("postgresql"),
        };
        fs::create_dir_all(&folder)?;
        if let Some((user, group)) = owner {
            chown(&folder, Some(user), Some(group)).context("cannot hand the data folder to `postgres`")?;
        }
        let port = process::free_ports(1)?[0];
        let data = folder.join("data");
        let mut initdb = as_user(project, "initdb", owner, &folder)?;
        initdb.args(["--username=hubbub", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--pgdata"]);
        let made = initdb.arg(&data).stdin(Stdio::null()).output().context("cannot start initdb")?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr).trim());

        let mut server = as_user(project, "postgres", owner, &folder)?;
        server.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories="] {
            server.args(["-c", setting]);
        }
        server.args(["-c", &format!("max_connections={DATABASE_CONNECTIONS_MAX}")]);
        // SIGINT is PostgreSQL's fast shutdown: it does not wait for clients to leave.
        let service = Service::start("postgresql", server, libc::SIGINT, Some(&scratch.join("postgresql.log")))?;
        let mut database = Self { service, url: format!("postgres://hubbub@127.0.0.1:{port}/hubbub"), folder };
        let (shell, port) = (&project.shell, port.to_string());
        let ready = cmd!(shell, "pg_isready --quiet --host 127.0.0.1 --port {port}").quiet();
        database.service.wait_until(START_LIMIT, || ready.run().is_ok())?;
        cmd!(shell, "createdb --host 127.0.0.1 --port {port} --username hubbub hubbub").quiet().run()?;
        Ok(database)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.service.stop(Duration::from_secs(10));
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("could not remove {}: {error}", self.folder.display());
        }
    }
}

/// Data folders of clusters that were killed before they could clean up.
pub(crate) fn abandoned_databases() -> Vec<PathBuf> {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let abandoned = entries.filter(|entry| {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(DATABASE_PREFIX));
        process.is_some_and(|process| process.parse::<u32>().is_ok() && !Path::new("/proc").join(process).exists())
    });
    abandoned.map(|entry| entry.path()).collect()
}

/// The user and group that Debian's package made for PostgreSQL.
fn postgres_user(project: &Project) -> Result<(u32, u32)> {
    let shell = &project.shell;
    let number = |flag: &str| -> Result<u32> {
        let text = cmd!(shell, "id {flag} postgres").quiet().read().context("there is no user `postgres`")?;
        Ok(text.trim().parse()?)
    };
    Ok((number("-u")?, number("-g")?))
}

fn as_user(project: &Project, program: &str, user: Option<(u32, u32)>, folder: &Path) -> Result<Command> {
    let mut command = program_command(project, program)?;
    command.current_dir(folder);
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
    Ok(command)
}

/// The program by its full path: the shell's search path is not that of this process.
fn program_command(project: &Project, program: &str) -> Result<Command> {
    let path = tools::find(project, program).with_context(|| format!("{program} is missing"))?;
    Ok(Command::new(path))
}

/// Redis without persistence: what it holds may be lost at any time.
pub(super) fn start_redis(project: &Project, scratch: &Path) -> Result<Server> {
    let port = process::free_ports(1)?[0];
    let mut command = program_command(project, "redis-server")?;
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]);
    command.arg(scratch);
    let mut service = Service::start("redis", command, libc::SIGTERM, Some(&scratch.join("redis.log")))?;
    service.wait_until(START_LIMIT, || process::listens(port))?;
    Ok(Server { service, url: format!("redis://127.0.0.1:{port}") })
}

/// HAProxy before the nodes, each given as its port for clients and its port for operators. TLS passes through.
pub(super) fn start_balancer(project: &Project, scratch: &Path, nodes: &[(u16, u16)]) -> Result<Server> {
    let port = process::free_ports(1)?[0];
    let file = scratch.join("haproxy.cfg");
    fs::write(&file, balancer_configuration(port, nodes))?;
    let mut command = program_command(project, "haproxy")?;
    command.arg("-db").arg("-f").arg(&file);
    let mut service = Service::start("haproxy", command, libc::SIGTERM, Some(&scratch.join("haproxy.log")))?;
    service.wait_until(START_LIMIT, || process::listens(port))?;
    Ok(Server { service, url: format!("wss://localhost:{port}") })
}

/// A node is chosen by how few connections it has, and only while its `/readyz` says 200. The idle limit is
/// three of the node's heartbeats.
fn balancer_configuration(port: u16, nodes: &[(u16, u16)]) -> String {
    let servers = nodes.iter().enumerate().map(|(index, (port, ops_port))| {
        let name = index + 1;
        format!("    server node-{name} 127.0.0.1:{port} check port {ops_port} inter 500ms fall 2 rise 1\n")
    });
    format!(
        "defaults\n    mode tcp\n    timeout connect 2s\n    timeout client 75s\n    timeout server 75s\n    \
        option redispatch\n    retries 3\n\nfrontend clients\n    bind 127.0.0.1:{port}\n    \
        default_backend nodes\n\nbackend nodes\n    balance leastconn\n    option httpchk GET /readyz\n    \
        http-check expect status 200\n{}",
        servers.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_balancer_asks_the_ops_port_of_every_node() {
        let text = balancer_configuration(7000, &[(7001, 7101), (7002, 7102)]);
        assert!(text.contains("server node-1 127.0.0.1:7001 check port 7101"), "{text}");
        assert!(text.contains("server node-2 127.0.0.1:7002 check port 7102"), "{text}");
        assert!(text.contains("bind 127.0.0.1:7000"), "{text}");
    }
}
