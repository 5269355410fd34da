//! Child processes: started with a log, watched, signalled, and never left behind.
//!
//! Must never signal a process that it did not start, nor one that it has waited for.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::Instant;

/// How often something is looked at while it starts or stops.
const POLL: Duration = Duration::from_millis(20);

/// How much of a log is shown when its program did not come up.
const LOG_LINES_SHOWN: usize = 20;

/// What can be sent to a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// Asks it to end.
    Terminate,
    /// Asks it to end, as Ctrl-C does; PostgreSQL's fast shutdown.
    Interrupt,
    /// PostgreSQL's immediate shutdown.
    Quit,
    /// Freezes it.
    Stop,
    /// Lets it go on.
    Continue,
}

impl Signal {
    const fn number(self) -> libc::c_int {
        match self {
            Self::Terminate => libc::SIGTERM,
            Self::Interrupt => libc::SIGINT,
            Self::Quit => libc::SIGQUIT,
            Self::Stop => libc::SIGSTOP,
            Self::Continue => libc::SIGCONT,
        }
    }
}

/// One running program. Killed when dropped, and by the kernel when we are killed ourselves.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the program with both outputs appended to `log`.
    ///
    /// # Errors
    /// When the log cannot be written or the program cannot be started.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let shown = command.get_program().to_owned();
        let child = spawn(command).with_context(|| format!("cannot start {name} ({})", shown.display()))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_path_buf() })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal; does nothing to a process that has ended.
    pub fn signal(&mut self, signal: Signal) {
        // A child that has been waited for has given its pid back; it may be somebody else's by now.
        if self.ended().is_some() {
            return;
        }
        let Ok(pid) = libc::pid_t::try_from(self.child.id()) else { return };
        #[expect(unsafe_code, reason = "std can only send SIGKILL")]
        // SAFETY: kill takes no pointers; the pid is that of a child not waited for yet.
        unsafe {
            libc::kill(pid, signal.number());
        }
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        // Both fail only when the child is gone already, which is what is wanted.
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it goes on for longer than `limit`.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} did not end within {limit:?}{}", self.name, self.log_tail());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until `ready` holds.
    ///
    /// # Errors
    /// When the program ends first, or after `limit`.
    pub async fn wait_until(
        &mut self,
        limit: Duration,
        what: &str,
        mut ready: impl AsyncFnMut() -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !ready().await {
            if let Some(status) = self.ended() {
                bail!("{} ended before it was {what} ({status}){}", self.name, self.log_tail());
            }
            if Instant::now() > deadline {
                bail!("{} was not {what} within {limit:?}{}", self.name, self.log_tail());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// The end of its log, for messages of failures.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let shown = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n  ");
        format!("; the end of its log:\n  {shown}")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.kill();
        }
    }
}

type Job = (Command, mpsc::Sender<io::Result<Child>>);

/// The kernel's death signal fires when the *thread* that spawned has gone, so one thread that lives as long as this
/// process starts them all.
static SPAWNER: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
    let (jobs, waiting) = mpsc::channel::<Job>();
    std::thread::spawn(move || {
        for (mut command, answer) in waiting {
            // Whoever asked waits for the answer; when they have gone, the child is dropped and lives on until we end.
            answer.send(command.spawn()).ok();
        }
    });
    jobs
});

fn spawn(mut command: Command) -> io::Result<Child> {
    let parent = std::process::id();
    #[expect(unsafe_code, reason = "the death signal is set between fork and exec")]
    // SAFETY: the closure makes only system calls that are safe between fork and exec; it allocates nothing.
    unsafe {
        command.pre_exec(move || follow_into_death(parent));
    }
    let (answer, answered) = mpsc::channel();
    SPAWNER.send((command, answer)).map_err(io::Error::other)?;
    answered.recv().map_err(io::Error::other)?
}

/// In the child: die when the parent dies.
fn follow_into_death(parent: u32) -> io::Result<()> {
    #[expect(unsafe_code, reason = "std has no way to set the death signal")]
    // SAFETY: neither call takes a pointer.
    let orphaned = unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return Err(io::Error::last_os_error());
        }
        u32::try_from(libc::getppid()) != Ok(parent)
    };
    // The parent may have died between fork and prctl: then no signal will ever come.
    if orphaned { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
}

/// Finds a program on the search path and where Debian keeps servers off it.
///
/// # Errors
/// When it is not installed; the message names the Debian package.
pub fn find_program(name: &str, package: &str, folders: &[PathBuf]) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all = folders.to_vec();
    all.extend(std::env::split_paths(&path));
    all.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = all.iter().map(|folder| folder.join(name)).find(|file| file.is_file());
    found.with_context(|| format!("{name} is missing (Debian: apt-get install {package})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, folder: &Path) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start("script", command, &folder.join("log")).expect("sh starts")
    }

    #[tokio::test]
    async fn a_process_that_ends_while_starting_shows_its_log() {
        let folder = tempfile::tempdir().expect("folder");
        let mut process = shell("echo the reason; exit 3", folder.path());
        let error = process.wait_until(Duration::from_secs(60), "ready", async || false).await.expect_err("it ends");
        assert!(error.to_string().contains("the reason"), "{error}");
    }

    #[test]
    fn a_dropped_process_is_gone_even_when_frozen() {
        let folder = tempfile::tempdir().expect("folder");
        let mut process = shell("exec sleep 1000", folder.path());
        process.signal(Signal::Stop);
        let entry = PathBuf::from(format!("/proc/{}", process.pid()));
        assert!(entry.exists());
        drop(process);
        assert!(!entry.exists());
    }
}
