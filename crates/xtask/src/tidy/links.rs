//! Relative links in Markdown lead somewhere: to a file or folder of the tree and to a heading in it.
//!
//! Must never follow a link to another site: tidy works without a network.

use crate::tidy::Violation;
use crate::tidy::tree::Tree;

/// Pieces that are joined into one document, where the headings of all are together. That one is checked.
const PIECES: [&str; 1] = ["crates/protocol/doc/"];

/// Links that lead nowhere.
pub(super) fn unresolved(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.ending(".md") {
        for (line, target) in links(text) {
            if let Some(complaint) = complaint(tree, path, &target) {
                violations.push(Violation::new(path, line, complaint));
            }
        }
    }
    violations
}

fn complaint(tree: &Tree, from: &str, target: &str) -> Option<String> {
    let foreign = target.contains("://") || target.starts_with("mailto:");
    if foreign {
        return None;
    }
    if target.starts_with('#') && PIECES.iter().any(|folder| from.starts_with(folder)) {
        return None;
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let resolved = if file.is_empty() { Some(from.to_owned()) } else { resolve(from, file) };
    let Some(resolved) = resolved.filter(|resolved| tree.has(resolved)) else {
        return Some(format!("the link to `{target}` leads nowhere"));
    };
    let known = heading.is_empty() || tree.text(&resolved).is_none_or(|text| has_heading(text, heading));
    (!known).then(|| format!("`{resolved}` has no heading for `#{heading}`"))
}

/// The root-relative path that a link in the file `from` means; none when it climbs out of the tree.
fn resolve(from: &str, link: &str) -> Option<String> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = if link.starts_with('/') { Vec::new() } else { folder.split('/').collect() };
    parts.retain(|part| !part.is_empty());
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Whether a heading makes this anchor, by GitHub's rule: small letters, punctuation gone, spaces to hyphens.
fn has_heading(text: &str, anchor: &str) -> bool {
    let explicit = format!("id=\"{anchor}\"");
    prose(text).any(|(_, line)| line.contains(&explicit) || (line.starts_with('#') && slug(line) == anchor))
}

fn slug(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars().flat_map(char::to_lowercase);
    let kept = kept.filter(|character| character.is_alphanumeric() || " -_".contains(*character));
    kept.map(|character| if character == ' ' { '-' } else { character }).collect()
}

/// The lines outside of fenced code, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((index + 1, line))
    })
}

/// Every `](target)` and `[name]: target` in prose with its line.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        for piece in line.split("](").skip(1) {
            let target = piece.split([')', ' ']).next().unwrap_or_default();
            found.push((number, target.trim_matches(['<', '>']).to_owned()));
        }
        if let Some((name, target)) = line.split_once("]: ")
            && name.starts_with('[')
        {
            found.push((number, target.trim().to_owned()));
        }
    }
    found
}

/// The line without its `code` spans.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str) -> Vec<String> {
        let tree = Tree::planted(&[
            ("docs/adr/0001-a.md", text),
            ("docs/protocol.md", "# The wire\n\n## Errors, and closes\n"),
            ("README.md", "# Hubbub\n"),
        ]);
        unresolved(&tree).into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        assert_eq!(judge("[a](../protocols.md)\n"), ["the link to `../protocols.md` leads nowhere"]);
        assert_eq!(judge("[a](../../../up.md)\n"), ["the link to `../../../up.md` leads nowhere"]);
        assert_eq!(judge("[a](../protocol.md#replies)\n"), ["`docs/protocol.md` has no heading for `#replies`"]);
        assert_eq!(judge("[a]: gone.md\n"), ["the link to `gone.md` leads nowhere"]);
    }

    #[test]
    fn headings_of_a_piece_are_looked_for_in_the_whole() {
        let tree = Tree::planted(&[("crates/protocol/doc/1.md", "[a](#in-another-piece) [b](gone.md)\n")]);
        assert_eq!(unresolved(&tree).len(), 1);
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        for text in [
            "[a](../protocol.md), [b](../protocol.md#errors-and-closes), [c](../..)\n",
            "[a](https://example.org/x.md) [b](/README.md)\n",
            "# Here\n[a](#here)\n",
            "`[a](gone.md)`\n```\n[a](gone.md)\n```\n",
        ] {
            assert_eq!(judge(text), Vec::<String>::new(), "{text}");
        }
    }
}
