//! The migrations of this build, embedded. A released one never changes; a new one is a new file and a new line.
//!
//! Must never run a statement.

/// One step of the schema.
pub(crate) struct Migration {
    pub(crate) version: i64,
    pub(crate) name: &'static str,
    /// For both engines, in the types of PostgreSQL.
    pub(crate) text: &'static str,
}

/// Every step, in order.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "0001_identity", text: include_str!("../migrations/0001_identity.sql") },
    Migration { version: 2, name: "0002_rooms", text: include_str!("../migrations/0002_rooms.sql") },
    Migration { version: 3, name: "0003_directory", text: include_str!("../migrations/0003_directory.sql") },
];

/// What a database has and lacks, compared with this build.
pub(crate) struct Schema {
    /// The names of the steps that it lacks.
    pub(crate) pending: Vec<&'static str>,
    /// A step that this build does not know.
    pub(crate) newer: Option<i64>,
}

impl Schema {
    pub(crate) fn of(applied: &[i64]) -> Self {
        let lacking = MIGRATIONS.iter().filter(|migration| !applied.contains(&migration.version));
        let known = |version: &i64| MIGRATIONS.iter().any(|migration| migration.version == *version);
        Self {
            pending: lacking.map(|migration| migration.name).collect(),
            newer: applied.iter().rev().find(|version| !known(version)).copied(),
        }
    }

    /// Whether there is something to apply that may be applied.
    pub(crate) fn is_behind(&self) -> bool {
        self.newer.is_none() && !self.pending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_ascend_and_names_say_them() {
        for (at, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version, i64::try_from(at).unwrap() + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)));
        }
    }

    #[test]
    fn an_unknown_step_is_of_a_newer_build() {
        assert_eq!(Schema::of(&[1, 2, 3]).newer, None);
        assert_eq!(Schema::of(&[1, 2, 3, 99]).newer, Some(99));
        assert_eq!(Schema::of(&[1]).pending, ["0002_rooms", "0003_directory"]);
    }
}
