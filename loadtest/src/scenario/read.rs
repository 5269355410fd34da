//! From keys and values to a checked scenario.
//!
//! Must never stop at the first mistake, and must never let a figure through that the driver could not carry out.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::flat::{Entry, Flat, STAGES_MAX};
use super::mistake::{Mistake, Place};
use super::value::Value;
use super::{
    Actions, Arrivals, CONNECTIONS_MAX, Connections, Hostile, Messages, Popularity, RATE_MAX, ROOMS_MAX, Rooms,
    Scenario, Sizes, Stage, Storm,
};
use crate::proof::STAMP_BYTES;

/// Longest run and longest part of one.
const DURATION_MAX: Duration = Duration::from_secs(7 * 86_400);
/// Longest text of a message, in bytes.
const BODY_MAX: u64 = 1 << 20;
/// Length of a text that nobody said anything about: a line of a chat, in bytes.
const BODY_DEFAULT: u32 = 128;
/// Most handshakes at once: each holds a socket that does nothing yet.
const HANDSHAKES_MAX: u64 = 100_000;
/// Largest exponent of a Zipf distribution.
const EXPONENT_MAX: f64 = 3.0;
/// Longest sentence about a scenario, in characters.
const ABOUT_CHARS_MAX: usize = 500;

/// Reads a scenario: the name is the file's, without folder and ending; the overrides are `(key, value)` of `--set`.
///
/// # Errors
/// Every mistake there is, in the order of the places.
pub fn read(name: &str, text: &str, overrides: &[(String, String)]) -> Result<Scenario, Vec<Mistake>> {
    let mut reader = Reader { flat: Flat::new(&format!("{name}.toml"), text, overrides) };
    let is_readable = reader.flat.mistakes.iter().all(|mistake| !mistake.key.is_empty());
    let scenario = is_readable.then(|| reader.scenario(name));
    let mut mistakes = reader.flat.mistakes;
    match scenario {
        Some(scenario) if mistakes.is_empty() => Ok(scenario),
        _ => {
            mistakes.sort_by(|left, right| left.place.cmp(&right.place).then_with(|| left.key.cmp(&right.key)));
            Err(mistakes)
        }
    }
}

struct Reader {
    flat: Flat,
}

impl Reader {
    fn scenario(&mut self, name: &str) -> Scenario {
        let stages = self.stages();
        let staged: Duration = stages.iter().map(|stage| stage.duration).sum();
        let usual = if staged.is_zero() { Duration::from_secs(30) } else { staged };
        let duration = self.duration("duration", Duration::from_millis(100), usual.min(DURATION_MAX));
        if staged > duration {
            self.object("stages", &format!("they last {staged:?} together, the run only {duration:?}"));
        }
        let about = self.about();
        let connections = self.connections(&stages);
        let rooms = self.rooms(&connections);
        let messages = self.messages(&connections, &rooms);
        let stages = self.started(stages);
        let scenario = Scenario {
            name: name.to_owned(),
            about,
            duration,
            warmup: self.duration("warmup", Duration::ZERO, Duration::from_secs(5)),
            settle: self.duration("settle", Duration::ZERO, Duration::from_secs(10)),
            connections,
            rooms,
            messages,
            actions: Actions {
                typing_per_second: self.rate("actions.typing_per_second", 0.0),
                read_per_second: self.rate("actions.read_per_second", 0.0),
                page_per_second: self.rate("actions.page_per_second", 0.0),
            },
            stages,
            storm: self.storm(duration),
            hostile: Hostile::default(),
        };
        Scenario { hostile: self.hostile(scenario.connections.count), ..scenario }
    }

    fn about(&mut self) -> String {
        let Some(entry) = self.entry("about") else { return String::new() };
        match entry.value {
            Value::Text(text) if text.chars().count() <= ABOUT_CHARS_MAX => text,
            value => {
                self.refuse(entry.place, "about", &format!("a text of at most {ABOUT_CHARS_MAX} characters"), &value);
                String::new()
            }
        }
    }

    fn stages(&mut self) -> Vec<Stage> {
        let mut stages = Vec::new();
        while self.flat.entries.keys().any(|key| key.starts_with(&format!("stages.{}.", stages.len()))) {
            let key = |name: &str| format!("stages.{}.{name}", stages.len());
            if !self.flat.entries.contains_key(&key("duration")) {
                self.object(&key("duration"), "every stage says how long it lasts");
            }
            let duration = self.duration(&key("duration"), Duration::ZERO, Duration::ZERO);
            let has_rate = self.flat.entries.contains_key(&key("messages_per_second"));
            let rate = self.rate(&key("messages_per_second"), 0.0);
            let has_connections = self.flat.entries.contains_key(&key("connections"));
            let connections = self.whole(&key("connections"), 0..=u64::from(CONNECTIONS_MAX), 0);
            stages.push(Stage {
                duration,
                messages_per_second: has_rate.then_some(rate),
                connections: has_connections.then_some(connections),
            });
        }
        if stages.len() > STAGES_MAX {
            self.object("stages", &format!("there are more than {STAGES_MAX}"));
            stages.truncate(STAGES_MAX);
        }
        let numbers = self.flat.entries.keys().filter_map(|key| key.strip_prefix("stages.")?.split_once('.'));
        let stray =
            numbers.filter_map(|(number, _)| number.parse().ok()).find(|number: &usize| *number >= stages.len());
        if let Some(number) = stray {
            self.object(&format!("stages.{number}"), &format!("there are {} stages, counted from 0", stages.len()));
        }
        stages
    }

    /// What `connections.at_start` says becomes a first stage without length.
    fn started(&mut self, mut stages: Vec<Stage>) -> Vec<Stage> {
        if self.flat.entries.contains_key("connections.at_start") {
            let connections = self.whole("connections.at_start", 0..=u64::from(CONNECTIONS_MAX), 0);
            let start = Stage { duration: Duration::ZERO, messages_per_second: None, connections: Some(connections) };
            stages.insert(0, start);
        }
        stages
    }

    fn connections(&mut self, stages: &[Stage]) -> Connections {
        let most = stages.iter().filter_map(|stage| stage.connections).max();
        if most.is_none() && !self.flat.entries.contains_key("connections.count") {
            self.object("connections.count", "it has to be said how many there are");
        }
        let count = self.whole("connections.count", 1..=u64::from(CONNECTIONS_MAX), most.unwrap_or(1).max(1));
        let later = stages.iter().filter_map(|stage| stage.connections);
        if let Some(more) = later.filter(|more| *more > count).max() {
            self.object("connections.count", &format!("{count} are the most there can be, but a stage wants {more}"));
        }
        if let Some(at_start) = self.flat.entries.get("connections.at_start").and_then(|entry| entry.value.whole())
            && at_start > u64::from(count)
        {
            self.object("connections.at_start", &format!("only {count} are there at the most"));
        }
        let connections = Connections {
            count,
            per_second: self.rate("connections.per_second", 500.0),
            handshakes_max: self.whole("connections.handshakes_max", 1..=HANDSHAKES_MAX, 256),
            churn_per_second: self.rate("connections.churn_per_second", 0.0),
        };
        if connections.per_second <= 0.0 {
            self.object("connections.per_second", "with none a second nobody ever connects");
        }
        connections
    }

    fn rooms(&mut self, connections: &Connections) -> Rooms {
        let per_connection = self.whole("rooms.per_connection", 1..=u64::from(ROOMS_MAX), 1);
        self.either("rooms.count", "rooms.size");
        let count = if self.flat.entries.contains_key("rooms.size") {
            let size = self.whole("rooms.size", 1..=u64::from(CONNECTIONS_MAX), 1);
            let seats = u64::from(connections.count) * u64::from(per_connection);
            u32::try_from(seats.div_ceil(u64::from(size))).unwrap_or(ROOMS_MAX).clamp(1, ROOMS_MAX)
        } else {
            self.whole("rooms.count", 1..=u64::from(ROOMS_MAX), 1)
        };
        if per_connection > count {
            self.object("rooms.per_connection", &format!("nobody can follow {per_connection} of {count} rooms"));
        }
        Rooms { count, per_connection, popularity: self.popularity() }
    }

    fn popularity(&mut self) -> Popularity {
        const EXPECTED: &str = "\"uniform\", \"zipf\" or { zipf = EXPONENT } with an exponent from 0 to 3";
        if let Some(entry) = self.entry("rooms.popularity.zipf") {
            match entry.value.number() {
                Some(exponent) if (0.0..=EXPONENT_MAX).contains(&exponent) => return Popularity::Zipf { exponent },
                _ => self.refuse(entry.place, "rooms.popularity.zipf", EXPECTED, &entry.value),
            }
        }
        let Some(entry) = self.entry("rooms.popularity") else { return Popularity::Uniform };
        match &entry.value {
            Value::Text(text) if text == "uniform" => {}
            Value::Text(text) if text == "zipf" => return Popularity::Zipf { exponent: 1.0 },
            value => self.refuse(entry.place, "rooms.popularity", EXPECTED, value),
        }
        Popularity::Uniform
    }

    fn messages(&mut self, connections: &Connections, rooms: &Rooms) -> Messages {
        let senders_per_room = self.whole("messages.senders_per_room", 0..=u64::from(CONNECTIONS_MAX), 0);
        self.either("messages.per_second", "messages.think");
        let per_second = if self.flat.entries.contains_key("messages.think") {
            let think = self.duration("messages.think", Duration::from_millis(1), Duration::from_secs(10));
            let senders = match senders_per_room {
                0 => connections.count,
                limit => rooms.count.saturating_mul(limit).min(connections.count),
            };
            (f64::from(senders) / think.as_secs_f64()).min(RATE_MAX)
        } else {
            self.rate("messages.per_second", 0.0)
        };
        Messages { per_second, senders_per_room, arrivals: self.arrivals(), body: self.body() }
    }

    fn arrivals(&mut self) -> Arrivals {
        let Some(entry) = self.entry("messages.arrivals") else { return Arrivals::Poisson };
        match &entry.value {
            Value::Text(text) if text == "even" => Arrivals::Even,
            Value::Text(text) if text == "poisson" => Arrivals::Poisson,
            value => {
                self.refuse(entry.place, "messages.arrivals", "\"poisson\" or \"even\"", value);
                Arrivals::Poisson
            }
        }
    }

    fn body(&mut self) -> Sizes {
        let has = |reader: &Self, key| reader.flat.entries.contains_key(key);
        if !has(self, "messages.body.min") && !has(self, "messages.body.max") {
            return Sizes::Fixed(self.size("messages.body", BODY_DEFAULT));
        }
        let min = self.size("messages.body.min", STAMP_BYTES as u32);
        let max = self.size("messages.body.max", BODY_DEFAULT.max(min));
        if min > max {
            self.object("messages.body.max", &format!("it is less than `messages.body.min`, which is {min}"));
        }
        Sizes::Uniform { min, max }
    }

    fn storm(&mut self, duration: Duration) -> Option<Storm> {
        if !self.flat.entries.keys().any(|key| key.starts_with("storm.")) {
            return None;
        }
        let at = self.duration("storm.at", Duration::ZERO, duration / 3);
        if at >= duration {
            self.object("storm.at", &format!("the run is over after {duration:?}"));
        }
        Some(Storm { at, share: self.share("storm.share", 1.0), per_second: self.rate("storm.per_second", 0.0) })
    }

    fn hostile(&mut self, connections: u32) -> Hostile {
        let most = 0..=u64::from(CONNECTIONS_MAX);
        let hostile = Hostile {
            slow_readers: self.whole("hostile.slow_readers", most.clone(), 0),
            slow_bytes_per_second: self.whole("hostile.slow_bytes_per_second", 0..=1 << 30, 0),
            flooders: self.whole("hostile.flooders", most.clone(), 0),
            flood_per_second: self.rate("hostile.flood_per_second", 100.0),
            half_open: self.whole("hostile.half_open", most, 0),
        };
        if hostile.count() + connections > CONNECTIONS_MAX {
            self.object("connections.count", &format!("with the hostile ones there are more than {CONNECTIONS_MAX}"));
        }
        hostile
    }
}

/// Single values: what is missing has its default, what is wrong is noted and has it too.
impl Reader {
    fn entry(&self, key: &str) -> Option<Entry> {
        self.flat.entries.get(key).cloned()
    }

    fn whole(&mut self, key: &str, bounds: RangeInclusive<u64>, default: u32) -> u32 {
        let Some(entry) = self.entry(key) else { return default };
        let read = entry.value.whole().filter(|number| bounds.contains(number));
        read.and_then(|number| u32::try_from(number).ok()).unwrap_or_else(|| {
            let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
            self.refuse(entry.place, key, &expected, &entry.value);
            default
        })
    }

    fn rate(&mut self, key: &str, default: f64) -> f64 {
        let Some(entry) = self.entry(key) else { return default };
        entry.value.number().filter(|number| (0.0..=RATE_MAX).contains(number)).unwrap_or_else(|| {
            self.refuse(entry.place, key, &format!("a number from 0 to {RATE_MAX}"), &entry.value);
            default
        })
    }

    fn share(&mut self, key: &str, default: f64) -> f64 {
        let Some(entry) = self.entry(key) else { return default };
        entry.value.share().filter(|share| (0.0..=1.0).contains(share)).unwrap_or_else(|| {
            self.refuse(entry.place, key, "a share such as \"5%\" or 0.05", &entry.value);
            default
        })
    }

    fn duration(&mut self, key: &str, least: Duration, default: Duration) -> Duration {
        let Some(entry) = self.entry(key) else { return default };
        entry.value.duration().filter(|duration| (least..=DURATION_MAX).contains(duration)).unwrap_or_else(|| {
            let expected = format!("a duration such as \"500ms\", \"20s\" or \"5m\", from {least:?} to 7 days");
            self.refuse(entry.place, key, &expected, &entry.value);
            default
        })
    }

    fn size(&mut self, key: &str, default: u32) -> u32 {
        let Some(entry) = self.entry(key) else { return default };
        let least = STAMP_BYTES as u64;
        let read = entry.value.size().filter(|bytes| (least..=BODY_MAX).contains(bytes));
        read.and_then(|bytes| u32::try_from(bytes).ok()).unwrap_or_else(|| {
            let expected = format!("bytes such as 128 or \"4KiB\", from {least} (the mark of a message) to 1 MiB");
            self.refuse(entry.place, key, &expected, &entry.value);
            default
        })
    }

    /// Two keys that say the same.
    fn either(&mut self, one: &str, other: &str) {
        if self.flat.entries.contains_key(one) && self.flat.entries.contains_key(other) {
            self.object(other, &format!("`{one}` says it already; one of them is enough"));
        }
    }

    fn refuse(&mut self, place: Place, key: &str, expected: &str, value: &Value) {
        self.flat.mistake(place, key, format!("expected {expected}; not {}", value.describe()));
    }

    /// Notes what is wrong with a value that can be read, at its place or at that of its group.
    fn object(&mut self, key: &str, reason: &str) {
        let within = |known: &str| known == key || known.starts_with(&format!("{key}."));
        let place = self.flat.entries.iter().find(|(known, _)| within(known)).map(|(_, entry)| entry.place.clone());
        self.flat.mistake(place.unwrap_or(Place::Whole), key, reason.to_owned());
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
