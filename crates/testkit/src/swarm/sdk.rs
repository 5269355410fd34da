//! A client on the Rust SDK: records what the SDK's caller gets.
//!
//! Must never help the SDK: it reconnects, resumes and retries by itself.

use std::sync::Arc;
use std::time::Duration;

use hubbub_client::{Client, ClientConfig, ClientError, Delivery, FollowFrom};
use hubbub_protocol::{RoomId, Timestamp};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Phase, Seat, UNACKED_MAX, stopped};
use crate::record::{Delivered, Entry, Recorder, body};

/// Before following is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Runs until told to stop.
pub(super) async fn run(mut seat: Seat, config: ClientConfig) {
    for room in &seat.rooms {
        seat.recorder.push(Entry::Following { room: *room, after: 0 });
    }
    let client = match Client::start(config) {
        Ok(client) => client,
        Err(error) => return end_all(&seat, &error),
    };
    let mut phase = seat.phase.clone();
    let mut tasks = JoinSet::new();
    for room in seat.rooms.clone() {
        tasks.spawn(follow(client.clone(), room, seat.recorder.clone()));
    }
    let places = Arc::new(Semaphore::new(UNACKED_MAX));
    loop {
        let pause = seat.next_pause();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopped(&mut phase) => break,
        }
        if let (true, Ok(place)) = (seat.is(Phase::Talk), Arc::clone(&places).try_acquire_owned()) {
            let (client, room, recorder) = (client.clone(), seat.any_room(), seat.recorder.clone());
            recorder.begins();
            tasks.spawn(async move {
                send(&client, room, &recorder).await;
                drop(place);
            });
        }
    }
    tasks.shutdown().await;
    client.close().await;
}

async fn send(client: &Client, room: RoomId, recorder: &Recorder) {
    let key = Uuid::new_v4().simple().to_string();
    let began = Instant::now();
    recorder.push(Entry::Sent { key: key.clone(), retries_unseen: true });
    match client.send_as(room, &key, body(&key)).await {
        Ok(sent) => {
            let waited_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            recorder.push(Entry::Acked { key, room, sent, waited_ms, came: Timestamp::now() });
            recorder.ends(true);
        }
        Err(error) => {
            recorder.push(Entry::Refused { key, code: error.code().unwrap_or(0) });
            recorder.ends(false);
        }
    }
}

async fn follow(client: Client, room: RoomId, recorder: Recorder) {
    let mut stream = loop {
        match client.follow(room, FollowFrom::After(recorder.cursor(room))).await {
            Ok(stream) => break stream,
            Err(error @ (ClientError::Closed(_) | ClientError::Refused(_))) => {
                recorder.push(Entry::Ended { room, reason: error.to_string() });
                return;
            }
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    };
    while let Some(delivery) = stream.next().await {
        match delivery {
            Delivery::Event(event) => recorder.push(Entry::Delivered(Delivered::now(&event))),
            Delivery::Reset { head, .. } => {
                recorder.push(Entry::Ended { room, reason: format!("reset at head {head}") });
            }
            Delivery::Ended { error } => recorder.push(Entry::Ended { room, reason: error.to_string() }),
        }
    }
}

fn end_all(seat: &Seat, error: &ClientError) {
    for room in &seat.rooms {
        seat.recorder.push(Entry::Ended { room: *room, reason: error.to_string() });
    }
}
