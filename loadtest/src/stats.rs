//! Counts and times: of one second, and of a whole run.
//!
//! Owns the histograms, which are merged exactly over threads, processes and machines: all have the same buckets. Must
//! never keep a single value.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest time that is told apart, in microseconds: one hour.
const MICROS_MAX: u64 = 3_600_000_000;

/// Digits that are kept.
const DIGITS: u8 = 3;

/// Most kinds of error that are told apart.
const ERRORS_MAX: usize = 64;

/// How long something took, in microseconds with three digits.
#[derive(Clone, Default, Debug)]
pub struct Times(Form);

/// A histogram takes some 180 KB whatever is in it, so it is there only while something is noted.
#[derive(Clone, Default, Debug)]
enum Form {
    #[default]
    Empty,
    Open(Box<Histogram<u64>>),
    /// Pairs of value and count, as they travel: a few KB for a second.
    Packed(Box<[(u64, u64)]>),
}

impl Times {
    /// Notes one time.
    #[inline]
    pub fn record(&mut self, time: Duration) {
        self.open().saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Notes one time in nanoseconds: the cheapest way.
    #[inline]
    pub fn record_nanos(&mut self, nanos: u64) {
        self.open().saturating_record(nanos / 1_000);
    }

    /// How many were noted.
    #[must_use]
    pub fn count(&self) -> u64 {
        match &self.0 {
            Form::Empty => 0,
            Form::Open(histogram) => histogram.len(),
            Form::Packed(pairs) => pairs.iter().map(|(_, count)| count).sum(),
        }
    }

    /// The time that this share (0 to 1) did not exceed; zero when nothing was noted.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.read(|histogram| histogram.value_at_quantile(share)))
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.read(Histogram::max))
    }

    /// The mean.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.read(|histogram| (histogram.mean() * 1_000.0) as u64))
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        match &other.0 {
            Form::Empty => {}
            Form::Open(histogram) => {
                // Both have the same bounds, so nothing can fall outside.
                self.open().add(histogram.as_ref()).ok();
            }
            Form::Packed(pairs) => {
                let histogram = self.open();
                for (value, count) in pairs {
                    histogram.saturating_record_n(*value, *count);
                }
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        match &mut self.0 {
            Form::Open(histogram) => histogram.reset(),
            other => *other = Form::Empty,
        }
    }

    /// Takes no more memory than what was noted needs. It can be read and added to as before.
    pub fn pack(&mut self) {
        if let Form::Open(_) = self.0 {
            let pairs: Box<[_]> = self.pairs().into();
            self.0 = if pairs.is_empty() { Form::Empty } else { Form::Packed(pairs) };
        }
    }

    #[inline]
    fn open(&mut self) -> &mut Histogram<u64> {
        if !matches!(self.0, Form::Open(_)) {
            self.unpack();
        }
        match &mut self.0 {
            Form::Open(histogram) => histogram,
            Form::Empty | Form::Packed(_) => unreachable!("it was opened just now"),
        }
    }

    #[cold]
    fn unpack(&mut self) {
        let mut open = Box::new(histogram());
        if let Form::Packed(pairs) = &self.0 {
            for (value, count) in pairs {
                open.saturating_record_n(*value, *count);
            }
        }
        self.0 = Form::Open(open);
    }

    fn read(&self, figure: impl FnOnce(&Histogram<u64>) -> u64) -> u64 {
        match &self.0 {
            Form::Empty => 0,
            Form::Open(histogram) => figure(histogram),
            Form::Packed(_) => {
                let mut open = self.clone();
                figure(open.open())
            }
        }
    }

    fn pairs(&self) -> Vec<(u64, u64)> {
        match &self.0 {
            Form::Empty => Vec::new(),
            Form::Packed(pairs) => pairs.to_vec(),
            Form::Open(histogram) => {
                histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
            }
        }
    }
}

fn histogram() -> Histogram<u64> {
    let histogram = Histogram::new_with_bounds(1, MICROS_MAX, DIGITS);
    histogram.expect("the bounds are right, whatever happens at run time")
}

/// As pairs of value and count.
impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.pairs())
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = Vec::<(u64, u64)>::deserialize(deserializer)?;
        Ok(Self(if pairs.is_empty() { Form::Empty } else { Form::Packed(pairs.into()) }))
    }
}

/// What is counted.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Counts {
    /// Connections that are open and follow their rooms, at the end of the time.
    pub connected: u64,
    /// Connections that were opened, again too.
    pub opened: u64,
    /// Attempts to connect that failed.
    pub failed: u64,
    /// Connections that were lost or closed by the server, without being asked to.
    pub dropped: u64,
    /// Messages that were sent.
    pub sent: u64,
    /// Messages that were acked.
    pub acked: u64,
    /// Messages that were refused.
    pub refused: u64,
    /// Deliveries of messages.
    pub delivered: u64,
    /// Other actions that were answered.
    pub actions: u64,
    /// Bytes that came in, as the socket brought them.
    pub bytes_in: u64,
    /// Bytes that went out.
    pub bytes_out: u64,
    /// Errors by kind: a code of the peer's, or what the system said.
    pub errors: BTreeMap<String, u64>,
}

impl Counts {
    /// Notes an error.
    pub fn error(&mut self, kind: &str) {
        let kind = if self.errors.len() < ERRORS_MAX || self.errors.contains_key(kind) { kind } else { "other" };
        *self.errors.entry(kind.to_owned()).or_default() += 1;
    }

    /// Adds another worker's of the same time.
    pub fn merge(&mut self, other: &Self) {
        self.connected += other.connected;
        self.add(other);
    }

    /// Adds what came later: what is a state and no count stays as it is then.
    pub fn follow(&mut self, later: &Self) {
        self.connected = later.connected;
        self.add(later);
    }

    fn add(&mut self, other: &Self) {
        self.opened += other.opened;
        self.failed += other.failed;
        self.dropped += other.dropped;
        self.sent += other.sent;
        self.acked += other.acked;
        self.refused += other.refused;
        self.delivered += other.delivered;
        self.actions += other.actions;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        for (kind, count) in &other.errors {
            *self.errors.entry(kind.clone()).or_default() += count;
        }
    }
}

/// What is timed.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Timings {
    /// From the intended moment of a send to its delivery at another connection.
    pub delivery: Times,
    /// From the intended moment of a send to its ack.
    pub ack: Times,
    /// From the first packet of a connection to the end of its upgrade.
    pub connect: Times,
    /// From the ask for a room's events to the answer.
    pub subscribe: Times,
    /// From the loss of a connection to the moment when it follows its rooms again.
    pub recover: Times,
    /// From the intended moment of another action to its answer.
    pub action: Times,
    /// How much later than intended the driver itself sent.
    pub lateness: Times,
}

impl Timings {
    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        let Self { delivery, ack, connect, subscribe, recover, action, lateness } = other;
        self.delivery.merge(delivery);
        self.ack.merge(ack);
        self.connect.merge(connect);
        self.subscribe.merge(subscribe);
        self.recover.merge(recover);
        self.action.merge(action);
        self.lateness.merge(lateness);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        let Self { delivery, ack, connect, subscribe, recover, action, lateness } = self;
        for times in [delivery, ack, connect, subscribe, recover, action, lateness] {
            times.clear();
        }
    }

    /// Takes no more memory than what was noted needs.
    pub fn pack(&mut self) {
        let Self { delivery, ack, connect, subscribe, recover, action, lateness } = self;
        for times in [delivery, ack, connect, subscribe, recover, action, lateness] {
            times.pack();
        }
    }
}

/// From this share of a second on a driver thread counts as full.
pub const DRIVER_FULL: f64 = 0.95;

/// What one second brought, or several in a row of a long run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Second {
    /// Which, from the start of the measured time; those before are negative. Of several the first.
    pub at: i64,
    /// How many seconds these are.
    #[serde(default = "one")]
    pub span: u32,
    /// What was counted in it.
    pub counts: Counts,
    /// What was timed in it.
    pub timings: Timings,
    /// The share of the second that the busiest driver thread was on the CPU, from 0 to 1. Of several the highest.
    pub driver_busy: f64,
    /// In how many of several a driver thread was full.
    #[serde(default)]
    pub full: u32,
}

const fn one() -> u32 {
    1
}

impl Default for Second {
    fn default() -> Self {
        let (counts, timings) = (Counts::default(), Timings::default());
        Self { at: 0, span: 1, counts, timings, driver_busy: 0.0, full: 0 }
    }
}

impl Second {
    /// Adds another worker's of the same second.
    pub fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.timings.merge(&other.timings);
        self.driver_busy = self.driver_busy.max(other.driver_busy);
    }

    /// Adds what came behind it.
    pub fn follow(&mut self, later: &Self) {
        self.full = self.full_seconds() + later.full_seconds();
        self.span += later.span;
        self.counts.follow(&later.counts);
        self.timings.merge(&later.timings);
        self.driver_busy = self.driver_busy.max(later.driver_busy);
    }

    /// In how many of its seconds a driver thread was full.
    #[must_use]
    pub fn full_seconds(&self) -> u32 {
        if self.span <= 1 { u32::from(self.driver_busy >= DRIVER_FULL) } else { self.full }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_is_the_same_as_noting_all_in_one() {
        let (mut one, mut other, mut all) = (Times::default(), Times::default(), Times::default());
        for micros in (1..2_000_000).step_by(137) {
            let time = Duration::from_micros(micros);
            all.record(time);
            if micros % 3 == 0 { one.record(time) } else { other.record(time) }
        }
        let travelled: Times = serde_json::from_str(&serde_json::to_string(&other).expect("json")).expect("times");
        one.merge(&travelled);
        assert_eq!(one.count(), all.count());
        for share in [0.0, 0.5, 0.9, 0.99, 0.999, 1.0] {
            assert_eq!(one.quantile(share), all.quantile(share), "{share}");
        }
    }

    #[test]
    fn kinds_of_errors_are_bounded() {
        let mut counts = Counts::default();
        for kind in 0..1_000 {
            counts.error(&kind.to_string());
        }
        assert!(counts.errors.len() <= ERRORS_MAX + 1);
        assert_eq!(counts.errors.values().sum::<u64>(), 1_000);
    }

    #[test]
    fn packed_times_say_the_same_and_nothing_takes_nothing() {
        let mut open = Times::default();
        assert!(matches!(open.0, Form::Empty));
        assert_eq!((open.count(), open.max(), open.quantile(0.5)), (0, Duration::ZERO, Duration::ZERO));
        (1..5_000).step_by(7).for_each(|millis| open.record(Duration::from_millis(millis)));
        let mut packed = open.clone();
        packed.pack();
        assert!(matches!(packed.0, Form::Packed(_)));
        assert_eq!((packed.count(), packed.max(), packed.mean()), (open.count(), open.max(), open.mean()));
        for share in [0.0, 0.5, 0.99, 1.0] {
            assert_eq!(packed.quantile(share), open.quantile(share), "{share}");
        }
        packed.record(Duration::from_secs(9));
        assert_eq!(packed.count(), open.count() + 1);
        packed.clear();
        packed.pack();
        assert!(matches!(packed.0, Form::Empty));
    }

    #[test]
    fn seconds_in_a_row_become_one_that_spans_them() {
        let second = |at, delivered, connected, driver_busy| {
            let counts = Counts { delivered, connected, ..Counts::default() };
            Second { at, counts, driver_busy, ..Second::default() }
        };
        let mut first = second(4, 10, 3, 0.99);
        first.follow(&second(5, 20, 2, 0.1));
        first.follow(&second(6, 30, 1, 0.97));
        assert_eq!((first.at, first.span, first.full_seconds()), (4, 3, 2));
        assert_eq!((first.counts.delivered, first.counts.connected), (60, 1));
    }
}
