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

/// In the name of a step that takes away what an older build uses (`docs/upgrading.md`). All others only add, and a build
/// that does not know them works beside them.
const CONTRACT: &str = "_contract_";

/// What a database has and lacks, compared with this build.
pub(crate) struct Schema {
    /// The names of the steps that it lacks.
    pub(crate) pending: Vec<&'static str>,
    /// The name of a step that this build does not know and cannot work with.
    pub(crate) newer: Option<String>,
    /// The name of the first step that this build does not know, whether it can work beside it or not. Whoever copies
    /// the database would lose what that step added.
    pub(crate) unknown: Option<String>,
}

impl Schema {
    /// The schema of a database with these steps, by version and name.
    pub(crate) fn of(applied: &[(i64, String)]) -> Self {
        let is_applied = |migration: &&Migration| applied.iter().any(|(version, _)| *version == migration.version);
        let lacking = MIGRATIONS.iter().filter(|migration| !is_applied(migration));
        let is_known = |version: i64| MIGRATIONS.iter().any(|migration| migration.version == version);
        let unknown = || applied.iter().filter(|(version, _)| !is_known(*version)).map(|(_, name)| name);
        Self {
            pending: lacking.map(|migration| migration.name).collect(),
            newer: unknown().rfind(|name| name.contains(CONTRACT)).cloned(),
            unknown: unknown().next().cloned(),
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

    fn applied(steps: &[(i64, &str)]) -> Schema {
        Schema::of(&steps.iter().map(|(version, name)| (*version, (*name).to_owned())).collect::<Vec<_>>())
    }

    #[test]
    fn only_an_unknown_step_that_takes_something_away_is_too_new() {
        let known = [(1, "0001_identity"), (2, "0002_rooms"), (3, "0003_directory")];
        assert_eq!(applied(&known).newer, None);
        let [one, two, three] = known;
        assert_eq!(applied(&known).unknown, None);
        let expanded = applied(&[one, two, three, (98, "0098_threads"), (99, "0099_polls")]);
        assert_eq!((expanded.newer, expanded.unknown.as_deref()), (None, Some("0098_threads")));
        let newer = applied(&[one, two, three, (98, "0098_contract_rooms_kind"), (99, "0099_threads")]).newer;
        assert_eq!(newer.as_deref(), Some("0098_contract_rooms_kind"));
        assert_eq!(applied(&[one]).pending, ["0002_rooms", "0003_directory"]);
    }

    /// What a build of before would stumble over: it still reads and writes the old form.
    #[test]
    fn a_step_that_takes_something_away_says_so_in_its_name() {
        for migration in MIGRATIONS.iter().filter(|migration| !migration.name.contains(CONTRACT)) {
            let text = migration.text.to_uppercase();
            for word in ["DROP ", "RENAME ", " TYPE ", "SET NOT NULL", "TRUNCATE ", "DELETE "] {
                assert!(!text.contains(word), "{} has `{word}`", migration.name);
            }
        }
    }
}
