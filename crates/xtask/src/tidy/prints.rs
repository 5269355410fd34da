//! Who may write to the terminal: programs for people. Everybody else logs or returns.
//!
//! Owns the list of those programs. Must never let a library in.

use crate::tidy::Violation;
use crate::tidy::syntax;
use crate::tidy::tree::Tree;

const PRINTING: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// Printing macros outside of programs for people.
pub(super) fn outside_programs(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.ending(".rs").filter(|(path, _)| !may_print(path)) {
        let Ok(syntax) = syntax::read(text) else { continue };
        let printing = syntax.macros.iter().filter(|(name, _)| PRINTING.contains(&name.as_str()));
        violations.extend(printing.map(|(name, line)| {
            Violation::new(path, *line, format!("`{name}!` outside of the CLI: log it, or return it"))
        }));
    }
    violations
}

/// The CLI, the developer commands, programs of the test kit and load lab, examples, benches, and build
/// scripts, which speak to cargo on stdout.
fn may_print(path: &str) -> bool {
    let prefixes = ["crates/xtask/", "crates/server/src/cli", "crates/testkit/src/bin/", "loadtest/src/main.rs"];
    let folders = ["/examples/", "/benches/"];
    prefixes.iter().any(|prefix| path.starts_with(prefix))
        || path.starts_with("loadtest/src/bin/")
        || folders.iter().any(|folder| path.contains(folder))
        || path.ends_with("/build.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printing_library_is_found() {
        let text = "fn f() {\n    println!(\"x\");\n    dbg!(1);\n}\n";
        let tree = Tree::planted(&[("crates/chat/src/rooms.rs", text)]);
        let lines: Vec<usize> = outside_programs(&tree).into_iter().map(|violation| violation.line).collect();
        assert_eq!(lines, [2, 3]);
    }

    #[test]
    fn programs_for_people_may_print() {
        let text = "fn f() { eprintln!(\"x\"); }";
        for path in ["crates/server/src/cli/chat.rs", "crates/bus/examples/a.rs", "crates/testkit/src/bin/prove.rs"] {
            assert_eq!(outside_programs(&Tree::planted(&[(path, text)])), [], "{path}");
        }
    }
}
