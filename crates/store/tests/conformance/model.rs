//! Random histories against a model that fits on a page.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use hubbub_protocol::{RoomId, UserRef};
use hubbub_store::{AppendError, Appended, Store};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::every::on_every_engine;
use crate::fixture::{Database, joining, leaving, message, person, room_of, whole_log};

on_every_engine! { histories_are_those_of_the_model }

const ROOMS: usize = 3;
const PEOPLE: usize = 4;
const KEYS: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    Send { room: usize, user: usize, key: usize },
    Join { room: usize, user: usize },
    Leave { room: usize, user: usize },
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = prop_oneof![
        3 => (0..ROOMS, 0..PEOPLE, 0..KEYS).prop_map(|(room, user, key)| Step::Send { room, user, key }),
        1 => (0..ROOMS, 0..PEOPLE).prop_map(|(room, user)| Step::Join { room, user }),
        1 => (0..ROOMS, 0..PEOPLE).prop_map(|(room, user)| Step::Leave { room, user }),
    ];
    // Each inner list is handed over at once, so it lands in one batch or in several.
    proptest::collection::vec(proptest::collection::vec(step, 1..12), 1..8)
}

/// One room as it must be.
#[derive(Default)]
struct Model {
    head: u64,
    members: BTreeSet<usize>,
    sent: BTreeMap<(usize, usize), u64>,
}

#[derive(PartialEq, Debug)]
enum Expected {
    Committed(u64),
    Duplicate(u64),
    Unchanged,
    NotAMember,
}

impl Model {
    fn apply(&mut self, step: &Step) -> Expected {
        match *step {
            Step::Send { user, key, .. } => {
                if let Some(seq) = self.sent.get(&(user, key)) {
                    return Expected::Duplicate(*seq);
                }
                if !self.members.contains(&user) {
                    return Expected::NotAMember;
                }
                self.head += 1;
                self.sent.insert((user, key), self.head);
            }
            Step::Join { user, .. } => {
                if !self.members.insert(user) {
                    return Expected::Unchanged;
                }
                self.head += 1;
            }
            Step::Leave { user, .. } => {
                if !self.members.remove(&user) {
                    return Expected::Unchanged;
                }
                self.head += 1;
            }
        }
        Expected::Committed(self.head)
    }
}

async fn histories_are_those_of_the_model(database: Database) {
    let store = database.open().await;
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        runner.run(&steps(), |history| {
            runtime.block_on(follow(&store, &history));
            Ok(())
        })
    })
    .unwrap();
}

async fn follow(store: &Store, history: &[Vec<Step>]) {
    let people: Vec<UserRef> = (0..PEOPLE).map(|at| person(&format!("p{at}"))).collect();
    let mut rooms: Vec<RoomId> = Vec::new();
    for _ in 0..ROOMS {
        rooms.push(room_of(store, &people[..1]).await);
    }
    let mut models: Vec<Model> =
        (0..ROOMS).map(|_| Model { head: 1, members: BTreeSet::from([0]), ..Model::default() }).collect();
    for burst in history {
        let writes = burst.iter().map(|step| match *step {
            Step::Send { room, user, key } => message(rooms[room], &people[user], &key.to_string(), "x"),
            Step::Join { room, user } => joining(rooms[room], &people[user]),
            Step::Leave { room, user } => leaving(rooms[room], &people[user]),
        });
        let outcomes = join_all(writes.map(|write| store.append(write))).await;
        for (step, outcome) in burst.iter().zip(outcomes) {
            let (Step::Send { room, .. } | Step::Join { room, .. } | Step::Leave { room, .. }) = step;
            let seen = match outcome {
                Ok(Appended::Committed(event)) => Expected::Committed(event.seq),
                Ok(Appended::Duplicate(sent)) => Expected::Duplicate(sent.seq),
                Ok(Appended::Unchanged) => Expected::Unchanged,
                Err(AppendError::NotAMember) => Expected::NotAMember,
                Err(error) => panic!("{error:?}"),
            };
            assert_eq!(seen, models[*room].apply(step), "{step:?} in {history:?}");
        }
    }
    for (room, model) in rooms.iter().zip(&models) {
        assert_eq!(whole_log(store, *room).await.len() as u64, model.head);
        let members = store.members(*room, None, 100).await.unwrap();
        assert_eq!(members.len(), model.members.len());
        assert_eq!(store.room(&(*room).into()).await.unwrap().unwrap().members, members.len() as u64);
    }
}
