//! Who sits in which room, who sends there, and which worker drives whom: the same in every process, from the scenario
//! and the seed alone.
//!
//! Must never depend on time or on what a server said.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use smallvec::SmallVec;

use crate::scenario::{Popularity, Scenario};

/// Rooms of one connection.
pub type RoomSet = SmallVec<[u32; 4]>;

/// Who sits where.
pub struct Layout {
    connections: u32,
    per_connection: usize,
    /// The rooms of all connections, one after the other.
    rooms: Vec<u32>,
    /// Whether the connection sends in the room of the same place in `rooms`.
    sends: Vec<bool>,
    /// How many connections follow each room.
    sizes: Vec<u32>,
    /// How many (room, sender) pairs there are.
    pairs: u64,
}

impl Layout {
    /// The layout of this scenario and seed.
    #[must_use]
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let connections = scenario.connections.count;
        let count = scenario.rooms.count.max(1);
        let per_connection = scenario.rooms.per_connection.min(count) as usize;
        let mut rooms = Vec::with_capacity(connections as usize * per_connection);
        let mut random = StdRng::seed_from_u64(seed);
        let weights = weights(count, scenario.rooms.popularity);
        for connection in 0..connections {
            match &weights {
                None => {
                    let first = connection as usize * per_connection;
                    rooms.extend((first..first + per_connection).map(|room| (room % count as usize) as u32));
                }
                Some(weights) => draw(&mut rooms, weights, per_connection, &mut random),
            }
        }
        let limit = match scenario.messages.senders_per_room {
            0 => u32::MAX,
            limit => limit,
        };
        let mut sizes = vec![0; count as usize];
        let mut sends = Vec::with_capacity(rooms.len());
        for room in &rooms {
            let size = &mut sizes[*room as usize];
            sends.push(*size < limit);
            *size += 1;
        }
        let pairs = sends.iter().filter(|sends| **sends).count() as u64;
        Self { connections, per_connection, rooms, sends, sizes, pairs }
    }

    /// How many connections there are.
    #[must_use]
    pub const fn connections(&self) -> u32 {
        self.connections
    }

    /// The connections of one worker of `workers`.
    pub fn connections_of(&self, worker: u32, workers: u32) -> impl Iterator<Item = u32> + use<> {
        (worker..self.connections).step_by(workers.max(1) as usize)
    }

    /// The rooms that a connection follows, and whether it sends there.
    pub fn rooms_of(&self, connection: u32) -> impl Iterator<Item = (u32, bool)> + '_ {
        let from = connection as usize * self.per_connection;
        let places = from..from + self.per_connection;
        self.rooms[places.clone()].iter().copied().zip(self.sends[places].iter().copied())
    }

    /// Whether a connection sends anywhere.
    #[must_use]
    pub fn is_sender(&self, connection: u32) -> bool {
        self.rooms_of(connection).any(|(_, sends)| sends)
    }

    /// How many connections follow a room.
    #[must_use]
    pub fn size(&self, room: u32) -> u32 {
        self.sizes.get(room as usize).copied().unwrap_or(0)
    }

    /// How many (room, sender) pairs there are; the rate of sending is spread evenly over them.
    #[must_use]
    pub const fn pairs(&self) -> u64 {
        self.pairs
    }

    /// How many rooms there are.
    #[must_use]
    pub fn rooms(&self) -> u32 {
        self.sizes.len() as u32
    }
}

/// The sums of the rooms' weights; none when all weigh the same.
fn weights(count: u32, popularity: Popularity) -> Option<Vec<f64>> {
    let Popularity::Zipf { exponent } = popularity else { return None };
    let mut sum = 0.0;
    let weights = (1..=count).map(|rank| {
        sum += f64::from(rank).powf(-exponent);
        sum
    });
    Some(weights.collect())
}

/// Draws different rooms by weight. After a few unlucky draws the next free room is taken, so that it always ends.
fn draw(rooms: &mut Vec<u32>, weights: &[f64], count: usize, random: &mut StdRng) {
    const TRIES: usize = 32;
    let total = weights.last().copied().unwrap_or(0.0);
    let from = rooms.len();
    while rooms.len() - from < count {
        let mut drawn = 0;
        for _ in 0..TRIES {
            let point = random.random::<f64>() * total;
            drawn = weights.partition_point(|sum| *sum < point).min(weights.len() - 1) as u32;
            if !rooms[from..].contains(&drawn) {
                break;
            }
        }
        while rooms[from..].contains(&drawn) {
            drawn = (drawn + 1) % weights.len() as u32;
        }
        rooms.push(drawn);
    }
}
