//! `cargo xtask run`: one node with nothing beside it, for a first look and for daily work.
//!
//! Owns the data folder that it marks as its own. Must never need a network, a service or a setting.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::login::{self, Hubbub};
use crate::process::{self, Service};
use crate::project::Project;
use crate::{signals, tools};

/// Where the node keeps its database and secrets, relative to the root.
pub(crate) const DATA_FOLDER: &str = "data";

/// The self-signed certificate and its key in the data folder of a node.
pub(crate) const CERTIFICATE: &str = "tls/cert.pem";
pub(crate) const CERTIFICATE_KEY: &str = "tls/key.pem";

/// Tells `clean` that the folder was made here.
pub(crate) const MARKER: &str = ".made-by-xtask-run";

/// Who is there from the start.
const USER: &str = "ada";

/// Starting takes well under a second; a busy machine may need longer to make the first certificate.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The node's own bound is shorter; past it, something hangs.
const STOP_LIMIT: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where clients connect: the port on every address of this machine.
    #[arg(long, default_value_t = 8443)]
    port: u16,
    /// Where operators look, on this machine only.
    #[arg(long, default_value_t = 9443)]
    ops_port: u16,
    /// Build with optimisations.
    #[arg(long)]
    release: bool,
}

/// Builds and runs the node until it ends or Ctrl-C.
pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    tools::ensure(project, &tools::BUILD)?;
    let program = project.build_hubbub(options.release)?;
    let data = project.path(DATA_FOLDER);
    if !data.exists() {
        fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        fs::write(data.join(MARKER), "")?;
    }
    let hubbub = Hubbub { program, folder: project.root.clone(), settings: settings(options) };
    let url = format!("wss://localhost:{}", options.port);
    let greeting = greeting(&hubbub, &url)?;

    signals::hold_back()?;
    let mut node = Service::start("hubbub", hubbub.command(&["serve"]), libc::SIGTERM, None)?;
    node.wait_until(START_LIMIT, || hubbub.is_ready(options.ops_port) && process::listens(options.port))?;
    println!("{greeting}");
    loop {
        if signals::stop_requested(Duration::from_millis(500)) {
            node.stop(STOP_LIMIT);
            return Ok(());
        }
        if let Some(status) = node.newly_ended() {
            bail!("the node ended by itself ({status})");
        }
    }
}

fn settings(options: &Options) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("HUBBUB_LISTEN", format!("0.0.0.0:{}", options.port)),
        ("HUBBUB_OPS_LISTEN", format!("127.0.0.1:{}", options.ops_port)),
        ("HUBBUB_DATA_FOLDER", DATA_FOLDER.to_owned()),
        ("HUBBUB_DATABASE_URL", format!("sqlite://{DATA_FOLDER}/hubbub.db")),
    ];
    settings.extend(quick_drain());
    settings
}

/// Nobody waits half a minute for the drain of a node that one developer uses.
pub(crate) fn quick_drain() -> [(&'static str, String); 3] {
    [("HUBBUB_DRAIN_GRACE", "0s"), ("HUBBUB_DRAIN_SPREAD", "1s"), ("HUBBUB_DRAIN_TIMEOUT", "10s")]
        .map(|(key, value)| (key, value.to_owned()))
}

/// What is printed once the node is ready. The password is known on the first start only.
fn greeting(hubbub: &Hubbub, url: &str) -> Result<String> {
    let login = if hubbub.has_user(USER)? {
        format!("{USER}, with the password of the first start (`hubbub user password {USER}` sets another)")
    } else {
        format!("{USER}, password {}", hubbub.add_user(USER)?)
    };
    let certificate = hubbub.folder.join(DATA_FOLDER).join(CERTIFICATE);
    let page = url.replacen("wss://", "https://", 1);
    let urls = [url.to_owned()];
    let chat = login::chat_line(&hubbub.program, &urls, &certificate, &hubbub.mint_token(USER)?);
    let tokens = hubbub.seed_load_users(&hubbub.folder.join(DATA_FOLDER))?;
    let load = login::load_line(&hubbub.program, &urls, &certificate, &tokens);
    Ok(format!(
        "\nHubbub is ready.\n  address  {url}/v1/ws, {page}/\n  login    {login}\n  talk     {chat}\n  \
        load     {load}\n\nCtrl-C stops it."
    ))
}
