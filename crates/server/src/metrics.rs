//! The registry of the process, with what belongs to the process itself: version, memory, files, CPU time.
//!
//! The names of the process's own figures are those that every Prometheus client uses, so that common dashboards find
//! them. Must never count anything of chat: each part of the house registers its own.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, GaugeVec, Opts, Registry};

/// Clock ticks in a second as `/proc` counts them, fixed by the kernel's interface to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// A registry with the process's own figures.
///
/// # Errors
/// When a name is taken twice: a mistake of the program.
pub(crate) fn registry() -> prometheus::Result<Registry> {
    let registry = Registry::new();
    let build = GaugeVec::new(Opts::new("hubbub_build_info", "Always 1; the labels name the build."), &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
    registry.register(Box::new(build))?;
    registry.register(Box::new(Process::new()?))?;
    Ok(registry)
}

/// Reads `/proc` when it is asked. Where there is none the figures stay 0.
struct Process {
    resident_bytes: Gauge,
    open_fds: Gauge,
    cpu_seconds: Counter,
}

impl Process {
    fn new() -> prometheus::Result<Self> {
        Ok(Self {
            resident_bytes: Gauge::new("process_resident_memory_bytes", "Memory of the process that is in RAM.")?,
            open_fds: Gauge::new("process_open_fds", "Open file descriptors, sockets included.")?,
            cpu_seconds: Counter::new("process_cpu_seconds_total", "CPU time spent, of user and system.")?,
        })
    }

    fn all(&self) -> [&dyn Collector; 3] {
        [&self.resident_bytes, &self.open_fds, &self.cpu_seconds]
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(|figure| figure.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(bytes) = hubbub_gateway::memory::resident_bytes() {
            self.resident_bytes.set(bytes as f64);
        }
        if let Ok(folder) = fs::read_dir("/proc/self/fd") {
            // The one that reads the folder is among them.
            self.open_fds.set(folder.count().saturating_sub(1) as f64);
        }
        if let Some(seconds) = cpu_seconds() {
            // Two scrapes at once may read out of order; time never goes back.
            self.cpu_seconds.inc_by((seconds - self.cpu_seconds.get()).max(0.0));
        }
        self.all().into_iter().flat_map(|figure| figure.collect()).collect()
    }
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in brackets and may hold spaces; utime and stime are the 14th and 15th.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>);
    Some((ticks.next()?.ok()? + ticks.next()?.ok()?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_has_memory_files_and_a_version() {
        let families = registry().expect("names are unique").gather();
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name() == name).expect(name);
            family.get_metric()[0].get_gauge().get_value()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0);
        assert!((value("hubbub_build_info") - 1.0).abs() < f64::EPSILON);
    }
}
