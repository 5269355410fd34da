//! `cargo xtask compose`: docker-compose.yml as a new operator meets it, with real containers.
//!
//! Takes about two minutes and, the first time, as long as the image takes to build. Must never touch a compose project
//! but its own, nor leave it behind.

mod talker;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use xshell::Cmd;

use crate::process;
use crate::project::Project;
use talker::Talker;

/// Containers, networks and volumes are called so: an operator's own cluster goes on beside.
const NAME: &str = "hubbub-trial";

/// Beside the default of docker-compose.yml, which an operator's own cluster has.
const SUBNET: &str = "172.30.85.0/24";

const NODES: [&str; 3] = ["node1", "node2", "node3"];

/// The user that the service `welcome` makes, and its room.
const USER: &str = "ada";
const ROOM: &str = "lobby";

/// The balancer's certificate, where the nodes find it.
const CERTIFICATE: &str = "/run/hubbub/node/cert.pem";

/// From the start of the last service to the login.
const WELCOME_LIMIT: Duration = Duration::from_secs(60);

/// How often the log is looked at for it.
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Leave the cluster running at the end; `docker compose --project-name hubbub-trial down --volumes` removes it.
    #[arg(long)]
    keep: bool,
    /// Try the image that is there, without building it again.
    #[arg(long)]
    no_build: bool,
}

/// The project's containers, with ports that nobody else has.
struct Trial<'a> {
    project: &'a Project,
    ports: Vec<(&'static str, String)>,
    keep: bool,
}

/// Starts the cluster, talks through its balancer while nodes are killed and rolled, and removes it.
pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    let names = ["BALANCER_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT"];
    let ports = names.into_iter().zip(process::free_ports(names.len())?).map(|(name, port)| (name, port.to_string()));
    let trial = Trial { project, ports: ports.collect(), keep: options.keep };
    trial.compose(&["version"]).run().context("this needs Docker with its compose plugin, 2.24 or newer")?;
    trial.compose(&["down", "--volumes"]).run()?;
    if !options.no_build {
        trial.compose(&["build"]).run()?;
    }

    trial.refuses_wrong_values()?;
    let password = trial.start()?;
    let mut talker = Talker::start(trial.chat(&password))?;
    talker.say()?;
    for _ in NODES {
        let node = talker.node().to_owned();
        trial.compose(&["kill", &node]).run()?;
        talker.say()?;
        ensure!(talker.node() != node, "still on {node}, which was killed");
        println!("{node} was killed: went on at {}", talker.node());
        trial.compose(&["up", "--detach", "--no-deps", "--wait", &node]).run()?;
    }
    for node in NODES {
        trial.compose(&["up", "--detach", "--no-deps", "--force-recreate", "--wait", node]).run()?;
        talker.say()?;
        println!("{node} was rolled: at {}", talker.node());
    }
    let said = talker.finish()?;
    println!("every one of {said} messages was delivered once and in order");
    trial.everybody_is_well()
}

impl Trial<'_> {
    fn compose(&self, args: &[&str]) -> Cmd<'_> {
        let command = self.project.shell.cmd("docker").args(["compose", "--project-name", NAME]).args(args);
        let command = command.env("NODES_SUBNET", SUBNET);
        self.ports.iter().fold(command, |command, (name, port)| command.env(name, port))
    }

    /// The chat program of the image, behind the balancer.
    fn chat(&self, password: &str) -> Command {
        let run =
            ["run", "--rm", "--no-deps", "--no-TTY", "--env", "HUBBUB_PASSWORD", "--entrypoint", "hubbub", "welcome"];
        let chat =
            ["chat", "--json", "--url", "wss://balancer:8443", "--ca", CERTIFICATE, "--user", USER, "--room", ROOM];
        let mut command = Command::from(self.compose(&run).args(chat));
        command.env("HUBBUB_PASSWORD", password);
        command
    }

    /// Wrong values start nothing, and are named.
    fn refuses_wrong_values(&self) -> Result<()> {
        // A name that no certificate can be for: the service `secrets` looks at it.
        let up = self.compose(&["up", "--detach"]).env("PUBLIC_HOST", "no name");
        self.is_refused(up, &["secrets"], "PUBLIC_HOST=no name")?;
        // A key with an impossible value, as it would stand in hubbub.env: the service `config` looks at it.
        let folder = self.project.target.join("compose");
        fs::create_dir_all(&folder)?;
        let file = folder.join("wrong.yml");
        fs::write(&file, "services: { config: { environment: { HUBBUB_LIMITS_PAGE_MAX: many } } }\n")?;
        let file = file.display().to_string();
        let up = self.compose(&["--file", "docker-compose.yml", "--file", &file, "up", "--detach"]);
        self.is_refused(up, &["config"], "HUBBUB_LIMITS_PAGE_MAX")?;
        let port = self.compose(&["up", "--detach"]).env("BALANCER_PORT", "many").ignore_status();
        let complaint = port.read_stderr()?;
        ensure!(complaint.contains("many"), "the balancer's port is not named: {complaint}");
        println!("wrong values are refused by name, and nothing was started");
        Ok(())
    }

    fn is_refused(&self, up: Cmd<'_>, by: &[&str], name: &str) -> Result<()> {
        ensure!(up.ignore_stderr().run().is_err(), "{name} was not refused");
        let running = self.compose(&["ps", "--services", "--status", "running"]).read()?;
        ensure!(running.is_empty(), "{name} was refused after these had started: {running}");
        let log = self.compose(&["logs", "--no-log-prefix"]).args(by).read()?;
        ensure!(log.contains(name), "{name} is not named: {log}");
        Ok(())
    }

    /// Starts everything and returns the password that is printed.
    fn start(&self) -> Result<String> {
        let began = Instant::now();
        self.compose(&["up", "--detach"]).run()?;
        loop {
            let log = self.compose(&["logs", "--no-log-prefix", "welcome"]).quiet().read()?;
            let login = log.split_once(&format!("login    {USER}, password "));
            if let Some(password) = login.and_then(|(_, after)| after.split_whitespace().next()) {
                println!("{log}\nup after {} s", began.elapsed().as_secs());
                for (name, port) in &self.ports {
                    ensure!(process::listens(port.parse()?), "nobody listens at {name} {port}");
                }
                return Ok(password.to_owned());
            }
            if began.elapsed() > WELCOME_LIMIT {
                bail!("no login was printed: {log}");
            }
            std::thread::sleep(POLL);
        }
    }

    /// Docker says of each service that stays that it is healthy.
    fn everybody_is_well(&self) -> Result<()> {
        let states = self.compose(&["ps", "--format", "{{.Service}} {{.Health}}"]).read()?;
        println!("{states}");
        let ill: Vec<&str> = states.lines().filter(|line| !line.ends_with(" healthy")).collect();
        ensure!(ill.is_empty() && !states.is_empty(), "not healthy: {ill:?}");
        Ok(())
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = self.compose(&["down", "--volumes"]).run() {
            eprintln!("could not remove the containers of {NAME}: {error}");
        }
    }
}
