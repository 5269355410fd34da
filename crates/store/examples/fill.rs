//! Fills an empty database with so many messages, by appends as they come from people: for trying out a move, a backup
//! or a check on something large.
//!
//! `fill URL MESSAGES`. Must never write to a database but through the store.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::try_join_all;
use hubbub_protocol::event::MessageSent;
use hubbub_protocol::{MessageId, RoomId, RoomKind, RoomMember, RoomRole, UserRef};
use hubbub_store::{Append, Guard, NewRoom, NewUser, Store, StoreConfig, UserRole};

const USERS: usize = 1_000;
const ROOMS: usize = 100;
const MEMBERS: usize = 50;
/// Messages that wait for their commit at the same time.
const AT_ONCE: usize = 2_000;
/// A usual message.
const BODY_BYTES: usize = 100;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(messages)) = (args.next(), args.next()) else {
        return Err("usage: fill URL MESSAGES".into());
    };
    let messages: usize = messages.parse()?;
    let began = Instant::now();
    let config = StoreConfig::new(url);
    let store = Store::open(&config, &prometheus::Registry::new(), Arc::new(|_| {})).await?;
    let people = add_users(&store).await?;
    let rooms = add_rooms(&store, &people).await?;
    for first in (0..messages).step_by(AT_ONCE) {
        let batch = first..messages.min(first + AT_ONCE);
        try_join_all(batch.map(|at| store.append(message(rooms[at % ROOMS], &people[at % MEMBERS])))).await?;
    }
    store.close().await;
    writeln!(io::stdout(), "{messages} messages in {:.1} s", began.elapsed().as_secs_f64())?;
    Ok(())
}

async fn add_users(store: &Store) -> Result<Vec<UserRef>, AnyError> {
    let mut people = Vec::with_capacity(USERS);
    for at in 0..USERS {
        let name = format!("user{at}");
        let new = NewUser { name: name.parse()?, password_hash: None, role: UserRole::User };
        people.push(UserRef { id: store.create_user(new).await?.id, name: name.into() });
    }
    Ok(people)
}

async fn add_rooms(store: &Store, people: &[UserRef]) -> Result<Vec<RoomId>, AnyError> {
    let mut rooms = Vec::with_capacity(ROOMS);
    for at in 0..ROOMS {
        let member = |user: &UserRef| RoomMember { user: user.clone(), role: RoomRole::Member };
        let room = NewRoom {
            id: RoomId::new(),
            name: Some(format!("room{at}").parse()?),
            kind: RoomKind::Public,
            creator: people[0].clone(),
            members: people.iter().take(MEMBERS).map(member).collect(),
        };
        rooms.push(store.create_room(room).await?.room.id);
    }
    Ok(rooms)
}

fn message(room: RoomId, by: &UserRef) -> Append {
    let id = MessageId::new();
    let client_msg_id = id.to_string();
    let data = MessageSent {
        id,
        client_msg_id: client_msg_id.parse().unwrap_or_else(|rule| unreachable!("{rule}")),
        body: "x".repeat(BODY_BYTES),
    };
    Append { room, by: by.clone(), data: data.into(), guard: Guard::Member }
}
