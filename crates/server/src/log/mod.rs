//! What a node says while it runs: people's lines on a terminal, JSON elsewhere, on stderr.
//!
//! Owns the way of a line: levels, then sampling, then its form, then the sink. Must never let a foreign crate speak below
//! warnings, since what it says there may hold a token or a body; and never let anybody wait for whoever reads the log.

mod line;
mod sampling;
mod sink;

use std::any::Any;
use std::io::{IsTerminal as _, Write as _};
use std::panic::PanicHookInfo;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hubbub_metrics::{Metric, few, metrics};
use prometheus::Registry;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::reload;

use crate::complaints::Keep;
use crate::config::{Log as Settings, LogFormat};
use line::Form;
use sampling::Sampling;
use sink::Sink;

metrics! {
    /// What is told of the log.
    pub(crate) METRICS:
    static DROPPED = Metric::counter(
        "hubbub_log_lines_dropped_total", "Log lines that were lost.",
        "`full`: the reader of the log is too slow; `sink`: it is gone, or its disk is full. The node goes on.")
        .by(&[few("cause", || vec!["full", "sink"])]);
    static SUPPRESSED = Metric::counter(
        "hubbub_log_lines_suppressed_total", "Repeated log lines that were left out and told as a count.",
        "Something complains all the time: the log names it once.");
}

/// How long the end of the process waits for its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Where the lines of this process go, once a node has started.
static SINK: OnceLock<Sink> = OnceLock::new();

/// The log of a node: what can be changed of it, and counted.
pub(crate) struct Log {
    levels: Option<reload::Handle<Targets, tracing_subscriber::Registry>>,
    sampling: Arc<Sampling>,
    sink: Sink,
}

impl Log {
    /// Starts logging for this node. The levels were checked with the configuration. Of two starts in a process the first
    /// counts.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn start(settings: &Settings, node: &str) -> std::io::Result<Self> {
        let terminal = std::io::stderr().is_terminal();
        let form = match settings.format {
            LogFormat::Auto if terminal => Form::Pretty { colours: true },
            LogFormat::Pretty => Form::Pretty { colours: terminal },
            LogFormat::Auto | LogFormat::Json => Form::Json { node: node.into() },
        };
        let sampling = Arc::new(Sampling::new(settings.repeats_max).map_err(std::io::Error::other)?);
        let sink = Sink::start(form.clone(), Arc::clone(&sampling))?;
        let (filter, levels) = reload::Layer::new(levels(&settings.level));
        let lines = Lines { form, sampling: Arc::clone(&sampling), sink: sink.clone() };
        let subscriber = tracing_subscriber::registry().with(lines.and_then(Keep).with_filter(filter));
        let levels = tracing::subscriber::set_global_default(subscriber).is_ok().then_some(levels);
        if levels.is_some() {
            // Set once, right here.
            SINK.set(sink.clone()).ok();
            std::panic::set_hook(Box::new(tell_panic));
        }
        Ok(Self { levels, sampling, sink })
    }

    /// Takes over other levels and another bound of repeats.
    pub(crate) fn change(&self, settings: &Settings) {
        self.sampling.change(settings.repeats_max);
        if let Some(handle) = &self.levels
            && let Err(error) = handle.reload(levels(&settings.level))
        {
            tracing::error!(%error, "the levels of the log stay as they are");
        }
    }

    /// Registers what is counted of lines that nobody gets to read.
    ///
    /// # Errors
    /// When a name is taken twice: a mistake of the program.
    pub(crate) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.sampling.suppressed.clone()))?;
        registry.register(Box::new(self.sink.dropped().clone()))
    }
}

/// Says a line on stderr behind everything that was logged, and waits a moment until it is there: for the end of a process.
/// Nobody who does not read it holds the end up.
pub(crate) fn last_words(words: &str) {
    match SINK.get() {
        Some(sink) => sink.push(format!("{words}\n").into_bytes()),
        // Without a reader of stderr there is nobody to tell that.
        None => drop(writeln!(std::io::stderr(), "{words}")),
    }
    flush();
}

/// Waits a moment until everything that was logged is written.
pub(crate) fn flush() {
    if let Some(sink) = SINK.get() {
        sink.wait_until_written(LAST_LINES);
    }
}

/// The given levels for our crates; errors and warnings of everybody else.
fn levels(level: &str) -> Targets {
    // It was checked with the configuration.
    directives(level).parse().unwrap_or_else(|_| Targets::new())
}

fn directives(level: &str) -> String {
    let ours = |part: &str| if part.contains('=') { part.to_owned() } else { format!("hubbub={part}") };
    let parts: Vec<String> = level.split(',').map(str::trim).map(ours).collect();
    let bare = level.split(',').map(str::trim).find(|part| !part.contains('='));
    let others = bare.filter(|level| ["off", "error"].contains(level)).unwrap_or("warn");
    format!("{others},{}", parts.join(","))
}

/// Turns events into lines.
struct Lines {
    form: Form,
    sampling: Arc<Sampling>,
    sink: Sink,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if self.sampling.admits(event.metadata()) {
            self.sink.push(self.form.write(event));
        }
    }
}

/// Says where somebody panicked, and why where the program itself has the words: those that were made when it happened may
/// quote a body.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(tracing::field::display);
    let reason = reason_of(panic.payload());
    let thread = std::thread::current();
    tracing::error!(place, reason, thread = thread.name(), "a part of the node panicked");
}

fn reason_of(panic: &dyn Any) -> &'static str {
    panic.downcast_ref::<&'static str>().copied().unwrap_or("not told: it may quote a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_quotes_nothing() {
        let reason = |panics: fn(&str)| {
            let body = std::hint::black_box("a body\u{e9}");
            let panic = std::panic::catch_unwind(|| panics(body)).expect_err("it panics");
            reason_of(&*panic)
        };
        assert_eq!(reason(|_| unreachable!()), "internal error: entered unreachable code");
        assert_eq!(reason(|body| drop(body[..7].to_owned())), "not told: it may quote a message");
    }

    #[test]
    fn foreign_crates_stay_at_warnings() {
        for (level, expected) in [
            ("info", "warn,hubbub=info"),
            ("trace", "warn,hubbub=trace"),
            ("off", "off,hubbub=off"),
            ("info, hubbub_gateway=debug", "warn,hubbub=info,hubbub_gateway=debug"),
        ] {
            assert_eq!(directives(level), expected);
            assert!(expected.parse::<Targets>().is_ok());
        }
    }

    #[test]
    fn levels_are_by_module() {
        use tracing::Level;
        let levels = levels("info,hubbub_gateway::drain=debug,hubbub_bus=off");
        for (target, level, enabled) in [
            ("hubbub_gateway::drain", Level::DEBUG, true),
            ("hubbub_gateway::drain", Level::TRACE, false),
            ("hubbub_gateway", Level::INFO, true),
            ("hubbub_gateway", Level::DEBUG, false),
            ("hubbub_bus::link", Level::ERROR, false),
            ("sqlx::query", Level::INFO, false),
            ("sqlx::query", Level::WARN, true),
            (hubbub_gateway::context::RECORDS, Level::INFO, true),
        ] {
            assert_eq!(levels.would_enable(target, &level), enabled, "{target} {level}");
        }
    }
}
