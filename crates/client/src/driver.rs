//! The one task that owns the connection and everything that survives it.
//!
//! Must never wait for a caller.

use std::sync::Arc;

use hubbub_protocol::event::SessionReady;
use hubbub_protocol::{Command, RoomSelector};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use crate::config::ClientConfig;
use crate::error::{ClientError, CloseReason};
use crate::room::{FollowFrom, RoomStream};
use crate::state::State;

/// What a handle asks of the driver. The place is given back when the ask is answered.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Sends a command and passes on its answer.
    Command { command: Command, reply: oneshot::Sender<Result<Value, ClientError>>, _place: OwnedSemaphorePermit },
    /// Follows a room.
    Follow {
        room: RoomSelector,
        from: FollowFrom,
        reply: oneshot::Sender<Result<RoomStream, ClientError>>,
        _place: OwnedSemaphorePermit,
    },
}

/// The handle's ends of the driver's channels.
pub(crate) struct Ends {
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) closing: mpsc::Sender<()>,
    pub(crate) state: watch::Receiver<State>,
    pub(crate) ready: watch::Receiver<Option<Arc<SessionReady>>>,
}

/// Commands that only the driver may send, since they change what it keeps track of.
pub(crate) const fn is_reserved(command: &Command) -> bool {
    matches!(
        command,
        Command::SessionAuthenticate(_)
            | Command::SessionRenew(_)
            | Command::SessionResume(_)
            | Command::RoomSubscribe(_)
            | Command::RoomUnsubscribe(_)
    )
}

pub(crate) fn spawn(config: ClientConfig) -> Result<Ends, ClientError> {
    let (asks, _) = mpsc::channel(config.in_flight_max.max(1));
    let (closing, _) = mpsc::channel(1);
    let (_, state) = watch::channel(State::Closed { reason: CloseReason::ByCaller });
    let (_, ready) = watch::channel(None);
    Ok(Ends { asks, closing, state, ready })
}
