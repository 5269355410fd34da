//! A balancer with its shipped configuration, set up for this machine.
//!
//! Must never leave a process behind: a killed master of nginx would leave its workers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hubbub_testkit::ports;
use hubbub_testkit::process::{Process, Signal, find_program};
use tokio::net::TcpStream;

const START_LIMIT: Duration = Duration::from_secs(30);

/// How long it may take to end; then it is killed.
const END_LOOKS: u32 = 250;
const END_LOOK: Duration = Duration::from_millis(20);

/// Which of the shipped configurations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    HaproxyPassing,
    HaproxyEnding,
    Nginx,
    Caddy,
}

impl Kind {
    fn file(self) -> &'static str {
        match self {
            Self::HaproxyPassing => "haproxy/haproxy.cfg",
            Self::HaproxyEnding => "haproxy/haproxy-terminate.cfg",
            Self::Nginx => "nginx/nginx.conf",
            Self::Caddy => "caddy/Caddyfile",
        }
    }

    /// What it writes when it has taken its configuration over anew.
    fn reloaded(self) -> &'static str {
        match self {
            Self::HaproxyPassing | Self::HaproxyEnding => "Reloading HAProxy",
            Self::Nginx => "reconfiguring",
            Self::Caddy => "/load",
        }
    }
}

/// A running balancer.
pub(crate) struct Balancer {
    /// Where clients connect.
    pub(crate) port: u16,
    /// The command that reloads it.
    pub(crate) reload: String,
    kind: Kind,
    log: PathBuf,
    process: Process,
}

impl Balancer {
    /// Starts it before a node, given as its port for clients and its port for operators.
    pub(crate) async fn start(kind: Kind, folder: &Path, node: (u16, u16)) -> Result<Self> {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(kind.file());
        let text = fs::read_to_string(&shipped).with_context(|| shipped.display().to_string())?;
        certify(folder)?;
        let (port, admin_port) = (ports::free()?, ports::free()?);
        let place = Place { port, admin_port, node, folder: folder.display().to_string() };
        let file = folder.join("balancer.conf");
        fs::write(&file, replaced(&text, &place.replacements(kind))?)?;
        let log = folder.join("balancer.log");
        let process = Process::start("balancer", command(kind, folder, &file)?, &log)?;
        let reload = match kind {
            Kind::HaproxyPassing | Kind::HaproxyEnding => format!("kill -USR2 {}", process.pid()),
            Kind::Nginx => format!("kill -HUP {}", process.pid()),
            // Without `--force` it would find that nothing has changed.
            Kind::Caddy => {
                let file = file.display();
                format!("caddy reload --force --adapter caddyfile --address localhost:{admin_port} --config {file}")
            }
        };
        let mut balancer = Self { port, reload, kind, log, process };
        let listens = async || TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        balancer.process.wait_until(START_LIMIT, "ready", listens).await?;
        Ok(balancer)
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it has been reloaded.
    pub(crate) fn has_reloaded(&self) -> bool {
        self.log().contains(self.kind.reloaded())
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.process.signal(Signal::Terminate);
        for _ in 0..END_LOOKS {
            if self.process.ended().is_some() {
                return;
            }
            std::thread::sleep(END_LOOK);
        }
    }
}

/// The end of this process asks it to end too, rather than killing it at once, so that it takes its workers along.
fn command(kind: Kind, folder: &Path, file: &Path) -> Result<Command> {
    let mut command = Command::new(find_program("setpriv", "util-linux", &[])?);
    command.args(["--pdeathsig", "TERM", "--"]);
    match kind {
        Kind::HaproxyPassing | Kind::HaproxyEnding => {
            command.arg(find_program("haproxy", "haproxy", &[])?).args(["-W", "-f"]).arg(file);
        }
        Kind::Nginx => {
            command
                .arg(find_program("nginx", "nginx", &[])?)
                .args(["-e", "stderr", "-g", "daemon off;", "-c"])
                .arg(file);
        }
        Kind::Caddy => {
            command.arg(find_program("caddy", "caddy", &[])?);
            command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
            command.env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
        }
    }
    Ok(command)
}

/// What stands in the place of the shipped addresses and paths.
struct Place {
    port: u16,
    admin_port: u16,
    node: (u16, u16),
    folder: String,
}

impl Place {
    fn replacements(&self, kind: Kind) -> Vec<(&'static str, String)> {
        let Self { port, admin_port, node: (node, ops), folder } = self;
        let pem = |name: &str| format!("{folder}/{name}");
        let mut all = vec![("10.0.0.11:8443", format!("127.0.0.1:{node}"))];
        match kind {
            Kind::HaproxyPassing | Kind::HaproxyEnding => all.extend([
                ("bind :443", format!("bind 127.0.0.1:{port}")),
                ("port 9443", format!("port {ops}")),
                // There is one node, and not everybody who tests may change the user.
                ("    server node-2 10.0.0.12:8443\n    server node-3 10.0.0.13:8443\n", String::new()),
                ("    user haproxy\n    group haproxy\n", String::new()),
            ]),
            Kind::Nginx => all.extend([
                ("listen 443 ssl", format!("listen 127.0.0.1:{port} ssl")),
                ("        server 10.0.0.12:8443 max_fails=2 fail_timeout=5s;\n", String::new()),
                ("        server 10.0.0.13:8443 max_fails=2 fail_timeout=5s;\n", String::new()),
                ("/etc/nginx/tls/chat.pem", pem("chat.pem")),
                ("/etc/nginx/tls/chat.key", pem("chat.key")),
                ("/run/nginx.pid", pem("nginx.pid")),
                ("/var/log/nginx/error.log", "stderr".to_owned()),
            ]),
            Kind::Caddy => all.extend([
                ("chat.example.com {", format!("https://127.0.0.1:{port} {{")),
                // Nor may everybody listen on port 80, where Caddy would redirect from.
                ("admin localhost:2019", format!("admin localhost:{admin_port}\n\tauto_https off")),
                (" 10.0.0.12:8443 10.0.0.13:8443", String::new()),
                ("health_port 9443", format!("health_port {ops}")),
                ("/etc/caddy/tls/chat.pem", pem("chat.pem")),
                ("/etc/caddy/tls/chat.key", pem("chat.key")),
            ]),
        }
        if kind == Kind::HaproxyEnding {
            all.push(("/etc/haproxy/tls/chat.pem", pem("both.pem")));
        }
        all
    }
}

/// The text with every replacement made; each has to be there.
fn replaced(text: &str, replacements: &[(&str, String)]) -> Result<String> {
    replacements.iter().try_fold(text.to_owned(), |text, (shipped, here)| {
        ensure!(text.contains(shipped), "`{shipped}` is not in the shipped configuration any more");
        Ok(text.replace(shipped, here))
    })
}

/// A certificate for the balancer.
fn certify(folder: &Path) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    fs::write(folder.join("chat.pem"), &cert)?;
    fs::write(folder.join("chat.key"), &key)?;
    fs::write(folder.join("both.pem"), cert + &key)?;
    Ok(())
}
