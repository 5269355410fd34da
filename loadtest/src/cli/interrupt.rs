//! Ctrl-C: once for a summary of what was measured, twice for an end at once.
//!
//! Must never do more in a signal handler than write a byte, and never leave a terminal in disorder.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hubbub_load::report::live;
use signal_hook::consts::{SIGINT, SIGTERM};

/// The exit code of a run that was given up.
const GIVEN_UP: i32 = 1;

/// Whether somebody wants the end.
#[derive(Clone, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for SIGINT and SIGTERM from now on.
    pub(super) fn listen() -> std::io::Result<Self> {
        let (mut signals, write) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        let interrupt = Self::default();
        let first = interrupt.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let mut signal = [0];
            // The other end is never closed, so there is nothing but signals.
            while signals.read_exact(&mut signal).is_ok() {
                if first.0.swap(true, Ordering::Relaxed) {
                    live::give_back();
                    std::process::exit(GIVEN_UP);
                }
            }
        })?;
        Ok(interrupt)
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
