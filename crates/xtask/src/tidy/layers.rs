//! Manifests: one version of everything, and dependencies in one direction.
//!
//! `deny.toml` guards the graph as a whole; here stands what it cannot say, because it does not tell a
//! dependency from one of tests only. Must never be the only guard of `sqlx` and `redis`.

use toml::{Table, Value};

use crate::tidy::Violation;
use crate::tidy::tree::Tree;

/// What a crate may not depend on outside of its tests (DESIGN, layout: the column "never").
const FORBIDDEN: [(&str, &[&str]); 11] = [
    ("protocol", &["tokio", "hyper", "redis", "sqlx", "hubbub-*"]),
    ("websocket", &["tokio", "hyper", "socket2", "hubbub-*"]),
    (
        "trace",
        &["redis", "sqlx", "axum", "hubbub-store", "hubbub-bus", "hubbub-chat", "hubbub-gateway", "hubbub-client"],
    ),
    ("request", &["redis", "sqlx", "axum", "hubbub-*"]),
    ("metrics", &["tokio", "hyper", "redis", "sqlx", "hubbub-*"]),
    ("store", &["redis", "hyper", "axum", "hubbub-bus", "hubbub-chat", "hubbub-gateway", "hubbub-websocket"]),
    ("bus", &["sqlx", "hyper", "axum", "hubbub-store", "hubbub-chat", "hubbub-gateway", "hubbub-websocket"]),
    (
        "chat",
        &["sqlx", "redis", "hyper", "axum", "http", "socket2", "hubbub-request", "hubbub-gateway", "hubbub-websocket"],
    ),
    ("gateway", &["sqlx", "redis", "deadpool-redis", "hubbub-store", "hubbub-bus", "hubbub-client"]),
    ("client", &["hubbub-store", "hubbub-bus", "hubbub-chat", "hubbub-gateway", "hubbub-websocket"]),
    ("xtask", &["tokio", "hubbub-*"]),
];

const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Dependencies with a version of their own instead of `workspace = true`.
pub(super) fn versions_outside_the_workspace(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, manifest) in manifests(tree) {
        for (name, value) in dependencies(&manifest, &KINDS) {
            let versioned = match value {
                Value::Table(table) => table.contains_key("version") || table.contains_key("git"),
                _ => true,
            };
            if versioned {
                violations.push(Violation::new(path, 0, format!("`{name}` has its own version: `workspace = true`")));
            }
        }
    }
    violations
}

/// Dependencies against the direction of the layers. Those of tests are free.
pub(super) fn wrong_direction(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, manifest) in manifests(tree) {
        let Some((_, forbidden)) = FORBIDDEN.iter().find(|(name, _)| path == format!("crates/{name}/Cargo.toml"))
        else {
            continue;
        };
        for (name, _) in dependencies(&manifest, &["dependencies", "build-dependencies"]) {
            if forbidden.iter().any(|pattern| matches(pattern, &name)) {
                violations.push(Violation::new(path, 0, format!("`{name}` is not for this layer (DESIGN, layout)")));
            }
        }
    }
    violations
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

/// The members' manifests. Fuzz crates live outside of the workspace and have to name versions.
fn manifests(tree: &Tree) -> Vec<(&str, Table)> {
    let members = tree.ending("/Cargo.toml").filter(|(path, _)| !path.ends_with("/fuzz/Cargo.toml"));
    // Cargo itself refuses a manifest that is no TOML, with a better message than we could give.
    members.filter_map(|(path, text)| Some((path, text.parse().ok()?))).collect()
}

/// Every dependency of these kinds, those for certain targets included.
fn dependencies(manifest: &Table, kinds: &[&str]) -> Vec<(String, Value)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = targets.filter_map(Value::as_table).chain([manifest]);
    let of_kinds = tables.flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()));
    of_kinds.flat_map(|found| found.iter().map(|(name, value)| (name.clone(), value.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_versions_are_found() {
        let text = "[dependencies]\na = \"1\"\nb.workspace = true\nc = { path = \"../c\" }\n\
            [target.'cfg(unix)'.dev-dependencies]\nd = { version = \"2\", features = [] }\n";
        let tree = Tree::planted(&[("crates/x/Cargo.toml", text), ("crates/x/fuzz/Cargo.toml", text)]);
        let messages: Vec<String> = versions_outside_the_workspace(&tree).into_iter().map(|v| v.message).collect();
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages[0].starts_with("`d`") && messages[1].starts_with("`a`"), "{messages:?}");
    }

    #[test]
    fn dependencies_against_the_direction_are_found() {
        let text = "[dependencies]\nhubbub-store.workspace = true\n[dev-dependencies]\nhubbub-bus.workspace = true\n";
        let tree = Tree::planted(&[("crates/gateway/Cargo.toml", text), ("crates/server/Cargo.toml", text)]);
        let found = wrong_direction(&tree);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.starts_with("`hubbub-store`"), "{found:?}");
        let text = "[dependencies]\nhubbub-protocol.workspace = true\n";
        assert_eq!(wrong_direction(&Tree::planted(&[("crates/websocket/Cargo.toml", text)])).len(), 1);
    }
}
