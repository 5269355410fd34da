//! Which processors the server has, and which everybody else: so that a delivery's price is the node's alone.
//!
//! Must be decided before anything is started: children inherit the place of their parent.

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where things run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Placement {
    /// Processors of the nodes (and of the bare server), such as `0` or `0-3,8`.
    #[arg(long, default_value = "0")]
    server_cpus: String,
    /// Processors of PostgreSQL, Redis and the load.
    #[arg(long, default_value = "1")]
    other_cpus: String,
    /// Let everything run everywhere. So it is with a single processor.
    #[arg(long)]
    no_pin: bool,
}

impl Placement {
    /// Moves this process, and with it all that it starts, to the processors of everybody else.
    /// Returns where the server is to run; none: anywhere.
    pub(crate) fn take(&self) -> Result<Option<String>> {
        let available = sched_getaffinity(None).context("cannot tell the processors")?.count();
        if self.no_pin || available < 2 {
            return Ok(None);
        }
        let mut others = CpuSet::new();
        for cpu in list(&self.other_cpus)? {
            others.set(cpu);
        }
        list(&self.server_cpus)?;
        sched_setaffinity(None, &others).with_context(|| format!("cannot run on processors {}", self.other_cpus))?;
        Ok(Some(self.server_cpus.clone()))
    }
}

/// The numbers of `0-3,8`.
fn list(text: &str) -> Result<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let wrong = || format!("`{text}` is no list of processors, such as `0-3,8`");
        let (first, last): (usize, usize) =
            (first.trim().parse().with_context(wrong)?, last.trim().parse().with_context(wrong)?);
        ensure!(last < CpuSet::MAX_CPU, "processor {last} is beyond {}", CpuSet::MAX_CPU - 1);
        cpus.extend(first..=last);
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_listed() {
        assert_eq!(list("0-2,5").expect("a list"), [0, 1, 2, 5]);
        assert_eq!(list("7").expect("a list"), [7]);
        for wrong in ["", "a", "1-", "0-99999"] {
            list(wrong).expect_err(wrong);
        }
    }
}
