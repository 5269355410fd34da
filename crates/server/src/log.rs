//! What a node says while it runs: people's lines on a terminal, JSON elsewhere, on stderr.
//!
//! Must never let a foreign crate speak below warnings: what it says there may hold a token or a body.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::complaints::Keep;
use crate::config::LogFormat;

/// Starts logging. `level` was checked with the configuration. A second call changes nothing.
pub(crate) fn start(level: &str, format: LogFormat) {
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter(level)).with_writer(std::io::stderr);
    let started = if json {
        builder.json().flatten_event(true).with_current_span(false).finish().with(Keep).try_init()
    } else {
        builder.with_ansi(terminal).finish().with(Keep).try_init()
    };
    if let Err(error) = started {
        tracing::debug!(%error, "logging runs already");
    }
}

/// The given levels for our crates; errors and warnings of everybody else.
fn filter(level: &str) -> EnvFilter {
    EnvFilter::new(directives(level))
}

fn directives(level: &str) -> String {
    let ours = |part: &str| if part.contains('=') { part.to_owned() } else { format!("hubbub={part}") };
    let parts: Vec<String> = level.split(',').map(str::trim).map(ours).collect();
    let bare = level.split(',').map(str::trim).find(|part| !part.contains('='));
    let others = bare.filter(|level| ["off", "error"].contains(level)).unwrap_or("warn");
    format!("{others},{}", parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_crates_stay_at_warnings() {
        for (level, expected) in [
            ("info", "warn,hubbub=info"),
            ("trace", "warn,hubbub=trace"),
            ("off", "off,hubbub=off"),
            ("info, hubbub_gateway=debug", "warn,hubbub=info,hubbub_gateway=debug"),
        ] {
            assert_eq!(directives(level), expected);
            assert!(EnvFilter::try_new(expected).is_ok());
        }
    }
}
