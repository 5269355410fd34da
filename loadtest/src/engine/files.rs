//! The file limit, over all workers of the process.
//!
//! Must never let a run begin that cannot end well: a share that does not fit is refused before its first packet.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside the connections: terminal, report, epolls, libraries.
const OTHERS: u64 = 64;

/// What the workers of this process need.
static NEEDED: AtomicU64 = AtomicU64::new(0);

/// Files that a worker needs, given back when it ends.
#[derive(Debug)]
pub(super) struct Reserved(u64);

impl Reserved {
    /// Raises the soft limit to the hard one and looks whether so many more files fit.
    ///
    /// # Errors
    /// How many are needed and how many there are.
    pub(super) fn new(count: u64) -> io::Result<Self> {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum {
            setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
        }
        let reserved = Self(count);
        let needed = NEEDED.fetch_add(count, Ordering::Relaxed) + count + OTHERS;
        match maximum {
            Some(limit) if needed > limit => Err(io::Error::other(format!(
                "this process needs {needed} files for its connections and its file limit is {limit}: \
                 use more processes, or raise the limit (ulimit -Hn)"
            ))),
            _ => Ok(reserved),
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        NEEDED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_are_refused_and_given_back() {
        if getrlimit(Resource::Nofile).maximum.is_some() {
            let error = Reserved::new(1 << 40).expect_err("too many").to_string();
            assert!(error.contains("file limit"), "{error}");
        }
        Reserved::new(10).expect("fits");
    }
}
