//! The memory mark: over it nobody new is let in.
//!
//! Owns the look at the process's own memory, once a second and by one task. Must never free anything: those who are in
//! are left in peace, and the mark is left behind when some of them go.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The mark is left behind at so many hundredths of it, so that a node at its mark does not flicker.
const LEFT_AT_PERCENT: u64 = 95;

/// Of a container's limit, in hundredths: what is above is for those who are in, and for what the kernel counts beside.
const OF_CONTAINER_PERCENT: u64 = 90;

/// The first version of control groups writes the largest number there is in place of none.
const NONE_FROM: u64 = 1 << 60;

/// Where the kernel shows the tree of control groups.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Whether the process is over its mark.
pub(crate) struct MemoryMark {
    /// In bytes; 0: none.
    max: AtomicU64,
    over: AtomicBool,
}

impl MemoryMark {
    /// A mark that is never reached.
    #[cfg(test)]
    pub(crate) fn none() -> Arc<Self> {
        Arc::new(Self { max: AtomicU64::new(0), over: AtomicBool::new(false) })
    }

    /// Watches over a mark in bytes until `stop`; 0 means none, and none given nine tenths of the container's limit, if
    /// there is one.
    pub(crate) fn watch(max: Option<u64>, stop: CancellationToken) -> Arc<Self> {
        let mark = Arc::new(Self { max: AtomicU64::new(0), over: AtomicBool::new(false) });
        mark.change(max);
        mark.look();
        let watching = Arc::clone(&mark);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            stop.run_until_cancelled(async {
                loop {
                    ticks.tick().await;
                    watching.look();
                }
            })
            .await;
        });
        mark
    }

    /// Another mark, in the form that [`MemoryMark::watch`] takes.
    pub(crate) fn change(&self, max: Option<u64>) {
        let max = max.unwrap_or_else(|| container_limit().map_or(0, |limit| limit / 100 * OF_CONTAINER_PERCENT));
        if self.max.swap(max, Ordering::Relaxed) != max && max != 0 {
            tracing::info!(bytes = max, "over this much memory nobody new is let in");
        }
    }

    /// Whether nobody new may come in.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn look(&self) {
        if self.max.load(Ordering::Relaxed) == 0 {
            self.over.store(false, Ordering::Relaxed);
        } else if let Some(resident) = resident_bytes() {
            self.judge(resident);
        }
    }

    fn judge(&self, resident: u64) {
        let was_over = self.is_over();
        let max = self.max.load(Ordering::Relaxed);
        let mark = if was_over { max / 100 * LEFT_AT_PERCENT } else { max };
        let over = resident > mark;
        self.over.store(over, Ordering::Relaxed);
        if over && !was_over {
            tracing::warn!(bytes = resident, mark = max, "over the memory mark: nobody new is let in");
        } else if was_over && !over {
            tracing::info!(bytes = resident, mark = max, "below the memory mark again");
        }
    }
}

/// Memory of this process that is in RAM, in bytes; none where the kernel does not tell.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}

/// The limit of the container that this process runs in, in bytes; none without one.
fn container_limit() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_of(Path::new(CGROUPS), &own)
}

/// The smallest limit on the way from the process's own group to the root of `tree`. `own` is what the kernel tells of the
/// process: `0::/path` for the second version of groups, `n:memory:/path` for the first.
fn limit_of(tree: &Path, own: &str) -> Option<u64> {
    let (mut groups, root, file) = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, names, path) = (parts.next()?, parts.next()?, parts.next()?);
        let path = Path::new(path.trim_start_matches('/')).to_path_buf();
        match (number, names) {
            ("0", "") if tree.join("cgroup.controllers").exists() => Some((path, tree.to_path_buf(), "memory.max")),
            (_, names) if names.split(',').any(|name| name == "memory") => {
                Some((path, tree.join("memory"), "memory.limit_in_bytes"))
            }
            _ => None,
        }
    })?;
    let limit = |group: &Path| -> Option<u64> {
        let text = fs::read_to_string(root.join(group).join(file)).ok()?;
        text.trim().parse().ok().filter(|bytes| *bytes < NONE_FROM)
    };
    let mut smallest = limit(&groups);
    while groups.pop() {
        smallest = smallest.into_iter().chain(limit(&groups)).min();
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_left_behind_only_well_below_it() {
        let mark = MemoryMark { max: AtomicU64::new(1_000), over: AtomicBool::new(false) };
        let is_over = |resident| {
            mark.judge(resident);
            mark.is_over()
        };
        assert_eq!(
            [900, 1_000, 1_001, 1_000, 960, 950, 1_000].map(is_over),
            [false, false, true, true, true, false, false]
        );
    }

    #[test]
    fn the_process_is_in_memory() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_holds() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let limit = |own| limit_of(folder.path(), own);
        assert_eq!(limit("0::/pod/box\n"), None, "no groups of the second version");
        write("cgroup.controllers", "memory\n");
        write("pod/box/memory.max", "max\n");
        assert_eq!(limit("0::/pod/box\n"), None);
        write("pod/memory.max", "2000\n");
        assert_eq!(limit("0::/pod/box\n"), Some(2_000));
        write("pod/box/memory.max", "1000\n");
        assert_eq!(limit("0::/pod/box\n"), Some(1_000));
        write("memory.max", "500\n");
        assert_eq!(limit("0::/\n"), Some(500), "as a container sees its own");
        write("memory/old/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit("4:cpu,memory:/old\n"), None);
        write("memory/memory.limit_in_bytes", "700\n");
        assert_eq!(limit("4:memory:/old\n"), Some(700));
    }
}
