//! The registry of the process, with what belongs to the process itself: version, memory, files, CPU time, threads, disk.
//!
//! Owns [`declared`]: every metric that this binary can show. Must never count anything of chat: each part of the house
//! registers its own.

mod allocator;
mod disk;
mod process;
mod reference;
mod runtime;

use std::path::PathBuf;

use hubbub_metrics::{Metric, metrics, open};
use prometheus::Registry;

pub(crate) use reference::{reference, reference_json};

metrics! {
    /// What belongs to the binary as a whole.
    BUILD:
    static BUILD_INFO = Metric::gauge(
        "hubbub_build_info", "Always 1; the labels name the build.",
        "Which versions run beside each other.")
        .by(&[open("version", "the one version of this binary")]);
}

/// Parts of the house, in the order of the reference, each with its title and its metrics.
pub(crate) fn declared() -> [(&'static str, Vec<&'static Metric>); 6] {
    let process = [BUILD, process::METRICS, runtime::METRICS, allocator::METRICS, disk::METRICS];
    let operation = [crate::serve::RELOAD_METRICS, crate::serve::jwks::METRICS, crate::log::METRICS];
    [
        ("Connections, commands, deliveries", hubbub_gateway::METRICS.to_vec()),
        ("Database", hubbub_store::METRICS.to_vec()),
        ("Bus", hubbub_bus::METRICS.to_vec()),
        ("Process", process.concat()),
        ("Configuration and log", operation.concat()),
        ("Traces", hubbub_trace::METRICS.to_vec()),
    ]
}

/// A registry with the process's own figures. `database_file` is the SQLite file, if there is one.
///
/// # Errors
/// When a name is taken twice: a mistake of the program.
pub(crate) fn registry(database_file: Option<PathBuf>) -> prometheus::Result<Registry> {
    let registry = Registry::new();
    BUILD_INFO.levels(&registry)?.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    process::show(&registry)?;
    runtime::show(&registry)?;
    allocator::show(&registry)?;
    if let Some(file) = database_file {
        disk::show(&registry, file)?;
    }
    Ok(registry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_process_shows_what_it_is_made_of() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hubbub.db");
        std::fs::write(&file, [0; 5_000]).unwrap();
        std::fs::write(folder.path().join("hubbub.db-wal"), [0; 300]).unwrap();
        let families = registry(Some(file)).expect("names are unique").gather();
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name() == name).expect(name);
            let series = &family.get_metric()[0];
            series.get_gauge().get_value() + series.get_counter().get_value()
        };
        assert!((value("hubbub_build_info") - 1.0).abs() < f64::EPSILON);
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_threads") >= 1.0);
        // After 2020: not the ticks since the machine was started.
        assert!(value("process_start_time_seconds") > 1.5e9);
        assert!(value("hubbub_runtime_workers") >= 1.0);
        assert!(value("hubbub_allocator_allocated_bytes") > 1e5);
        assert!(value("hubbub_allocator_resident_bytes") >= value("hubbub_allocator_allocated_bytes"));
        assert!((value("hubbub_database_file_bytes") - 5_300.0).abs() < 0.5, "the log beside it included");
        assert!(value("hubbub_data_folder_size_bytes") >= value("hubbub_data_folder_free_bytes"));
        assert!(value("hubbub_data_folder_free_bytes") > 0.0);
    }

    #[test]
    fn no_name_is_declared_twice_and_each_follows_the_rules() {
        let all: Vec<&Metric> = declared().into_iter().flat_map(|(_, metrics)| metrics).collect();
        for (index, metric) in all.iter().enumerate() {
            let name = metric.name;
            assert!(all[..index].iter().all(|other| other.name != name), "{name} is declared twice");
            assert!(name.starts_with("hubbub_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == hubbub_metrics::Kind::Counter, "{name}");
            assert!(metric.help.ends_with('.') && !metric.tells.is_empty(), "{name} tells nothing");
        }
    }
}
