//! One line: JSON for programs, words for people.
//!
//! Owns which fields there are. Must never write a line that is not one line, or one without an end.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use hubbub_gateway::context::{self, Context};
use hubbub_protocol::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};

/// Longest text of one field, in bytes.
const FIELD_BYTES_MAX: usize = 4 << 10;

/// No field begins behind so many bytes of its line.
const LINE_BYTES_MAX: usize = 16 << 10;

/// What most lines need.
const LINE_BYTES: usize = 256;

/// The field of an event that holds its sentence.
const MESSAGE: &str = "message";

/// How lines look.
#[derive(Clone)]
pub(super) enum Form {
    Json {
        /// Stands in every line.
        node: Arc<str>,
    },
    Pretty {
        colours: bool,
    },
}

impl Form {
    /// The line of an event, with what is known of the command that this thread works on.
    pub(super) fn write(&self, event: &Event<'_>) -> Vec<u8> {
        let metadata = event.metadata();
        let mut line = self.begin(metadata.level(), metadata.target());
        event.record(&mut line);
        context::current(|context| {
            if let Some(context) = context {
                line.add_context(context, metadata);
            }
        });
        if let Some(trace) = hubbub_trace::current().filter(|_| metadata.fields().field("trace").is_none()) {
            line.text("trace", &trace.id());
        }
        let has_node = metadata.fields().field("node").is_some();
        line.end(if has_node { None } else { self.node() })
    }

    /// The line that stands for those of a place which were left out.
    pub(super) fn write_left_out(&self, place: &'static Metadata<'static>, lines: u64) -> Vec<u8> {
        let mut line = self.begin(place.level(), place.target());
        line.text(MESSAGE, &"lines of this place were left out: it repeats itself");
        line.number("lines", lines);
        if let (Some(file), Some(number)) = (place.file(), place.line()) {
            line.text("place", &format_args!("{file}:{number}"));
        }
        line.end(self.node())
    }

    /// The line that stands for those that were lost.
    pub(super) fn write_dropped(&self, lines: u64) -> Vec<u8> {
        let mut line = self.begin(&Level::WARN, module_path!());
        line.text(MESSAGE, &"log lines were lost: whoever reads them was too slow or could not take them");
        line.number("lines", lines);
        line.end(self.node())
    }

    fn node(&self) -> Option<&str> {
        match self {
            Self::Json { node } => Some(node),
            Self::Pretty { .. } => None,
        }
    }

    fn begin(&self, level: &Level, target: &str) -> Line {
        let mut text = String::with_capacity(LINE_BYTES);
        let now = Timestamp::now();
        match self {
            Self::Json { .. } => {
                put(&mut text, format_args!("{{\"timestamp\":\"{now}\",\"level\":\"{level}\",\"target\":\"{target}\""));
            }
            Self::Pretty { colours: true } => {
                put(
                    &mut text,
                    format_args!("\x1b[2m{now}\x1b[0m {}{level:>5}\x1b[0m \x1b[2m{target}:\x1b[0m", colour(level)),
                );
            }
            Self::Pretty { colours: false } => put(&mut text, format_args!("{now} {level:>5} {target}:")),
        }
        Line { is_json: matches!(self, Self::Json { .. }), text }
    }
}

fn put(text: &mut String, words: fmt::Arguments<'_>) {
    // Writing to a text never fails.
    text.write_fmt(words).ok();
}

fn colour(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// A line that is being written.
struct Line {
    is_json: bool,
    text: String,
}

impl Line {
    /// Begins a field, if there is room for one more.
    fn begin_field(&mut self, name: &str) -> bool {
        if self.text.len() > LINE_BYTES_MAX {
            return false;
        }
        match (self.is_json, name) {
            (true, _) => put(&mut self.text, format_args!(",\"{name}\":")),
            (false, MESSAGE) => self.text.push(' '),
            (false, _) => put(&mut self.text, format_args!(" {name}=")),
        }
        true
    }

    fn number(&mut self, name: &str, value: impl fmt::Display) {
        if self.begin_field(name) {
            put(&mut self.text, format_args!("{value}"));
        }
    }

    /// A text, without what would end the line or the terminal's colours, and cut where it is too long.
    fn text(&mut self, name: &str, value: &dyn fmt::Display) {
        if self.begin_field(name) {
            let quote = if self.is_json { "\"" } else { "" };
            self.text.push_str(quote);
            let mut escaped = Escaped { text: &mut self.text, left: FIELD_BYTES_MAX, quoted: self.is_json };
            // It fails when the text is too long: then it is cut.
            if write!(escaped, "{value}").is_err() {
                self.text.push('…');
            }
            self.text.push_str(quote);
        }
    }

    /// What is known of the command, but for what the event says itself.
    fn add_context(&mut self, context: &Context, metadata: &Metadata<'_>) {
        let Context { connection, session, user, command, room } = context;
        let is_new = |name: &str| metadata.fields().field(name).is_none();
        if let Some(connection) = connection.filter(|_| is_new("connection")) {
            self.number("connection", connection);
        }
        let texts: [(&str, Option<&dyn fmt::Display>); 4] = [
            ("session", session.as_ref().map(|session| session as _)),
            ("user", user.as_ref().map(|user| user as _)),
            ("command", Some(command)),
            ("room", room.as_ref().map(|room| room as _)),
        ];
        for (name, value) in texts {
            if let Some(value) = value.filter(|_| is_new(name)) {
                self.text(name, value);
            }
        }
    }

    fn end(mut self, node: Option<&str>) -> Vec<u8> {
        if let Some(node) = node {
            self.text("node", &node);
        }
        self.text.push_str(if self.is_json { "}\n" } else { "\n" });
        self.text.into_bytes()
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field.name(), &format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field.name(), value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.number(field.name(), value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.number(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no number for these.
        if value.is_finite() { self.number(field.name(), value) } else { self.text(field.name(), &value) }
    }
}

/// Escapes as JSON does, which keeps a line one line for people too. Fails where the text has no room left.
struct Escaped<'a> {
    text: &'a mut String,
    left: usize,
    /// It stands in quotes.
    quoted: bool,
}

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for sign in part.chars() {
            self.left = self.left.checked_sub(sign.len_utf8()).ok_or(fmt::Error)?;
            match sign {
                '"' | '\\' if self.quoted => self.text.extend(['\\', sign]),
                '\n' => self.text.push_str("\\n"),
                sign if sign.is_control() => write!(self.text, "\\u{:04x}", u32::from(sign))?,
                sign => self.text.push(sign),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::Value;
    use tracing::Subscriber;
    use tracing_subscriber::layer::{Context as Layered, Layer, SubscriberExt as _};

    use super::*;

    struct Written {
        form: Form,
        lines: Arc<Mutex<Vec<String>>>,
    }

    impl<S: Subscriber> Layer<S> for Written {
        fn on_event(&self, event: &Event<'_>, _: Layered<'_, S>) {
            let line = String::from_utf8(self.form.write(event)).expect("UTF-8");
            self.lines.lock().expect("lines").push(line);
        }
    }

    fn lines(form: Form, log: impl FnOnce()) -> Vec<String> {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let written = Written { form, lines: Arc::clone(&lines) };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(written), log);
        let lines = lines.lock().expect("lines").clone();
        assert!(lines.iter().all(|line| line.ends_with('\n') && line.matches('\n').count() == 1), "{lines:?}");
        lines
    }

    fn json(log: impl FnOnce()) -> Vec<Value> {
        let lines = lines(Form::Json { node: "n-1".into() }, log);
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn every_kind_of_value_is_json() {
        let found = json(|| {
            tracing::warn!(
                number = -7,
                count = 7_u64,
                part = 0.5,
                none = f64::NAN,
                is = true,
                text = "a\"\\\n\u{1b}\u{85}é",
                shown = %"x y",
                absent = None::<u64>,
                "said {}",
                1
            );
            tracing::info!(node = "other", "says its node itself");
        });
        let line = &found[0];
        assert_eq!(
            (&line["level"], &line["message"], &line["node"]),
            (&"WARN".into(), &"said 1".into(), &"n-1".into())
        );
        assert_eq!(line["target"], module_path!());
        assert_eq!(
            (line["number"].as_i64(), line["count"].as_u64(), line["part"].as_f64()),
            (Some(-7), Some(7), Some(0.5))
        );
        assert_eq!((&line["none"], &line["is"], &line["shown"]), (&"NaN".into(), &true.into(), &"x y".into()));
        assert_eq!(line["text"], "a\"\\\n\u{1b}\u{85}é");
        assert!(line.get("absent").is_none());
        assert!(line["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
        assert_eq!(found[1]["node"], "other");
    }

    #[test]
    fn a_line_has_an_end_whatever_is_in_it() {
        let long = "ä".repeat(1 << 20);
        let found = lines(Form::Json { node: "n".into() }, || {
            tracing::info!(a = long, b = long, c = long, d = long, e = long, f = long, "long");
        });
        assert!(found[0].len() < LINE_BYTES_MAX + 2 * FIELD_BYTES_MAX, "{}", found[0].len());
        let line: Value = serde_json::from_str(&found[0]).expect("JSON");
        assert!(line["a"].as_str().is_some_and(|text| text.ends_with('…')));
        assert!(line.get("f").is_none());
    }

    #[test]
    fn people_get_one_line_without_control_characters() {
        let log = || tracing::info!(name = "a\nb\u{1b}[31m", count = 2, "said");
        let plain = lines(Form::Pretty { colours: false }, log).remove(0);
        let (_, said) = plain.split_once(" INFO ").expect("a level");
        assert_eq!(said, format!("{}: said name=a\\nb\\u001b[31m count=2\n", module_path!()));
        assert!(lines(Form::Pretty { colours: true }, log)[0].contains("\u{1b}[32m INFO\u{1b}[0m"));
    }
}
