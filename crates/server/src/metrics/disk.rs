//! The disk under a SQLite file: full, it takes no more messages.
//!
//! Must never look into the file.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use hubbub_metrics::{Metric, OnDemand, metrics};
use prometheus::Registry;
use prometheus::core::Collector;

/// Where these are shown.
const ON_SQLITE: &str = "with SQLite";

/// What stands beside the file: the log of what is not in it yet, and the index of that.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

metrics! {
    /// The disk under the database.
    pub(super) METRICS:
    static FREE = Metric::gauge(
        "hubbub_data_folder_free_bytes", "What is free on the disk of the database's folder, for this user.",
        "At 0 nothing is accepted any more; chat that is there can be read.")
        .only(ON_SQLITE);
    static SIZE = Metric::gauge(
        "hubbub_data_folder_size_bytes", "Size of the disk of the database's folder.",
        "The bound of what can be free.")
        .only(ON_SQLITE);
    static FILE = Metric::gauge(
        "hubbub_database_file_bytes", "Size of the database: its file and the log beside it.",
        "How fast it grows.")
        .only(ON_SQLITE);
}

/// Shows the disk under this file.
pub(super) fn show(registry: &Registry, file: PathBuf) -> prometheus::Result<()> {
    let (free, size, bytes) = (FREE.unregistered_gauge()?, SIZE.unregistered_gauge()?, FILE.unregistered_gauge()?);
    let shown: Vec<Box<dyn Collector>> = vec![Box::new(free.clone()), Box::new(size.clone()), Box::new(bytes.clone())];
    let refresh = move || {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // A folder that is gone is told by the database, louder than by a gauge.
        if let Ok(disk) = rustix::fs::statvfs(folder) {
            free.set((disk.f_bavail * disk.f_frsize) as f64);
            size.set((disk.f_blocks * disk.f_frsize) as f64);
        }
        bytes.set(BESIDE.iter().map(|end| length(&file, end)).sum::<u64>() as f64);
    };
    OnDemand::new(shown, refresh).register(registry)
}

/// Bytes of the file with this at the end of its name; none where it is not there.
fn length(file: &Path, end: &str) -> u64 {
    let mut name = OsString::from(file);
    name.push(end);
    fs::metadata(name).map_or(0, |metadata| metadata.len())
}
