//! Lines as they should be: no trailing white space, a newline at the end, no path of somebody's machine.
//!
//! Must never look at files whose bytes a test tool owns (snapshots, regressions).

use crate::tidy::Violation;
use crate::tidy::tree::Tree;

/// Folders that exist on the author's machine only. Spelled in halves, or this file would break the rule.
const MACHINE_FOLDERS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// Untidy lines in every text file.
pub(super) fn untidy_lines(tree: &Tree) -> Vec<Violation> {
    tree.texts().filter(|(path, _)| !owned_by_tools(path)).flat_map(|(path, text)| judge(path, text)).collect()
}

fn owned_by_tools(path: &str) -> bool {
    path.ends_with(".snap") || path.ends_with(".lock") || path.contains("proptest-regressions")
}

fn judge(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.ends_with([' ', '\t']) {
            violations.push(Violation::new(path, index + 1, "trailing white space"));
        }
        if let Some(folder) = MACHINE_FOLDERS.into_iter().find(|folder| names_folder(line, folder)) {
            violations.push(Violation::new(path, index + 1, format!("names a folder of one machine: {folder}")));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        violations.push(Violation::new(path, text.lines().count(), "no newline at the end"));
    }
    violations
}

/// Whether the line names this absolute folder; inside of a longer path or URL it means something else.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|character| character.is_alphanumeric() || "._-}*~".contains(character))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> usize {
        untidy_lines(&Tree::planted(&[("notes.md", text)])).len()
    }

    #[test]
    fn untidy_lines_are_found() {
        assert_eq!(messages("a \n"), 1);
        assert_eq!(messages("a\t\nb"), 2);
        assert_eq!(messages(&format!("see {}main\n", MACHINE_FOLDERS[0])), 1);
        assert_eq!(messages(&format!("cp x {}.cargo\n", MACHINE_FOLDERS[1])), 1);
    }

    #[test]
    fn tidy_lines_pass() {
        assert_eq!(messages(""), 0);
        assert_eq!(messages("a\n\nb\n"), 0);
        assert_eq!(messages(&format!("target{}x\n", MACHINE_FOLDERS[0])), 0);
        let snapshot = Tree::planted(&[("a.snap", "a \n")]);
        assert_eq!(untidy_lines(&snapshot), []);
    }
}
