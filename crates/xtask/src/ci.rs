//! `cargo xtask ci`: everything that must hold before a change goes in, quickest first.
//!
//! Owns the order of the steps. Must never need a secret, a service or a prompt: it runs on a bare machine.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::project::Project;
use crate::{generate, k8s, levels, rules, tidy, tools};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Also ask the RustSec advisory database about our dependencies. Needs github.com, which a build
    /// machine may not reach; without it, bans, licences and sources are checked offline.
    #[arg(long)]
    advisories: bool,
}

type Step = (&'static str, fn(&Project, &Options) -> Result<()>);

const STEPS: [Step; 9] = [
    ("fmt", |project, _| fmt(project)),
    ("clippy", |project, _| clippy(project)),
    ("doc", |project, _| doc(project)),
    ("tidy", |project, _| tidy::run(project)),
    ("generated files", |project, _| generate::run(project, true)),
    ("k8s", |project, _| k8s::quick(project)),
    ("rules", |project, _| rules::run(project)),
    ("deny", deny),
    ("test", |project, _| levels::run(project, None)),
];

/// Runs every step and stops at the first that fails.
pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    let started = Instant::now();
    tools::ensure(project, &tools::BUILD)?;
    tools::ensure_component(project, "rustfmt", "fmt")?;
    tools::ensure_component(project, "clippy", "clippy")?;
    let mut times = Vec::new();
    for (name, step) in STEPS {
        println!("\n==> {name}");
        let began = Instant::now();
        step(project, options).with_context(|| format!("ci: {name}"))?;
        times.push(format!("{name} {:.0} s", began.elapsed().as_secs_f64()));
    }
    println!("\nci passed in {:.0} s: {}", started.elapsed().as_secs_f64(), times.join(", "));
    Ok(())
}

fn fmt(project: &Project) -> Result<()> {
    project.cargo().args(["fmt", "--all", "--check"]).run()?;
    for manifest in crate::fuzz::manifests(project)? {
        project.cargo().args(["fmt", "--check", "--manifest-path"]).arg(manifest).run()?;
    }
    Ok(())
}

fn clippy(project: &Project) -> Result<()> {
    let command = project.cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    Ok(command.run()?)
}

fn doc(project: &Project) -> Result<()> {
    let command = project.cargo().args(["doc", "--workspace", "--no-deps"]);
    Ok(command.env("RUSTDOCFLAGS", "-D warnings").run()?)
}

fn deny(project: &Project, options: &Options) -> Result<()> {
    tools::ensure_cargo_tool(project, tools::CARGO_DENY)?;
    // cargo-deny goes through cargo, so that it sees the toolchain that builds the project.
    // A wrapper that nobody uses yet is a rule for later, not a mistake.
    let mut command =
        project.cargo().args(["deny", "check", "--allow", "unused-wrapper", "bans", "licenses", "sources"]);
    if options.advisories {
        command = command.arg("advisories");
    }
    Ok(command.run()?)
}
