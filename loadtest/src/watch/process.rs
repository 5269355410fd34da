//! CPU and memory of one process, from `/proc`.
//!
//! Must never fail a run because a process has gone: it then has no further samples.

use std::time::{Duration, Instant};

use crate::report::{Observed, Sample};

/// How often a sample is taken.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// How often memory is asked for exactly: the kernel walks all of it.
const MEMORY_EVERY: Duration = Duration::from_secs(5);

/// Most samples of one process: a day.
const SAMPLES_MAX: usize = 86_400;

/// A process that is watched.
#[derive(Debug)]
pub struct Watched {
    name: String,
    pid: u32,
    taken_at: Option<Instant>,
    memory_at: Option<Instant>,
    memory_bytes: u64,
    /// With when each was taken.
    samples: Vec<(Instant, Sample)>,
    /// CPU seconds at the beginning and the end of the measured time.
    begun: Option<(Instant, f64)>,
    ended: Option<f64>,
}

impl Watched {
    /// This process from now on. None when it is not there.
    #[must_use]
    pub fn new(name: &str, pid: u32) -> Option<Self> {
        cpu_seconds(pid)?;
        Some(Self {
            name: name.to_owned(),
            pid,
            taken_at: None,
            memory_at: None,
            memory_bytes: 0,
            samples: Vec::new(),
            begun: None,
            ended: None,
        })
    }

    /// Takes a sample if it is time for one.
    pub fn look(&mut self) {
        let now = Instant::now();
        if self.taken_at.is_none_or(|taken| now.duration_since(taken) >= SAMPLE_EVERY) {
            self.taken_at = Some(now);
            self.take(now);
        }
    }

    /// The measured time begins now.
    pub fn begin(&mut self) {
        let now = Instant::now();
        self.begun = cpu_seconds(self.pid).map(|cpu| (now, cpu));
        self.take(now);
    }

    /// The measured time ends now.
    pub fn end(&mut self) {
        self.ended = cpu_seconds(self.pid);
        self.memory_at = None;
        self.take(Instant::now());
    }

    fn take(&mut self, now: Instant) {
        let Some(cpu_seconds) = cpu_seconds(self.pid).filter(|_| self.samples.len() < SAMPLES_MAX) else { return };
        if self.memory_at.is_none_or(|taken| now.duration_since(taken) >= MEMORY_EVERY) {
            self.memory_at = Some(now);
            self.memory_bytes = memory_bytes(self.pid).unwrap_or(self.memory_bytes);
        }
        self.samples.push((now, Sample { at: 0.0, cpu_seconds, memory_bytes: self.memory_bytes }));
    }

    /// What was seen.
    #[must_use]
    pub fn observed(self) -> Observed {
        let zero = self.begun.map(|(at, _)| at).or_else(|| self.samples.first().map(|(at, _)| *at));
        let samples = self.samples.iter().map(|(taken, sample)| {
            let zero = zero.unwrap_or(*taken);
            let at = taken.saturating_duration_since(zero).as_secs_f64()
                - zero.saturating_duration_since(*taken).as_secs_f64();
            Sample { at, ..*sample }
        });
        let samples: Vec<Sample> = samples.collect();
        // A process that went away in the measured time is counted up to its last sample.
        let end = self.ended.or_else(|| samples.last().map(|sample| sample.cpu_seconds));
        let cpu_seconds = match (self.begun, end) {
            (Some((_, begun)), Some(end)) => (end - begun).max(0.0),
            _ => 0.0,
        };
        Observed { name: self.name, pid: self.pid, samples, cpu_seconds }
    }
}

/// CPU seconds since the start of a process, of user and kernel.
fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    ticks(&stat).map(|ticks| ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn ticks(stat: &str) -> Option<u64> {
    // The name stands in brackets and may hold anything, brackets and spaces too.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some(user + kernel)
}

/// Memory that is the process's own, in bytes.
fn memory_bytes(pid: u32) -> Option<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let mut own = None;
    for line in rollup.lines() {
        if let Some(rest) = line.strip_prefix("Private_Clean:").or_else(|| line.strip_prefix("Private_Dirty:")) {
            let kilobytes: u64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
            own = Some(own.unwrap_or(0) + kilobytes * 1_024);
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_stand_behind_any_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 30 12 13 14 15";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7"), None);
    }

    #[test]
    fn this_process_is_seen_and_one_that_is_not_there_is_none() {
        assert!(Watched::new("nobody", u32::MAX).is_none());
        let mut own = Watched::new("own", std::process::id()).expect("it is there");
        own.begin();
        own.end();
        let observed = own.observed();
        assert_eq!(observed.samples.len(), 2);
        assert!(observed.samples[0].memory_bytes > 0);
        assert!(observed.samples[0].at.abs() < f64::EPSILON);
    }
}
