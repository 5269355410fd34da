//! The target and the plan that the options describe.
//!
//! Must never put a token into what is shown.

use std::path::Path;
use std::time::Duration;

use hubbub_load::control::{CrewPlan, RunPlan, Secret, Task};
use hubbub_load::scenario::{self, CONNECTIONS_MAX, OpenError, Scenario};
use hubbub_load::target::{RawTemplates, Target};

use super::options::{DriveOptions, ResultOptions, TargetOptions, duration};
use super::{Failure, safety};

/// The shortest run that stages and storms are scaled to.
const LENGTH_MIN: Duration = Duration::from_millis(100);

/// Most tokens that are read.
const TOKENS_MAX: usize = 2_000_000;

/// A scenario never says where it goes, so the first command of a newcomer often ends here.
const URL_IS_MISSING: &str = "where does the load go? Say it with --url, and who the people are with --tokens, such as\n  \
    hubbub-load run smoke --url wss://localhost:8443 --ca cert.pem --tokens tokens.txt\n\
    `cargo xtask run` starts a node and prints such a line, ready to be pasted";

/// Checks the addresses and makes the target.
pub(super) fn target(options: &TargetOptions) -> Result<Target, Failure> {
    if options.urls.is_empty() {
        return Err(Failure::Usage(URL_IS_MISSING.to_owned()));
    }
    safety::check(options.urls.iter().chain(&options.sender_urls), options.yes_i_own_this)?;
    Ok(Target {
        peer: options.peer,
        urls: options.urls.clone(),
        sender_urls: options.sender_urls.clone(),
        ca_file: options.ca.clone(),
        insecure: options.insecure,
        source_addresses: options.source_addresses.clone(),
        spread_loopback: !options.no_spread,
        tokens: options.tokens.as_deref().map_or(Ok(Vec::new()), tokens)?,
        room_prefix: options.room_prefix.clone(),
        codec: options.codec,
        deflate: options.deflate,
        raw: RawTemplates {
            open: options.raw_open.clone(),
            subscribe: options.raw_subscribe.clone(),
            send: options.raw_send.clone(),
        },
    })
}

fn tokens(path: &Path) -> Result<Vec<String>, Failure> {
    let unreadable = |error| Failure::Usage(format!("the tokens in {} cannot be read: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let tokens: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).take(TOKENS_MAX).map(str::to_owned).collect();
    if tokens.is_empty() {
        return Err(Failure::Usage(format!("there is no token in {}", path.display())));
    }
    Ok(tokens)
}

/// The scenario with everything that the command line changes in it.
pub(super) fn scenario(name: &str, options: &DriveOptions) -> Result<Scenario, Failure> {
    let mut set = options.set.clone();
    if let Some(rate) = options.rate {
        set.push(("messages.per_second".to_owned(), rate.to_string()));
    }
    let plain = set.clone();
    if let Some(connections) = options.connections {
        set.push(("connections.count".to_owned(), connections.to_string()));
    }
    let length = options.duration.as_deref().map(duration).transpose();
    let length = length.map_err(|reason| Failure::Usage(format!("--duration: {reason}")))?;
    if let Some(scenario) = scaled(name, &plain, &set, options.connections, length)? {
        return Ok(scenario);
    }
    if let Some(duration) = &options.duration {
        set.push(("duration".to_owned(), duration.clone()));
    }
    scenario::open(name, &set).map_err(|error| match error {
        OpenError::Unreadable { .. } => Failure::Failed(error.to_string()),
        OpenError::Unknown { .. } | OpenError::Mistakes(_) => Failure::Usage(error.to_string()),
    })
}

/// A scenario whose parts have to be scaled together with the whole: stages say how long they last and how many people
/// there are; a storm must not come behind the end. None for every other one, and for one with mistakes.
fn scaled(
    name: &str,
    plain: &[(String, String)],
    sized: &[(String, String)],
    connections: Option<u32>,
    length: Option<Duration>,
) -> Result<Option<Scenario>, Failure> {
    if connections.is_none() && length.is_none() {
        return Ok(None);
    }
    let Ok(mut scenario) = scenario::open(name, plain) else { return Ok(None) };
    if !scenario.stages.is_empty() {
        if connections == Some(0) || length.is_some_and(|length| length < LENGTH_MIN) {
            return Err(Failure::Usage("--connections and --duration: nothing is left of the stages".to_owned()));
        }
        scenario.scale(connections.map(|count| count.min(CONNECTIONS_MAX)), length);
        return Ok(Some(scenario));
    }
    let is_late = |at: Duration| length.is_some_and(|length| length >= LENGTH_MIN && at >= length);
    if scenario.storm.as_ref().is_some_and(|storm| is_late(storm.at))
        && let Ok(mut scenario) = scenario::open(name, sized)
    {
        scenario.scale(None, length);
        return Ok(Some(scenario));
    }
    Ok(None)
}

/// The whole plan.
pub(super) fn plan(
    scenario: Scenario,
    target: Target,
    drive: &DriveOptions,
    results: &ResultOptions,
) -> Result<RunPlan, Failure> {
    let secret = drive.agents_secret_file.as_deref().map(secret).transpose()?;
    let own = std::env::current_exe()?;
    let crew = CrewPlan {
        threads: drive.threads,
        processes: drive.processes,
        child: vec![own.to_string_lossy().into_owned(), "worker".to_owned()],
        agents: drive.agents.clone(),
        secret,
    };
    let label = results.label.clone().unwrap_or_else(|| format!("{:?}", target.peer).to_lowercase());
    let task = Task { run: rand::random(), seed: drive.seed, scenario, target };
    Ok(RunPlan { task, crew, label, command: command() })
}

/// A secret from a file.
pub(super) fn secret(path: &Path) -> Result<Secret, Failure> {
    Secret::read(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

/// The command as it was given. Tokens stand in files; what a URL or a template carries behind a `token=` is hidden.
fn command() -> Vec<String> {
    let mut command: Vec<String> = std::env::args().map(|argument| hidden(&argument)).collect();
    if let Some(first) = command.first_mut() {
        *first = "hubbub-load".to_owned();
    }
    command
}

fn hidden(argument: &str) -> String {
    let mut shown = argument.to_owned();
    for name in ["token", "password", "secret", "authorization", "api_key", "apikey"] {
        let lower = shown.to_ascii_lowercase();
        // Options that end so name files: only a value directly behind the name is a secret itself.
        let Some(at) = ["=", "\":\"", "\": \""]
            .iter()
            .find_map(|sign| lower.find(&format!("{name}{sign}")).map(|at| at + name.len() + sign.len()))
        else {
            continue;
        };
        let end = shown[at..].find(['&', '"', '#', ' ']).map_or(shown.len(), |end| at + end);
        shown.replace_range(at..end, "…");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::hidden;

    #[test]
    fn secrets_are_left_out_of_the_command() {
        assert_eq!(hidden("ws://h/ws?access_token=abc&x=1"), "ws://h/ws?access_token=…&x=1");
        assert_eq!(hidden("{\"token\":\"abc\",\"id\":1}"), "{\"token\":\"…\",\"id\":1}");
        assert_eq!(hidden("--tokens=file"), "--tokens=file");
    }
}
