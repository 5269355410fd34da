//! `hubbub chat`: a terminal client, and a program's way to talk (`--json`).
//!
//! Owns arguments, the way in (credentials, addresses) and the exit code. Must never know more of a server than the
//! client SDK tells.

mod command;
mod editor;
mod followed;
mod front;
mod input;
mod json;
mod login;
mod open;
mod paint;
mod screen;
mod talk;
mod text;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hubbub_client::{Client, ClientConfig, ClientError, Tls, UrlOrder};

use front::Front;
use talk::Talk;

const WRONG_USAGE: u8 = 2;

const AFTER_HELP: &str = "\
Without a terminal every line of stdin is sent to the first --room as it is; at the end of stdin the command waits for \
all acks and exits: `echo hi | hubbub chat --room general --token …`.

With --json every line of stdout is an object with a `type`: state, joined, left, event (the event as on the wire), ack, \
rooms, members, created, reset, ended, error. A line of stdin is text to send, or, when it begins with {, a command:
  {\"cmd\":\"send\",\"room\":\"general\",\"body\":\"hi\",\"client_msg_id\":\"c1\",\"ref\":1}
  {\"cmd\":\"join|leave|room|rooms|who|create|quit\",\"room\":\"general\",\"ref\":2}
`ref` is any value and comes back in the answer; without `room` the present room is meant.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage. NO_COLOR is respected.";

/// Arguments of `hubbub chat`.
#[derive(Args, Debug)]
#[command(about = "Talk in a terminal, or from a script", after_help = AFTER_HELP)]
pub(crate) struct ChatArgs {
    /// Where to connect: wss://HOST:PORT; given several times they are tried in turn
    #[arg(long, value_name = "URL", default_value = "wss://localhost:8443")]
    url: Vec<String>,
    /// Sign on with an access token (also HUBBUB_TOKEN)
    #[arg(long, conflicts_with = "user")]
    token: Option<String>,
    /// Sign on with this name; the password is asked for, or taken from HUBBUB_PASSWORD
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Follow a room, and join it when it is open; may be given several times
    #[arg(long, value_name = "ROOM")]
    room: Vec<String>,
    /// Make a public room of a --room that does not exist
    #[arg(long)]
    create: bool,
    /// Trust this certificate (PEM) beside those of the system
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Trust any certificate: for a self-signed one in development only
    #[arg(long)]
    insecure: bool,
    /// Speak JSON, one object per line
    #[arg(long)]
    json: bool,
    /// Go on at the end of stdin
    #[arg(long)]
    stay: bool,
}

/// Why the command ends without success before it has begun.
enum Failure {
    Usage(String),
    Failed(String),
}

/// Runs `hubbub chat` to its end.
pub(crate) async fn run(args: ChatArgs) -> ExitCode {
    match start(args).await {
        Ok(code) => code,
        Err(Failure::Usage(reason)) => complain(&reason, WRONG_USAGE),
        Err(Failure::Failed(reason)) => complain(&reason, 1),
    }
}

fn complain(reason: &str, code: u8) -> ExitCode {
    eprintln!("hubbub chat: {}", text::one_line(reason));
    ExitCode::from(code)
}

async fn start(args: ChatArgs) -> Result<ExitCode, Failure> {
    let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    let terminal = !args.json && !dumb && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if !terminal && !args.json && args.room.is_empty() {
        return Err(Failure::Usage("without a terminal --room is needed".into()));
    }
    for room in &args.room {
        room.parse::<hubbub_client::protocol::RoomSelector>()
            .map_err(|rule| Failure::Usage(format!("--room {room}: {rule}")))?;
    }
    let credentials = login::credentials(args.token, args.user).map_err(Failure::Usage)?;
    let tls = match (args.insecure, args.ca) {
        (true, _) => Tls::Insecure,
        (false, Some(file)) => Tls::WithPem(file),
        (false, None) => Tls::System,
    };
    let config = ClientConfig { urls: args.url, order: UrlOrder::InTurn, tls, ..ClientConfig::new("", credentials) };
    let client = if terminal { Client::start(config) } else { Client::connect(config).await };
    let client = client.map_err(|error| match error {
        ClientError::Config(reason) => Failure::Usage(reason),
        other => Failure::Failed(advice(&other, &tls_hint(args.insecure))),
    })?;
    let front = Front::new(terminal, args.json).map_err(|error| Failure::Failed(error.to_string()))?;
    let succeeded = Talk::new(client, front, args.create, args.stay).run(args.room).await;
    Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tls_hint(insecure: bool) -> String {
    if insecure { String::new() } else { "; --ca FILE trusts it, --insecure trusts anybody (development only)".into() }
}

/// The error, and what to do about it where that is known.
fn advice(error: &ClientError, tls_hint: &str) -> String {
    match error {
        ClientError::Closed(hubbub_client::CloseReason::Certificate(_)) => format!("{error}{tls_hint}"),
        other => other.to_string(),
    }
}
