//! How many messages a second are appended and acknowledged, on PostgreSQL with its default durable settings and on
//! SQLite: one by one, over many rooms, and in one hot room. Prints each rate beside its goal.
//!
//! `bench_append [seconds for each figure] [file for the rows as JSON]`. Must never tell a database to be less durable than it is in production.

// The tests do more to a server than this does.
#[allow(dead_code)]
#[path = "../tests/support/postgres.rs"]
mod postgres;

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hubbub_protocol::event::MessageSent;
use hubbub_protocol::{MessageId, RoomId, RoomKind, RoomMember, RoomRole, UserId, UserRef};
use hubbub_store::{Append, Appended, Guard, NewRoom, Store, StoreConfig};
use serde_json::{Value, json};

/// Writers that each wait for the answer before they send again.
const WRITERS: usize = 2_000;
/// Rooms of the figure over many rooms.
const ROOMS: usize = 200;
/// Members of each room, among whom the writers are spread.
const MEMBERS: usize = 50;
/// A usual message.
const BODY_BYTES: usize = 100;
/// Before each figure, so that plans and files are warm.
const WARM_UP: Duration = Duration::from_millis(500);

const POSTGRES_RATIO_GOAL: f64 = 20.0;
const POSTGRES_HOT_GOAL: f64 = 20_000.0;
const SQLITE_GOAL: f64 = 10_000.0;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

struct Figures {
    one_by_one: f64,
    many_rooms: f64,
    hot_room: f64,
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let seconds = std::env::args().nth(1).map_or(Ok(5), |text| text.parse())?;
    let length = Duration::from_secs(seconds);
    let mut rows = Vec::new();

    let server = tokio::task::spawn_blocking(|| postgres::Server::start(&[])).await?;
    server.create_database("bench");
    let figures = measure(&server.url("bench"), length).await?;
    drop(server);
    let ratio = figures.many_rooms / figures.one_by_one;
    let one_by_one = "one by one";
    let (many_rooms, hot_room) = (format!("{ROOMS} rooms"), "one hot room");
    rows.push(row(one_by_one, "postgresql", (figures.one_by_one, "/s"), None)?);
    rows.push(row(&many_rooms, "postgresql", (figures.many_rooms, "/s"), None)?);
    rows.push(row("batched over one by one", "postgresql", (ratio, "times"), Some(POSTGRES_RATIO_GOAL))?);
    rows.push(row(hot_room, "postgresql", (figures.hot_room, "/s"), Some(POSTGRES_HOT_GOAL))?);

    let folder = tempfile::TempDir::new()?;
    let figures = measure(&format!("sqlite://{}", folder.path().join("bench.db").display()), length).await?;
    rows.push(row(one_by_one, "sqlite", (figures.one_by_one, "/s"), None)?);
    rows.push(row(&many_rooms, "sqlite", (figures.many_rooms, "/s"), Some(SQLITE_GOAL))?);
    rows.push(row(hot_room, "sqlite", (figures.hot_room, "/s"), Some(SQLITE_GOAL))?);
    if let Some(file) = std::env::args().nth(2) {
        std::fs::write(file, serde_json::to_string(&rows)?)?;
    }
    Ok(())
}

/// Prints a figure; more is better in all of them.
fn row(what: &str, store: &str, (figure, unit): (f64, &str), goal: Option<f64>) -> Result<Value, AnyError> {
    let mut out = io::stdout();
    write!(out, "{what:<34} {store:10} {figure:>9.1} {unit:5}")?;
    if let Some(goal) = goal {
        let verdict = if figure >= goal { "HIT" } else { "MISS" };
        write!(out, "   goal {goal:>8}   ratio {:.2}  {verdict}", figure / goal)?;
    }
    writeln!(out)?;
    let hit = goal.map(|goal| figure >= goal);
    let row = json!({
        "row": what, "subject": store, "measured": figure, "unit": unit, "goal": goal, "better": "higher", "hit": hit,
    });
    Ok(row)
}

async fn measure(url: &str, length: Duration) -> Result<Figures, AnyError> {
    let config = StoreConfig::new(url);
    let store = Store::open(&config, &prometheus::Registry::new(), Arc::new(|_| {})).await?;
    let people: Vec<UserRef> =
        (0..MEMBERS).map(|at| UserRef { id: UserId::new(), name: format!("user{at}").into() }).collect();
    let mut rooms = Vec::with_capacity(ROOMS);
    for at in 0..ROOMS {
        let member = |user: &UserRef| RoomMember { user: user.clone(), role: RoomRole::Member };
        let room = NewRoom {
            id: RoomId::new(),
            name: Some(format!("room{at}").parse()?),
            kind: RoomKind::Public,
            creator: people[0].clone(),
            members: people.iter().map(member).collect(),
        };
        rooms.push(store.create_room(room).await?.room.id);
    }
    let figures = Figures {
        one_by_one: rate(&store, &rooms, &people, 1, length).await?,
        many_rooms: rate(&store, &rooms, &people, WRITERS, length).await?,
        hot_room: rate(&store, &rooms[..1], &people, WRITERS, length).await?,
    };
    store.close().await;
    Ok(figures)
}

/// Acknowledged messages a second with so many writers.
async fn rate(
    store: &Store,
    rooms: &[RoomId],
    people: &[UserRef],
    writers: usize,
    length: Duration,
) -> Result<f64, AnyError> {
    let (stop, acked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (store, room, by) = (store.clone(), rooms[writer % rooms.len()], people[writer % people.len()].clone());
            let (stop, acked) = (Arc::clone(&stop), Arc::clone(&acked));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let appended = store.append(message(room, &by)).await?;
                    if matches!(appended, Appended::Committed(_)) {
                        acked.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok::<_, AnyError>(())
            })
        })
        .collect();
    tokio::time::sleep(WARM_UP).await;
    let (before, began) = (acked.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(length).await;
    let (after, took) = (acked.load(Ordering::Relaxed), began.elapsed());
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    Ok((after - before) as f64 / took.as_secs_f64())
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
