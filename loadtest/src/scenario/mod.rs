//! What people do in a run: how many, in which rooms, how often, and what goes wrong.
//!
//! Owns the checked form that everything else reads. Must never hold where the load goes: that stands on the command
//! line alone.

mod built_in;
mod flat;
mod mistake;
mod read;
mod value;

use std::time::Duration;

pub use built_in::{BUILT_IN, OpenError, open};
pub use mistake::{Mistake, Place};
pub use read::read;

use serde::{Deserialize, Serialize};

/// Most connections of a run.
pub const CONNECTIONS_MAX: u32 = 2_000_000;
/// Most rooms of a run: the number travels as six hexadecimal digits.
pub const ROOMS_MAX: u32 = 0x00ff_ffff;
/// Most sends and actions a second of a run.
pub const RATE_MAX: f64 = 10_000_000.0;

/// A checked scenario.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Scenario {
    /// Its name: the file's, without the ending.
    pub name: String,
    /// What it is for, in a sentence.
    pub about: String,
    /// How long is measured.
    pub duration: Duration,
    /// How long is sent before the measuring begins.
    pub warmup: Duration,
    /// How long stragglers are waited for at the end.
    pub settle: Duration,
    /// Who connects.
    pub connections: Connections,
    /// Where they are.
    pub rooms: Rooms,
    /// What they say.
    pub messages: Messages,
    /// What they do besides.
    pub actions: Actions,
    /// How the rate or the number of connections changes over the measured time; empty: they stay.
    pub stages: Vec<Stage>,
    /// Everybody loses the connection at once.
    pub storm: Option<Storm>,
    /// Neighbours that behave badly.
    pub hostile: Hostile,
}

/// Who connects.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Connections {
    /// How many at the most.
    pub count: u32,
    /// How many are opened a second, over all workers.
    pub per_second: f64,
    /// How many handshakes may be under way at once, over all workers.
    pub handshakes_max: u32,
    /// How many leave and come back a second during the run, over all workers.
    pub churn_per_second: f64,
}

/// Where they are.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rooms {
    /// How many.
    pub count: u32,
    /// How many each connection follows.
    pub per_connection: u32,
    /// How connections spread over the rooms.
    pub popularity: Popularity,
}

/// How connections spread over rooms.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Popularity {
    /// All rooms are of one size.
    Uniform,
    /// The k-th room is `k^exponent` times smaller than the first.
    Zipf {
        /// From 0 (uniform) to 3.
        exponent: f64,
    },
}

/// What they say.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Messages {
    /// How many are sent a second, over all rooms.
    pub per_second: f64,
    /// How many of a room's connections send; 0: all of them.
    pub senders_per_room: u32,
    /// When.
    pub arrivals: Arrivals,
    /// How long their text is.
    pub body: Sizes,
}

/// When things happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// One after the other, evenly.
    Even,
    /// As people do: independent of each other.
    Poisson,
}

/// How long texts are, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sizes {
    /// All alike.
    Fixed(u32),
    /// Evenly from the first to the second, both inside.
    Uniform {
        /// The shortest.
        min: u32,
        /// The longest.
        max: u32,
    },
}

/// What people do besides sending, each in actions a second over all connections.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Actions {
    /// Say that they type.
    pub typing_per_second: f64,
    /// Mark a room as read.
    pub read_per_second: f64,
    /// Ask for a page of the history.
    pub page_per_second: f64,
}

/// A part of the measured time, over which rates go evenly from what they were to what is said here; without length
/// they jump. A first one without length says what there is at the start.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Stage {
    /// How long.
    pub duration: Duration,
    /// Messages a second at its end; none: as before.
    pub messages_per_second: Option<f64>,
    /// Connections at its end; none: as before.
    pub connections: Option<u32>,
}

/// Connections that are cut at once and come back.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Storm {
    /// When, from the start of the measured time.
    pub at: Duration,
    /// Which share of the connections, from 0 to 1.
    pub share: f64,
    /// How many come back a second, over all workers; 0: as fast as they can.
    pub per_second: f64,
}

/// Neighbours that behave badly. They are connections beside those of [`Connections`], and their losses are not judged.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Hostile {
    /// Connections that follow a room and read slowly.
    pub slow_readers: u32,
    /// What each of those reads a second, in bytes; 0: nothing.
    pub slow_bytes_per_second: u32,
    /// Connections that send pings and commands as fast as they are told to.
    pub flooders: u32,
    /// What each of those sends a second, in frames.
    pub flood_per_second: f64,
    /// Sockets that are opened and say nothing.
    pub half_open: u32,
}

impl Hostile {
    /// How many connections they are together.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.slow_readers + self.flooders + self.half_open
    }
}

impl Scenario {
    /// The same with other extents, in which stages and storms keep their proportions.
    pub fn scale(&mut self, connections: Option<u32>, duration: Option<Duration>) {
        if let Some(connections) = connections {
            let share = f64::from(connections) / f64::from(self.connections.count.max(1));
            for stage in &mut self.stages {
                stage.connections = stage.connections.map(|before| (f64::from(before) * share).round() as u32);
            }
            self.connections.count = connections;
        }
        if let Some(duration) = duration {
            let share = duration.as_secs_f64() / self.duration.as_secs_f64().max(f64::MIN_POSITIVE);
            for stage in &mut self.stages {
                stage.duration = stage.duration.mul_f64(share);
            }
            if let Some(storm) = &mut self.storm {
                storm.at = storm.at.mul_f64(share);
            }
            self.duration = duration;
        }
    }

    /// Messages a second at a moment of the measured time, as the stages say.
    #[must_use]
    pub fn rate_at(&self, elapsed: Duration) -> f64 {
        let staged = |stage: &Stage| stage.messages_per_second;
        self.staged(elapsed, self.messages.per_second, staged)
    }

    /// Connections that there should be at a moment of the measured time.
    #[must_use]
    pub fn connections_at(&self, elapsed: Duration) -> u32 {
        let staged = |stage: &Stage| stage.connections.map(f64::from);
        self.staged(elapsed, f64::from(self.connections.count), staged).round() as u32
    }

    /// Connections that there are before the measuring begins: the scenario's `connections.at_start`, else all of them.
    #[must_use]
    pub fn connections_at_start(&self) -> u32 {
        self.connections_at(Duration::ZERO)
    }

    fn staged(&self, elapsed: Duration, start: f64, value: impl Fn(&Stage) -> Option<f64>) -> f64 {
        let (mut from, mut begun) = (start, Duration::ZERO);
        for stage in &self.stages {
            let to = value(stage).unwrap_or(from);
            let end = begun + stage.duration;
            if elapsed < end {
                let share = (elapsed - begun).as_secs_f64() / stage.duration.as_secs_f64();
                return from + (to - from) * share;
            }
            (from, begun) = (to, end);
        }
        from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(text: &str) -> Scenario {
        read("test", text, &[]).expect("a scenario")
    }

    #[test]
    fn stages_go_evenly_and_jump_without_length() {
        let scenario = scenario(
            "connections = { count = 100, at_start = 20 }\nmessages.per_second = 10\n\
             [[stages]]\nduration = \"10s\"\nconnections = 60\n\
             [[stages]]\nduration = \"0s\"\nmessages_per_second = 50\n\
             [[stages]]\nduration = \"10s\"\nconnections = 100\nmessages_per_second = 100\n",
        );
        assert_eq!(scenario.duration, Duration::from_secs(20));
        assert_eq!(scenario.connections_at_start(), 20);
        for (second, connections, rate) in
            [(0, 20, 10.0), (5, 40, 10.0), (10, 60, 50.0), (15, 80, 75.0), (20, 100, 100.0), (99, 100, 100.0)]
        {
            let at = Duration::from_secs(second);
            assert_eq!((scenario.connections_at(at), scenario.rate_at(at)), (connections, rate), "{second}");
        }
    }

    #[test]
    fn stages_keep_their_proportions() {
        let mut scenario = scenario(
            "connections = { count = 100, at_start = 20 }\nmessages.per_second = 10\n\
             [[stages]]\nduration = \"10s\"\nconnections = 60\n[[stages]]\nduration = \"30s\"\nconnections = 100\n",
        );
        scenario.scale(Some(50), Some(Duration::from_secs(4)));
        assert_eq!((scenario.connections.count, scenario.duration), (50, Duration::from_secs(4)));
        for (second, connections) in [(0, 10), (1, 30), (4, 50)] {
            assert_eq!(scenario.connections_at(Duration::from_secs(second)), connections, "{second}");
        }
    }

    #[test]
    fn without_stages_everybody_is_there_from_the_start() {
        let scenario = scenario("connections.count = 30\n[[stages]]\nduration = \"5s\"\nmessages_per_second = 5\n");
        assert_eq!(scenario.connections_at_start(), 30);
        assert_eq!(scenario.connections_at(Duration::from_secs(9)), 30);
    }
}
