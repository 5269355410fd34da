//! Lengths and the first line: a reader should be able to hold a file, and a function, in the head.
//!
//! Owns the numbers 600 and 70. Must never be loosened for one file: long functions wait in the ratchet.

use std::collections::BTreeMap;

use crate::tidy::Violation;
use crate::tidy::syntax::{self, Kind};
use crate::tidy::tree::Tree;

/// A source file may not be longer, tests included. Worth a thought from 400 on.
const FILE_LINES_MAX: usize = 600;

/// A function may not be longer, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// What people read and write. Generated schemas and lock files are neither.
const SOURCES: [&str; 8] = [".rs", ".ts", ".tsx", ".css", ".html", ".sql", ".sh", ".toml"];

/// Every Rust file opens with `//!`, before anything else.
pub(super) fn module_docs(tree: &Tree) -> Vec<Violation> {
    let bare = tree.ending(".rs").filter(|(_, text)| !text.starts_with("//! "));
    bare.map(|(path, _)| Violation::new(path, 1, "does not open with `//!`: what it owns, what it must never do"))
        .collect()
}

/// No source file passes [`FILE_LINES_MAX`].
pub(super) fn file_lengths(tree: &Tree) -> Vec<Violation> {
    let sources = tree.texts().filter(|(path, _)| SOURCES.iter().any(|ending| path.ends_with(ending)));
    let measured = sources.map(|(path, text)| (path, text.lines().count()));
    measured
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(path, lines)| Violation::new(path, 0, format!("{lines} lines; the limit is {FILE_LINES_MAX}")))
        .collect()
}

/// No function passes [`FUNCTION_LINES_MAX`], but those in the ratchet: they may not grow, and the entry of
/// one that shrank must follow it down.
pub(super) fn function_lengths(tree: &Tree, allowed: &BTreeMap<String, usize>, ratchet: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut longest: BTreeMap<String, (String, usize, usize)> = BTreeMap::new();
    for (path, text) in tree.ending(".rs") {
        match syntax::read(text) {
            Ok(syntax) => {
                for item in syntax.items.iter().filter(|item| item.kind == Kind::Function) {
                    let entry = longest.entry(format!("{path}::{}", item.name)).or_default();
                    // Functions of one name in one file share an entry; the longest counts.
                    if item.lines > entry.2 {
                        *entry = (path.to_owned(), item.line, item.lines);
                    }
                }
            }
            Err(error) => violations.push(Violation::new(path, error.span().start().line, "is not Rust")),
        }
    }
    for (key, (path, line, lines)) in &longest {
        let limit = allowed.get(key).copied().unwrap_or(FUNCTION_LINES_MAX).max(FUNCTION_LINES_MAX);
        if *lines > limit {
            violations.push(Violation::new(path, *line, format!("a function of {lines} lines; the limit is {limit}")));
        }
    }
    for (key, limit) in allowed {
        let lines = longest.get(key).map_or(0, |(_, _, lines)| *lines);
        if lines <= FUNCTION_LINES_MAX {
            violations.push(Violation::new(ratchet, 0, format!("{key} is short enough or gone: remove its entry")));
        } else if lines < *limit {
            violations.push(Violation::new(ratchet, 0, format!("{key} shrank: lower its entry to {lines}")));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATCHET: &str = "ratchet.toml";

    fn function_of(lines: usize) -> String {
        format!("//! Doc.\nfn long() {{\n{}}}\n", "    work();\n".repeat(lines - 2))
    }

    fn judge(lines: usize, allowed: &[(&str, usize)]) -> Vec<String> {
        let text = function_of(lines);
        let tree = Tree::planted(&[("a.rs", &text)]);
        let allowed = allowed.iter().map(|(key, limit)| ((*key).to_owned(), *limit)).collect();
        function_lengths(&tree, &allowed, RATCHET).into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn a_file_without_module_docs_is_found() {
        let tree = Tree::planted(&[("a.rs", "//! Doc.\n"), ("b.rs", "use a;\n"), ("c.rs", ""), ("d.md", "x\n")]);
        let paths: Vec<String> = module_docs(&tree).into_iter().map(|violation| violation.path).collect();
        assert_eq!(paths, ["b.rs", "c.rs"]);
    }

    #[test]
    fn file_of_600_lines_passes_and_601_fails() {
        let (fits, over) = ("x\n".repeat(600), "x\n".repeat(601));
        let tree = Tree::planted(&[("a.rs", &fits), ("b.rs", &over), ("Cargo.lock", &over)]);
        let paths: Vec<String> = file_lengths(&tree).into_iter().map(|violation| violation.path).collect();
        assert_eq!(paths, ["b.rs"]);
    }

    #[test]
    fn function_of_70_lines_passes_and_71_fails() {
        assert_eq!(judge(70, &[]), Vec::<String>::new());
        assert_eq!(judge(71, &[]), ["a function of 71 lines; the limit is 70"]);
    }

    #[test]
    fn the_ratchet_holds_a_long_function_where_it_is() {
        assert_eq!(judge(90, &[("a.rs::long", 90)]), Vec::<String>::new());
        assert_eq!(judge(91, &[("a.rs::long", 90)]), ["a function of 91 lines; the limit is 90"]);
    }

    #[test]
    fn the_ratchet_only_turns_one_way() {
        assert_eq!(judge(85, &[("a.rs::long", 90)]), ["a.rs::long shrank: lower its entry to 85"]);
        assert_eq!(judge(70, &[("a.rs::long", 90)]), ["a.rs::long is short enough or gone: remove its entry"]);
        assert_eq!(judge(5, &[("b.rs::gone", 90)]), ["b.rs::gone is short enough or gone: remove its entry"]);
    }
}
