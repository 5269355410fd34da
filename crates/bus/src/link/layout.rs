//! Which shard holds which key and channel: by the slots of a cluster, or by hash over fixed servers.
//!
//! A slot is what Redis Cluster makes of a key, CRC16 (XMODEM) of what stands in its braces, mod 16,384, for every form
//! alike. Must never hold a connection.

use std::sync::Arc;

use super::shard::Shard;

/// How many slots Redis Cluster has.
pub(super) const SLOTS: usize = 16_384;
/// In the table: held by nobody.
const NOBODY: u16 = u16::MAX;

/// Ranges of slots, both ends included.
pub(super) type Ranges = Vec<(u16, u16)>;

/// Who holds what, as of one moment.
pub(crate) struct Layout {
    pub(super) shards: Vec<Arc<Shard>>,
    spread: Spread,
}

enum Spread {
    /// Slot mod shards; leases on the first.
    Hash,
    /// By the table, which has [`SLOTS`] places of the index in `shards`.
    Table(Vec<u16>),
}

impl Layout {
    /// Fixed servers. None at all: a bus inside the process.
    pub(super) const fn fixed(shards: Vec<Arc<Shard>>) -> Self {
        Self { shards, spread: Spread::Hash }
    }

    /// The masters of a cluster and what each holds.
    pub(super) fn cluster(masters: Vec<(Arc<Shard>, Ranges)>) -> Self {
        let mut table = vec![NOBODY; SLOTS];
        let mut shards = Vec::with_capacity(masters.len());
        for (index, (shard, ranges)) in masters.into_iter().enumerate() {
            let index = u16::try_from(index).unwrap_or(NOBODY);
            for (from, to) in ranges {
                if let Some(places) = table.get_mut(usize::from(from)..=usize::from(to)) {
                    places.fill(index);
                }
            }
            shards.push(shard);
        }
        Self { shards, spread: Spread::Table(table) }
    }

    /// The shard of a key or channel; none where nobody holds its slot.
    pub(super) fn owner(&self, key: &str) -> Option<&Arc<Shard>> {
        match &self.spread {
            Spread::Hash if self.shards.len() < 2 => self.shards.first(),
            Spread::Hash => self.shards.get(slot(key) % self.shards.len()),
            Spread::Table(table) => self.shards.get(usize::from(*table.get(slot(key))?)),
        }
    }

    /// The shard of the leases, whose key this is.
    pub(super) fn home(&self, nodes_key: &str) -> Option<&Arc<Shard>> {
        match &self.spread {
            Spread::Hash => self.shards.first(),
            Spread::Table(_) => self.owner(nodes_key),
        }
    }

    /// Whether every slot is held by somebody and every shard is up.
    pub(super) fn is_up(&self) -> bool {
        let whole = match &self.spread {
            Spread::Hash => !self.shards.is_empty(),
            Spread::Table(table) => !table.contains(&NOBODY),
        };
        whole && self.shards.iter().all(|shard| shard.is_up())
    }

    /// Whether both say the same about every slot.
    pub(super) fn equals(&self, other: &Self) -> bool {
        let ids = |layout: &Self| layout.shards.iter().map(|shard| shard.id).collect::<Vec<_>>();
        let same = match (&self.spread, &other.spread) {
            (Spread::Hash, Spread::Hash) => true,
            (Spread::Table(one), Spread::Table(two)) => one == two,
            _ => false,
        };
        same && ids(self) == ids(other)
    }
}

/// The slot of a key: of what stands in its first braces, or of all of it.
fn slot(key: &str) -> usize {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(tag, _)| tag);
    let hashed = if tag.is_empty() { key } else { tag };
    usize::from(crc16(hashed.as_bytes())) % SLOTS
}

const fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0_u16;
    let mut index = 0;
    while index < bytes.len() {
        crc = (crc << 8) ^ TABLE[((crc >> 8) ^ bytes[index] as u16) as usize];
        index += 1;
    }
    crc
}

/// The remainders of every byte by the polynomial 0x1021.
const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // The check value of CRC16/XMODEM, and slots as CLUSTER KEYSLOT tells them.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        for (key, expected) in [("foo", 12_182), ("bar", 5_061), ("a:{foo}:b", 12_182), ("{}x", slot("{}x")), ("", 0)] {
            assert_eq!(slot(key), expected, "{key}");
        }
        assert_eq!(slot("x{foo}{bar}"), slot("foo"), "the first braces count");
    }

    #[test]
    fn a_table_knows_its_holes() {
        let (one, two) = (Arc::new(Shard::new("one".into(), 1, true)), Arc::new(Shard::new("two".into(), 2, true)));
        let layout =
            Layout::cluster(vec![(Arc::clone(&one), vec![(0, 5_460)]), (Arc::clone(&two), vec![(5_462, 16_383)])]);
        assert_eq!(layout.owner("bar").map(|shard| shard.id), Some(1));
        assert_eq!(layout.owner("foo").map(|shard| shard.id), Some(2));
        one.set_up(true);
        two.set_up(true);
        assert!(!layout.is_up(), "slot 5461 is held by nobody");
        let whole = Layout::cluster(vec![(one, vec![(0, 5_461)]), (two, vec![(5_462, 16_383)])]);
        assert!(whole.is_up() && !whole.equals(&layout));
    }

    #[test]
    fn fixed_servers_share_rooms_and_the_first_has_the_leases() {
        let shards: Vec<_> = (0..3).map(|id| Arc::new(Shard::new(id.to_string(), id, false))).collect();
        let layout = Layout::fixed(shards);
        let mut counts = [0; 3];
        for n in 0..3_000 {
            let owner = layout.owner(&format!("hubbub:room:{{{n}}}")).unwrap();
            counts[usize::try_from(owner.id).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
        assert_eq!(layout.home("hubbub:{nodes}").unwrap().id, 0);
    }
}
