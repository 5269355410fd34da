//! The house rules that neither rustfmt nor clippy checks. One rule, one pure function, one module.
//!
//! Must never change a file: it reads the tree once and reports what it found, with the place.

mod codes;
mod layers;
mod limits;
mod links;
mod named;
mod names;
mod prints;
mod ratchet;
mod syntax;
mod text;
mod tree;

use anyhow::{Context, Result, bail};

use crate::project::Project;
use crate::tidy::tree::Tree;

/// The functions that were long before the rule came. The list may only get shorter.
const RATCHET: &str = "crates/xtask/tidy-ratchet.toml";

/// One place where the tree breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    path: String,
    /// From 1; 0 when the whole file is meant.
    line: usize,
    message: String,
}

impl Violation {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

/// The rules that need nothing but the files themselves.
const RULES: [fn(&Tree) -> Vec<Violation>; 13] = [
    limits::module_docs,
    limits::file_lengths,
    names::forbidden,
    prints::outside_programs,
    text::untidy_lines,
    links::unresolved,
    layers::versions_outside_the_workspace,
    layers::wrong_direction,
    named::unknown_metrics,
    named::unknown_variables,
    named::unknown_keys,
    named::unknown_ports,
    named::unknown_paths,
];

/// Checks the whole tree and fails when any rule is broken.
pub(crate) fn run(project: &Project) -> Result<()> {
    let tree = Tree::read(&project.root)?;
    let mut violations: Vec<Violation> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    let allowed = ratchet::parse(tree.text(RATCHET).unwrap_or_default()).with_context(|| format!("in {RATCHET}"))?;
    violations.extend(limits::function_lengths(&tree, &allowed, RATCHET));
    match codes::listed(project) {
        Ok(listed) => violations.extend(codes::undocumented(&listed, tree.text(codes::DOCUMENT))),
        Err(error) => violations.push(Violation::new(codes::DOCUMENT, 0, format!("{error:#}"))),
    }
    violations.sort();
    for violation in &violations {
        println!("{}:{}: {}", violation.path, violation.line, violation.message);
    }
    match violations.len() {
        0 => {
            println!("tidy: {} files, nothing to say", tree.len());
            Ok(())
        }
        count => bail!("tidy: {count} places break a house rule (CONTRIBUTING.md says why each stands)"),
    }
}
