//! The options of a run, which a search shares.
//!
//! Must never take a secret as an argument: arguments are seen by everybody on the machine.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hubbub_load::target::{Codec, PeerKind};

/// `hubbub-load run`
#[derive(Args, Debug)]
pub(super) struct Run {
    /// A built-in name (see `scenarios`) or the path of a TOML file
    pub(super) scenario: String,
    #[command(flatten)]
    pub(super) target: TargetOptions,
    #[command(flatten)]
    pub(super) drive: DriveOptions,
    #[command(flatten)]
    pub(super) watch: WatchOptions,
    #[command(flatten)]
    pub(super) results: ResultOptions,
    /// What has to hold, such as "p99<50ms,lost=0"
    #[arg(long = "assert", value_name = "CLAUSES")]
    pub(super) assertions: Vec<String>,
}

/// Where the load goes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Target")]
pub(super) struct TargetOptions {
    /// Where: ws:// or wss://; connections take several in turn
    #[arg(long = "url", value_name = "URL")]
    pub(super) urls: Vec<String>,
    /// Where connections that send go instead
    #[arg(long = "sender-url", value_name = "URL")]
    pub(super) sender_urls: Vec<String>,
    /// What speaks there
    #[arg(long, value_enum, default_value_t = PeerKind::Hubbub)]
    pub(super) peer: PeerKind,
    /// A PEM file of certificates to trust besides the system's
    #[arg(long)]
    pub(super) ca: Option<PathBuf>,
    /// Trust whatever certificate is shown
    #[arg(long)]
    pub(super) insecure: bool,
    /// A file of access tokens, one a line
    #[arg(long, value_name = "FILE")]
    pub(super) tokens: Option<PathBuf>,
    /// The wire form, where the peer has several
    #[arg(long, value_enum, default_value_t = Codec::Json)]
    pub(super) codec: Codec,
    /// Offer permessage-deflate
    #[arg(long)]
    pub(super) deflate: bool,
    /// Begins the names of rooms
    #[arg(long, default_value = "load")]
    pub(super) room_prefix: String,
    /// Addresses to connect from, in turn
    #[arg(long = "source-address", value_name = "ADDR")]
    pub(super) source_addresses: Vec<IpAddr>,
    /// Do not spread over 127.0.0.0/8 when the target is there
    #[arg(long)]
    pub(super) no_spread: bool,
    /// raw: what is sent behind the upgrade
    #[arg(long, default_value = "", value_name = "TEMPLATE")]
    pub(super) raw_open: String,
    /// raw: what follows a room, with {room} and {id}
    #[arg(long, default_value = "", value_name = "TEMPLATE")]
    pub(super) raw_subscribe: String,
    /// raw: what is sent, with {room}, {body} and {id}
    #[arg(long, default_value = "", value_name = "TEMPLATE")]
    pub(super) raw_send: String,
    /// The servers are mine: needed beyond loopback and private addresses
    #[arg(long)]
    pub(super) yes_i_own_this: bool,
}

/// How it is driven.
#[derive(Args, Debug)]
#[command(next_help_heading = "Load")]
pub(super) struct DriveOptions {
    /// Change a key of the scenario, such as messages.per_second=500
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) set: Vec<(String, String)>,
    /// How long is measured, such as 30s
    #[arg(long)]
    pub(super) duration: Option<String>,
    /// How many connections
    #[arg(long)]
    pub(super) connections: Option<u32>,
    /// Messages a second over all
    #[arg(long)]
    pub(super) rate: Option<f64>,
    /// Everything random follows from it
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Worker threads of each process
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(super) threads: u32,
    /// Child processes that do the work; 0: this one does it
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=256))]
    pub(super) processes: u32,
    /// Agents on other machines
    #[arg(long, value_delimiter = ',', value_name = "HOST:PORT", requires = "agents_secret_file")]
    pub(super) agents: Vec<String>,
    /// What the agents' own --secret-file holds too
    #[arg(long, value_name = "FILE")]
    pub(super) agents_secret_file: Option<PathBuf>,
}

/// What is looked at besides.
#[derive(Args, Debug)]
#[command(next_help_heading = "Watching")]
pub(super) struct WatchOptions {
    /// Watch a process of the server
    #[arg(long, value_name = "NAME=PID", value_parser = key_value)]
    pub(super) watch: Vec<(String, String)>,
    /// Watch the processes that listen on this port
    #[arg(long, value_name = "PORT")]
    pub(super) watch_port: Vec<u16>,
    /// A /metrics page of the server
    #[arg(long, value_name = "URL")]
    pub(super) metrics: Vec<String>,
    /// Show own figures to Prometheus at this address while running
    #[arg(long, value_name = "ADDR")]
    pub(super) listen_metrics: Option<SocketAddr>,
    /// Run a shell command at a moment of the measured time
    #[arg(long = "at", value_name = "10s=COMMAND", value_parser = at)]
    pub(super) at: Vec<(Duration, String)>,
}

/// What becomes of the figures.
#[derive(Args, Debug)]
#[command(next_help_heading = "Results")]
pub(super) struct ResultOptions {
    /// Write the report for programs; - for stdout
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write the report for people
    #[arg(long, value_name = "FILE.html")]
    pub(super) report: Option<PathBuf>,
    /// A name for tables and plots
    #[arg(long)]
    pub(super) label: Option<String>,
    /// Say nothing while it runs
    #[arg(long)]
    pub(super) quiet: bool,
    /// Plain lines instead of the screen
    #[arg(long)]
    pub(super) no_screen: bool,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("`=` is missing")?;
    if key.is_empty() || value.is_empty() {
        return Err("something is missing beside the `=`".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

fn at(text: &str) -> Result<(Duration, String), String> {
    let (moment, command) = key_value(text)?;
    Ok((duration(&moment)?, command))
}

/// Reads times such as 500ms, 10s, 2m.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time such as 500ms, 10s or 2m");
    let end = text.find(|sign: char| !(sign.is_ascii_digit() || sign == '.')).ok_or_else(wrong)?;
    let number: f64 = text[..end].parse().map_err(|_| wrong())?;
    let factor = match &text[end..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(number * factor).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_pairs_are_read() {
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "1..5s", "5 days", "99999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(at("10s=a=b"), Ok((Duration::from_secs(10), "a=b".to_owned())));
        assert!(key_value("=b").is_err());
    }
}
