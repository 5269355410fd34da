//! Every configuration key and variable that somebody names is one that the binary reads.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::{cells, files, lines, quoted, words};
use crate::tidy::Violation;
use crate::tidy::tree::Tree;

/// The page that the binary writes.
const REFERENCE: &str = "docs/configuration.md";

/// What all variables begin with.
const PREFIX: &str = "HUBBUB_";

/// What Kubernetes gives to every container beside a service of this name.
const OF_KUBERNETES: &str = "HUBBUB_SERVICE_HOST";

/// Where names that nothing reads stand on purpose: the tests of what is said about them.
const ABOUT_MISTAKES: [&str; 2] = ["crates/server/src/config/", "crates/server/tests/"];

/// Files whose TOML is that of other programs.
const OTHER_TOML: [&str; 2] = ["docs/load-testing.md", "deploy/grafana/"];

/// Names of spans that look like keys of a group.
const SPANS: [&str; 2] = ["websocket.handshake", "node.drain"];

/// Variables that nobody reads.
pub(in crate::tidy) fn unknown_variables(tree: &Tree) -> Vec<Violation> {
    let keys = match keys(tree) {
        Ok(keys) => keys,
        Err(violation) => return vec![violation],
    };
    let mut known: BTreeSet<String> = keys.iter().map(|key| variable(key)).collect();
    known.extend(read_by_programs(tree));
    known.insert(OF_KUBERNETES.to_owned());
    let mut violations = Vec::new();
    for (path, text) in files(tree).filter(|(path, _)| *path != REFERENCE) {
        for (line, content) in lines(text) {
            for (at, word) in words(content, PREFIX, is_of_variable) {
                // What a compose file takes from its own surroundings is its own.
                let is_own = content[..at].ends_with("${") || content[..at].ends_with('$');
                let is_start = word.ends_with('_') && known.iter().any(|name| name.starts_with(word));
                if !is_own && !is_start && !known.contains(word) {
                    violations.push(Violation::new(path, line, format!("nothing reads the variable `{word}`")));
                }
            }
        }
    }
    violations
}

/// Keys that the configuration has not: in blocks and files of TOML, and where a text names one of a group.
pub(in crate::tidy) fn unknown_keys(tree: &Tree) -> Vec<Violation> {
    let keys = match keys(tree) {
        Ok(keys) => keys,
        Err(violation) => return vec![violation],
    };
    let groups: BTreeSet<&str> = keys.iter().filter_map(|key| Some(key.split_once('.')?.0)).collect();
    let mut violations = Vec::new();
    for (path, text) in files(tree).filter(|(path, _)| *path != REFERENCE) {
        if !OTHER_TOML.iter().any(|other| path.starts_with(other)) {
            for (line, block) in blocks(path, text) {
                violations.extend(judge(&keys, &block).into_iter().map(|message| Violation::new(path, line, message)));
            }
        }
        for (line, content) in lines(text).filter(|_| path.ends_with(".md")) {
            let spans = content.split('`').skip(1).step_by(2);
            for name in spans
                .filter(|span| is_key_of(&groups, span))
                .filter(|span| !keys.contains(*span) && !SPANS.contains(span))
            {
                violations.push(Violation::new(path, line, format!("the configuration has no key `{name}`")));
            }
        }
    }
    violations
}

/// Every path of the configuration, the twins of secrets included.
fn keys(tree: &Tree) -> Result<BTreeSet<String>, Violation> {
    let Some(page) = tree.text(REFERENCE) else { return Err(Violation::new(REFERENCE, 0, "is missing")) };
    let mut keys = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells = cells(row);
        let Some(key) = cells.first().and_then(|cell| quoted(cell)) else { continue };
        if row.contains(" Secret.") {
            keys.insert(format!("{key}_file"));
        }
        keys.insert(key.to_owned());
    }
    if keys.is_empty() { Err(Violation::new(REFERENCE, 0, "names no key at all")) } else { Ok(keys) }
}

fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "_"))
}

/// Variables that stand in the source of our programs, beside the configuration.
fn read_by_programs(tree: &Tree) -> BTreeSet<String> {
    let sources = tree.ending(".rs").filter(|(path, _)| !ABOUT_MISTAKES.iter().any(|folder| path.starts_with(folder)));
    let found = sources.flat_map(|(_, text)| words(text, PREFIX, is_of_variable));
    found.map(|(_, word)| word.to_owned()).collect()
}

fn is_of_variable(character: char) -> bool {
    character.is_ascii_uppercase() || character.is_ascii_digit() || character == '_'
}

/// Whether this looks like a key of one of the groups. A file's name does not.
fn is_key_of(groups: &BTreeSet<&str>, span: &str) -> bool {
    let Some((group, rest)) = span.split_once('.') else { return false };
    let is_file = ["rs", "md", "toml", "yml", "yaml", "conf", "json", "sh", "txt"].contains(&rest);
    let is_name = |text: &str| {
        !text.is_empty() && text.chars().all(|character| character.is_ascii_lowercase() || character == '_')
    };
    groups.contains(group) && !is_file && is_name(rest)
}

/// The TOML of a file: all of it, its fenced blocks, or the text of a file in a YAML map.
fn blocks(path: &str, text: &str) -> Vec<(usize, String)> {
    if path.ends_with(".toml") {
        return vec![(1, text.to_owned())];
    }
    if path.ends_with(".md") {
        return fenced(text);
    }
    if path.ends_with(".yml") || path.ends_with(".yaml") { in_yaml(text) } else { Vec::new() }
}

fn fenced(text: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in lines(text) {
        match &mut open {
            None if line.trim() == "```toml" => open = Some((number + 1, String::new())),
            Some(_) if line.trim() == "```" => blocks.extend(open.take()),
            Some((_, block)) => *block += &format!("{line}\n"),
            None => {}
        }
    }
    blocks
}

/// What stands under `hubbub.toml: |`, unless it is a template.
fn in_yaml(text: &str) -> Vec<(usize, String)> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut blocks = Vec::new();
    let mut rest = lines(text).peekable();
    while let Some((number, line)) = rest.next() {
        if !line.trim_start().starts_with("hubbub.toml: |") {
            continue;
        }
        let mut block = String::new();
        while let Some((_, inner)) = rest.next_if(|(_, inner)| inner.trim().is_empty() || indent(inner) > indent(line))
        {
            block += &format!("{}\n", inner.trim_start());
        }
        if !block.contains("{{") {
            blocks.push((number + 1, block));
        }
    }
    blocks
}

fn judge(keys: &BTreeSet<String>, block: &str) -> Vec<String> {
    let table: Table = match block.parse() {
        Ok(table) => table,
        Err(error) => return vec![format!("this TOML cannot be read: {}", error.message())],
    };
    let mut paths = Vec::new();
    flatten("", &table, &mut paths);
    let unknown = paths.into_iter().filter(|path| !keys.contains(path));
    unknown.map(|path| format!("the configuration has no key `{path}`")).collect()
}

fn flatten(prefix: &str, table: &Table, paths: &mut Vec<String>) {
    for (name, value) in table {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(inner) => flatten(&path, inner, paths),
            _ => paths.push(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
| `listen` | address:port | `\"0.0.0.0:8443\"` | Where. |
| `tls.mode` | text | `\"off\"` | How. |
| `auth.token_secret` | text | none | The secret. Secret. |
";

    fn judge_both(path: &str, text: &str) -> Vec<String> {
        let tree = Tree::planted(&[
            (REFERENCE, PAGE),
            ("crates/xtask/src/x.rs", "env(\"HUBBUB_BENCH_FOLDER\")\n"),
            ("crates/server/src/config/check.rs", "env(\"HUBBUB_LISTNE\")\n"),
            (path, text),
        ]);
        let all = [unknown_variables(&tree), unknown_keys(&tree)].concat();
        all.into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn names_that_nothing_reads_are_found() {
        for (path, text, found) in [
            ("docker-compose.yml", "  HUBBUB_LISTNE: x\n", "nothing reads the variable `HUBBUB_LISTNE`"),
            ("k8s/x.yaml", "- name: HUBBUB_TLS_MODE_FILE\n", "nothing reads the variable `HUBBUB_TLS_MODE_FILE`"),
            ("README.md", "```toml\n[tls]\nmod = \"off\"\n```\n", "the configuration has no key `tls.mod`"),
            ("deploy/systemd/hubbub.toml", "listn = 1\n", "the configuration has no key `listn`"),
            (
                "k8s/x.yaml",
                "data:\n  hubbub.toml: |\n    [tls]\n    mod = 1\nb: 1\n",
                "the configuration has no key `tls.mod`",
            ),
            ("docs/x.md", "set `auth.token_secrets`\n", "the configuration has no key `auth.token_secrets`"),
        ] {
            assert_eq!(judge_both(path, text), [found], "{text}");
        }
        assert!(judge_both("docs/x.md", "```toml\nlisten =\n```\n")[0].starts_with("this TOML cannot be read"));
    }

    #[test]
    fn names_that_something_reads_pass() {
        for (path, text) in [
            ("docker-compose.yml", "  HUBBUB_LISTEN: ${HUBBUB_ANYTHING:-x}\n  HUBBUB_AUTH_TOKEN_SECRET_FILE: /run/s\n"),
            ("docs/x.md", "`HUBBUB_*` and `HUBBUB_BENCH_FOLDER`, `tls.mode`, `tls.rs`, `auth.token_secret_file`\n"),
            ("docs/x.md", "```toml\nlisten = \"[::]:1\"\n[auth]\ntoken_secret = \"x\"\n```\n"),
            ("docs/x.md", "```toml scenario\nrate = 1\n```\n"),
            ("k8s/x.yaml", "data:\n  hubbub.toml: |\n    {{ .Values.x }}\n"),
        ] {
            assert_eq!(judge_both(path, text), [""; 0], "{text}");
        }
    }

    #[test]
    fn silence_is_no_success() {
        assert_eq!(unknown_keys(&Tree::planted(&[])).len(), 1);
        assert_eq!(unknown_variables(&Tree::planted(&[(REFERENCE, "# Configuration\n")])).len(), 1);
    }
}
