//! Long-running children: started with a log, watched, stopped in order, and never left behind.
//!
//! The kernel stops them even when xtask itself is killed (PR_SET_PDEATHSIG). Must never stop a process
//! that it did not start.

use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::signals;

/// How often something is looked at while it starts or stops.
const POLL: Duration = Duration::from_millis(50);

/// A second stop signal within this time is the first one again: supervisors tell the process and its group.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much of a log is shown when its program did not come up.
const LOG_LINES_SHOWN: usize = 15;

/// One running program.
pub(crate) struct Service {
    pub(crate) name: String,
    child: Child,
    /// Asks this program to stop in order.
    stop_signal: libc::c_int,
    log: Option<PathBuf>,
    reported: bool,
}

impl Service {
    /// Starts the program in a process group of its own, so that Ctrl-C reaches us alone and we decide the
    /// order. With a log, both outputs go there; else to the terminal.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        stop_signal: libc::c_int,
        log: Option<&Path>,
    ) -> Result<Self> {
        if let Some(path) = log {
            let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            command.stdout(file.try_clone()?).stderr(file);
        }
        command.stdin(Stdio::null()).process_group(0);
        let parent = std::process::id();
        #[expect(unsafe_code, reason = "the death signal is set between fork and exec")]
        // SAFETY: the closure makes only system calls that are safe between fork and exec; it allocates nothing.
        unsafe {
            command.pre_exec(move || follow_into_death(parent, stop_signal));
        }
        let child = command.spawn().with_context(|| format!("cannot start {name} ({command:?})"))?;
        Ok(Self { name: name.to_owned(), child, stop_signal, log: log.map(Path::to_path_buf), reported: false })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, once, when it has ended by itself.
    pub(crate) fn newly_ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten()?;
        (!std::mem::replace(&mut self.reported, true)).then_some(status)
    }

    /// Waits until `ready` holds. Fails when the program ends first, on a stop signal, or after `limit`.
    pub(crate) fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let began = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended while starting ({status}){}", self.name, self.log_tail());
            }
            if began.elapsed() > limit {
                bail!("{} did not become ready within {} s{}", self.name, limit.as_secs(), self.log_tail());
            }
            if signals::stop_requested(POLL) {
                bail!("stopped while {} was starting", self.name);
            }
        }
        Ok(())
    }

    /// Asks it to stop, without waiting.
    pub(crate) fn ask_to_stop(&mut self) {
        // A child that has been waited for has given its pid back; it may be somebody else's by now.
        if matches!(self.child.try_wait(), Ok(None)) {
            let Ok(pid) = libc::pid_t::try_from(self.child.id()) else { return };
            #[expect(unsafe_code, reason = "std can only send SIGKILL")]
            // SAFETY: kill takes no pointers; the pid is that of a child not waited for yet.
            unsafe {
                libc::kill(pid, self.stop_signal);
            }
        }
    }

    /// Asks it to stop and waits; kills it when `limit` is over or another stop signal comes.
    pub(crate) fn stop(&mut self, limit: Duration) {
        self.ask_to_stop();
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            let impatient = signals::stop_requested(POLL) && began.elapsed() > PATIENCE;
            if began.elapsed() > limit || impatient {
                eprintln!("{} does not stop: killed", self.name);
                self.kill();
                return;
            }
        }
    }

    fn kill(&mut self) {
        // Both fail only when the child is gone already, which is what is wanted.
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            eprintln!("{}: {error}", self.name);
        }
    }

    fn log_tail(&self) -> String {
        let Some(path) = &self.log else { return String::new() };
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let shown = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n  ");
        format!("; the end of {}:\n  {shown}", path.display())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

/// In the child: die when the parent dies, and hear stop signals again.
fn follow_into_death(parent: u32, stop_signal: libc::c_int) -> io::Result<()> {
    signals::let_through()?;
    #[expect(unsafe_code, reason = "std has no way to set the death signal")]
    // SAFETY: neither call takes a pointer.
    let orphaned = unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, stop_signal) != 0 {
            return Err(io::Error::last_os_error());
        }
        u32::try_from(libc::getppid()) != Ok(parent)
    };
    // The parent may have died between fork and prctl: then no signal will ever come.
    if orphaned { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
}

/// Ports that nobody listens on at this moment, all different.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: io::Result<Vec<TcpListener>> = (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect();
    let ports: io::Result<Vec<u16>> = listeners?.iter().map(|listener| Ok(listener.local_addr()?.port())).collect();
    Ok(ports?)
}

/// Whether somebody listens on this port of this machine.
pub(crate) fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ() {
        let mut ports = free_ports(20).expect("ports");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 20);
    }

    #[test]
    fn a_service_that_ends_while_starting_shows_its_log() {
        let log = std::env::temp_dir().join(format!("hubbub-xtask-log-{}", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "echo the reason; exit 3"]);
        let mut service = Service::start("failing", command, libc::SIGTERM, Some(&log)).expect("sh starts");
        let error = service.wait_until(Duration::from_secs(60), || false).expect_err("it ends");
        std::fs::remove_file(&log).expect("the log");
        assert!(error.to_string().contains("the reason"), "{error}");
    }

    #[test]
    fn a_dropped_service_is_gone() {
        let mut command = Command::new("sleep");
        command.arg("1000");
        let service = Service::start("sleep", command, libc::SIGTERM, None).expect("sleep starts");
        let folder = PathBuf::from(format!("/proc/{}", service.pid()));
        assert!(folder.exists());
        drop(service);
        assert!(!folder.exists());
    }
}
