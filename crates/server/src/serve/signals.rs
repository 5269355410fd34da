//! Signals: SIGTERM and SIGINT stop, SIGHUP does nothing.
//!
//! Must never act by itself: whoever waits does.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that stop a node.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches the signals from now on.
    pub(super) fn install() -> std::io::Result<Self> {
        let mut hang_up = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hang_up.recv().await.is_some() {
                // Certificates are read again when they change; everything else needs a restart.
                tracing::info!("SIGHUP does nothing: certificates are reloaded by themselves");
            }
        });
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
