//! What the kernel tells of the process.
//!
//! The names are those that every Prometheus client uses, so that common dashboards find them. Must never fail: where there
//! is no `/proc` the figures stay 0.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use hubbub_metrics::{Metric, OnDemand, metrics};
use prometheus::core::Collector;
use prometheus::{Counter, Gauge, Registry};
use rustix::process::{Resource, getrlimit};

/// Clock ticks in a second as `/proc` counts them, fixed by the kernel's interface to programs.
const TICKS_PER_SECOND: f64 = 100.0;

metrics! {
    /// What the kernel tells.
    pub(super) METRICS:
    static CPU = Metric::counter(
        "process_cpu_seconds_total", "CPU time spent, of user and system.",
        "Its rate is how many processors the node keeps busy.");
    static RESIDENT = Metric::gauge(
        "process_resident_memory_bytes", "Memory of the process that is in RAM.",
        "Beside `hubbub_memory_mark_bytes`: how far the node is from refusing newcomers.");
    static VIRTUAL = Metric::gauge(
        "process_virtual_memory_bytes", "Addresses that the process has reserved.",
        "Little: reserved is not used.");
    static OPEN_FDS = Metric::gauge(
        "process_open_fds", "Open file descriptors, sockets included.",
        "Each connection is one.");
    static MAX_FDS = Metric::gauge(
        "process_max_fds", "Most file descriptors that the process may have open.",
        "The bound of `process_open_fds`: at it nobody new is accepted.");
    static START_TIME = Metric::gauge(
        "process_start_time_seconds", "When the process was started, in seconds since 1970.",
        "A new value is a restart.");
    static THREADS = Metric::gauge(
        "process_threads", "Threads of the process.",
        "Workers, and threads that hash passwords or read files.");
}

/// Shows them.
pub(super) fn show(registry: &Registry) -> prometheus::Result<()> {
    let figures = Figures {
        cpu: CPU.unregistered_counter()?,
        resident: RESIDENT.unregistered_gauge()?,
        reserved: VIRTUAL.unregistered_gauge()?,
        open_fds: OPEN_FDS.unregistered_gauge()?,
        max_fds: MAX_FDS.unregistered_gauge()?,
        start_time: START_TIME.unregistered_gauge()?,
        threads: THREADS.unregistered_gauge()?,
    };
    if let Some(seconds) = started_at() {
        figures.start_time.set(seconds);
    }
    let shown: Vec<Box<dyn Collector>> = vec![
        Box::new(figures.cpu.clone()),
        Box::new(figures.resident.clone()),
        Box::new(figures.reserved.clone()),
        Box::new(figures.open_fds.clone()),
        Box::new(figures.max_fds.clone()),
        Box::new(figures.start_time.clone()),
        Box::new(figures.threads.clone()),
    ];
    OnDemand::new(shown, move || figures.read()).register(registry)
}

struct Figures {
    cpu: Counter,
    resident: Gauge,
    reserved: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    start_time: Gauge,
    threads: Gauge,
}

impl Figures {
    fn read(&self) {
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).and_then(number);
            for (gauge, name, unit) in [
                (&self.resident, "VmRSS:", 1024.0),
                (&self.reserved, "VmSize:", 1024.0),
                (&self.threads, "Threads:", 1.0),
            ] {
                if let Some(value) = field(name) {
                    gauge.set(value * unit);
                }
            }
        }
        if let Some(count) = open_descriptors() {
            self.open_fds.set(count);
        }
        // Without a limit there is none to be near to.
        if let Some(max) = getrlimit(Resource::Nofile).current {
            self.max_fds.set(max as f64);
        }
        if let Some(seconds) = stat().and_then(|fields| ticks(&fields, UTIME).zip(ticks(&fields, STIME))) {
            // Two who ask at once may read out of order; time never goes back.
            self.cpu.inc_by((seconds.0 + seconds.1 - self.cpu.get()).max(0.0));
        }
    }
}

fn number(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// How many descriptors are open. Newer kernels tell it as the size of the folder; older ones are asked for each, which
/// takes some ten milliseconds for a hundred thousand.
fn open_descriptors() -> Option<f64> {
    let told = fs::metadata("/proc/self/fd").map(|folder| folder.len()).unwrap_or_default();
    if told > 0 {
        return Some(told as f64);
    }
    // The one that reads the folder is among them.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

/// Fields of `/proc/self/stat` behind the program's name, which may hold spaces: `utime`, `stime` and `starttime` are
/// the 14th, 15th and 22nd of all.
const UTIME: usize = 11;
const STIME: usize = 12;
const STARTED: usize = 19;

fn stat() -> Option<Vec<String>> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

/// A field in ticks, as seconds.
fn ticks(fields: &[String], at: usize) -> Option<f64> {
    fields.get(at)?.parse::<f64>().ok().map(|ticks| ticks / TICKS_PER_SECOND)
}

/// In seconds since 1970: the kernel counts from the start of the machine.
fn started_at() -> Option<f64> {
    let uptime = number(&fs::read_to_string("/proc/uptime").ok()?)?;
    let after_boot = ticks(&stat()?, STARTED)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    Some(now - uptime + after_boot)
}
