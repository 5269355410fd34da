//! The warnings and errors of the log, kept for the ops port as well.
//!
//! Sees what the log sees and nothing else: what its filter leaves out is not kept. Must never write anything itself.

use std::fmt::{self, Write as _};

use hubbub_gateway::ops::complaints::COMPLAINTS;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// A layer of the log.
pub(crate) struct Keep;

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARN",
            _ => return,
        };
        let mut words = Words::default();
        event.record(&mut words);
        COMPLAINTS.note(level, metadata.target(), &words.message, words.fields.trim_start());
    }
}

/// The message and the other fields of an event.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        match field.name() {
            "message" => write!(self.message, "{value:?}").ok(),
            name => write!(self.fields, " {name}={value:?}").ok(),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn warnings_and_errors_are_kept_with_their_fields() {
        let subscriber = tracing_subscriber::registry().with(Keep);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("kept by nobody");
            tracing::warn!(redis = "10.0.0.1:6379", tries = 3, "a warning of this test");
        });
        let newest = COMPLAINTS.newest(usize::MAX);
        assert!(newest.iter().all(|complaint| complaint.message != "kept by nobody"));
        let found = newest.iter().find(|complaint| complaint.message == "a warning of this test").expect("kept");
        assert_eq!((found.level, found.fields.as_str()), ("WARN", "redis=10.0.0.1:6379 tries=3"));
        assert_eq!(found.module, module_path!());
    }
}
