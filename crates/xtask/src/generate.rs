//! Files that a program of the project writes: references and schemas that must agree with the code.
//!
//! Owns the table of them. Must never post-process what the program printed, so that anybody can make the
//! file by hand with the command in the table.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::k8s;
use crate::project::Project;

/// A file and the command whose standard output belongs into it.
struct Generated {
    file: &'static str,
    command: &'static [&'static str],
}

/// Add a row, run `cargo xtask generate`, commit both.
const FILES: [Generated; 4] = [
    Generated { file: "docs/configuration.md", command: &["--package=hubbub", "--", "config", "reference"] },
    Generated { file: "docs/protocol.md", command: &["--package=hubbub-protocol", "--example=protocol_md"] },
    Generated {
        file: "crates/protocol/schema/hubbub.v1.schema.json",
        command: &["--package=hubbub-protocol", "--example=schema"],
    },
    Generated { file: "deploy/grafana/hubbub.json", command: &["--package=xtask", "--", "dashboard"] },
];

/// In a file with both marks only what stands between them is generated; the rest is people's prose.
const BEGIN: &str = "<!-- generated: begin (cargo xtask generate) -->\n";
const END: &str = "<!-- generated: end -->\n";

/// Writes every generated file, or with `check` fails when one is out of date.
pub(crate) fn run(project: &Project, check: bool) -> Result<()> {
    let mut stale = Vec::new();
    for Generated { file, command } in FILES {
        let printed = project.cargo().args(["run", "--quiet"]).args(command).quiet().read();
        let printed = printed.with_context(|| format!("cannot make {file}"))?;
        let path = project.path(file);
        let present = fs::read_to_string(&path).unwrap_or_default();
        let wanted = merge(&present, &printed);
        if wanted == present {
            println!("{file}: up to date");
        } else if check {
            println!("{file}: out of date");
            stale.push(file.to_owned());
        } else {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&path, wanted).with_context(|| format!("cannot write {file}"))?;
            println!("{file}: written");
        }
    }
    stale.extend(k8s::generate(project, check)?);
    if stale.is_empty() {
        return Ok(());
    }
    bail!("{} out of date: run `cargo xtask generate` and commit the result", stale.join(", "))
}

/// What the file should hold: all of what was printed, or the present text with the part between the marks new.
pub(crate) fn merge(present: &str, printed: &str) -> String {
    let printed = format!("{}\n", printed.trim_end());
    let parts = present.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    match parts {
        Some((before, after)) => format!("{before}{BEGIN}{printed}{END}{after}"),
        None => printed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_marks_is_generated_whole() {
        assert_eq!(merge("old\n", "new\n\n"), "new\n");
    }

    #[test]
    fn prose_around_the_marks_stays() {
        let present = format!("# Title\n{BEGIN}old\n{END}after\n");
        let wanted = merge(&present, "new");
        assert_eq!(wanted, format!("# Title\n{BEGIN}new\n{END}after\n"));
        assert_eq!(merge(&wanted, "new\n"), wanted);
    }
}
