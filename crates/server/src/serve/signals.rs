//! Signals: SIGTERM and SIGINT stop, SIGHUP asks for the configuration to be read again.
//!
//! Must never act by itself: whoever waits does.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that stop a node.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// Catches SIGHUP from now on; one that comes before anybody waits for it is kept.
pub(super) fn hang_up() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

impl Signals {
    /// Catches the signals from now on.
    pub(super) fn install() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves at the next signal that stops, with its name.
    pub(super) async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
