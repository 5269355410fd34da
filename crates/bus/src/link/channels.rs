//! Subscribes and unsubscribes rooms on the one subscriber connection, in batches, one command at a time.
//!
//! One task sends both, each after the confirmation of the one before, so the server's view follows
//! [`crate::rooms::Rooms`] without races. Must never open another connection.

use std::sync::Arc;
use std::time::Instant;

use redis::aio::MultiplexedConnection;

use super::Loss;
use crate::shared::Shared;

/// Subscribes the node's own channel and every wanted room. Returns when all are confirmed and new ones may wait.
pub(super) async fn subscribe_all(shared: &Shared, subscriber: &mut MultiplexedConnection) -> Result<(), Loss> {
    subscriber.subscribe(&shared.link.keys.pulse).await?;
    shared.rooms.link_made();
    while !shared.rooms.link_up() {
        while join_batch(shared, subscriber).await? {}
    }
    Ok(())
}

/// Keeps up with the rooms until the server does not confirm.
pub(super) async fn run(shared: Arc<Shared>, mut subscriber: MultiplexedConnection) -> Loss {
    loop {
        match step(&shared, &mut subscriber).await {
            Ok(true) => {}
            Ok(false) => wait(&shared).await,
            Err(loss) => return loss,
        }
    }
}

/// One batch of each kind. `false`: there was nothing to do.
async fn step(shared: &Shared, subscriber: &mut MultiplexedConnection) -> Result<bool, Loss> {
    // Whoever is about to subscribe in this moment comes along.
    tokio::task::yield_now().await;
    let joined = join_batch(shared, subscriber).await?;
    let leaving = shared.rooms.next_leaves(Instant::now());
    if !leaving.is_empty() {
        let channels: Vec<String> = leaving.iter().map(|room| shared.link.keys.room(*room)).collect();
        subscriber.unsubscribe(&channels).await?;
        shared.count_rooms();
    }
    Ok(joined || !leaving.is_empty())
}

async fn join_batch(shared: &Shared, subscriber: &mut MultiplexedConnection) -> Result<bool, Loss> {
    let batch = shared.rooms.next_joins();
    if batch.is_empty() {
        return Ok(false);
    }
    let channels: Vec<String> = batch.iter().map(|room| shared.link.keys.room(*room)).collect();
    subscriber.subscribe(&channels).await?;
    shared.rooms.joined(&batch);
    Ok(true)
}

async fn wait(shared: &Shared) {
    match shared.rooms.next_departure() {
        Some(at) => {
            tokio::select! {
                () = shared.rooms.changed() => {}
                () = tokio::time::sleep_until(at.into()) => {}
            }
        }
        None => shared.rooms.changed().await,
    }
}
