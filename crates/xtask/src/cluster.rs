//! `cargo xtask cluster`: Redis, PostgreSQL, HAProxy and nodes from local programs on free ports.
//!
//! Everything is made anew at each start and stopped with it. Must never touch a server of the machine.

mod servers;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::login::{self, Hubbub};
use crate::node;
use crate::process::{self, Service};
use crate::project::Project;
use crate::{signals, tools};

pub(crate) use servers::abandoned_databases;

/// Two, so that they can talk to each other.
const USERS: [&str; 2] = ["ada", "bob"];

/// The first node makes the database.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A node's own bound below, and time to say goodbye.
const STOP_LIMIT: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    nodes: u8,
    /// Build with optimisations.
    #[arg(long)]
    release: bool,
}

/// A running node and how to reach it.
struct Node {
    hubbub: Hubbub,
    port: u16,
    ops_port: u16,
    service: Service,
}

/// The folder of logs and configurations, made anew by each start.
pub(crate) fn scratch(project: &Project) -> PathBuf {
    project.target.join("cluster")
}

/// Where the first node keeps the certificate that it made.
fn certificate_folder(scratch: &Path) -> PathBuf {
    scratch.join("node-1").join(node::DATA_FOLDER)
}

/// Builds, starts and watches everything until Ctrl-C.
pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    tools::ensure(project, &tools::BUILD)?;
    tools::ensure(project, &tools::SERVERS)?;
    let program = project.build_hubbub(options.release)?;
    let scratch = scratch(project);
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    fs::create_dir_all(&scratch)?;

    signals::hold_back()?;
    // Dropped last to first: the balancer, the nodes, then what they stand on.
    let mut database = servers::Database::start(project, &scratch)?;
    let mut redis = servers::start_redis(project, &scratch)?;
    let mut nodes = start_nodes(options, &program, &scratch, &database.url, &redis.url)?;
    let backends: Vec<(u16, u16)> = nodes.iter().map(|node| (node.port, node.ops_port)).collect();
    let mut balancer = servers::start_balancer(project, &scratch, &backends)?;
    greet(&nodes, &balancer.url, &scratch)?;

    while !signals::stop_requested(Duration::from_millis(500)) {
        let servers = [&mut database.service, &mut redis.service, &mut balancer.service];
        for service in servers.into_iter().chain(nodes.iter_mut().map(|node| &mut node.service)) {
            if let Some(status) = service.newly_ended() {
                println!("{} is gone ({status})", service.name);
            }
        }
    }
    println!("\nstopping");
    nodes.iter_mut().for_each(|node| node.service.ask_to_stop());
    nodes.iter_mut().for_each(|node| node.service.stop(STOP_LIMIT));
    for server in [&mut balancer.service, &mut redis.service, &mut database.service] {
        server.stop(STOP_LIMIT);
    }
    Ok(())
}

/// Starts the first node, which makes the database and a certificate, then the others, which use both.
fn start_nodes(
    options: &Options,
    program: &Path,
    scratch: &Path,
    database_url: &str,
    redis_url: &str,
) -> Result<Vec<Node>> {
    let secret = login::random_secret()?;
    let ports = process::free_ports(usize::from(options.nodes) * 2)?;
    let certificate = certificate_folder(scratch);
    let mut nodes = Vec::new();
    for (index, pair) in ports.chunks_exact(2).enumerate() {
        let name = format!("node-{}", index + 1);
        let folder = scratch.join(&name);
        fs::create_dir_all(&folder)?;
        let mut settings = vec![
            ("HUBBUB_LISTEN", format!("127.0.0.1:{}", pair[0])),
            ("HUBBUB_OPS_LISTEN", format!("127.0.0.1:{}", pair[1])),
            ("HUBBUB_DATA_FOLDER", node::DATA_FOLDER.to_owned()),
            ("HUBBUB_DATABASE_URL", database_url.to_owned()),
            ("HUBBUB_REDIS_URL", redis_url.to_owned()),
            ("HUBBUB_AUTH_TOKEN_SECRET", secret.clone()),
            ("HUBBUB_NODE_NAME", name.clone()),
        ];
        settings.extend(node::quick_drain());
        if index > 0 {
            // A balancer moves clients between nodes, so that all have to show one certificate.
            settings.push(("HUBBUB_TLS_MODE", "files".to_owned()));
            for (key, file) in
                [("HUBBUB_TLS_CERT_FILE", node::CERTIFICATE), ("HUBBUB_TLS_KEY_FILE", node::CERTIFICATE_KEY)]
            {
                settings.push((key, certificate.join(file).display().to_string()));
            }
        }
        let hubbub = Hubbub { program: program.to_path_buf(), folder, settings };
        let log = scratch.join(format!("{name}.log"));
        let mut service = Service::start(&name, hubbub.command(&["serve"]), libc::SIGTERM, Some(&log))?;
        service.wait_until(START_LIMIT, || hubbub.is_ready(pair[1]))?;
        nodes.push(Node { hubbub, port: pair[0], ops_port: pair[1], service });
    }
    Ok(nodes)
}

fn greet(nodes: &[Node], balancer: &str, scratch: &Path) -> Result<()> {
    let Some(first) = nodes.first() else { return Ok(()) };
    println!("\nThe cluster is ready.\n  balancer  {balancer}");
    for Node { port, ops_port, service, .. } in nodes {
        let (name, pid) = (&service.name, service.pid());
        println!("  {name}    wss://localhost:{port}  ops http://127.0.0.1:{ops_port}  pid {pid}");
    }
    println!("  logs      {}", scratch.display());
    let certificate = certificate_folder(scratch).join(node::CERTIFICATE);
    // One through the balancer, one straight to a node that another stands in for when it is killed.
    let mut direct: Vec<String> = nodes.iter().map(|node| format!("wss://localhost:{}", node.port)).collect();
    let tokens = first.hubbub.seed_load_users(scratch)?;
    println!("  load      {}", login::load_line(&first.hubbub.program, &direct, &certificate, &tokens));
    direct.rotate_left(1);
    for (name, urls) in USERS.into_iter().zip([vec![balancer.to_owned()], direct]) {
        let password = first.hubbub.add_user(name)?;
        println!("\n  {name}, password {password}");
        let token = first.hubbub.mint_token(name)?;
        println!("  {}", login::chat_line(&first.hubbub.program, &urls, &certificate, &token));
    }
    println!("\n`kill -9` a node and watch. Ctrl-C stops everything.");
    Ok(())
}
