//! `cargo xtask k8s`: the Helm chart, its plain form and everything that is checked about them.
//!
//! Owns where the files lie and the order of the checks. Must never need a cluster: `--server` starts an API server and a
//! controller-manager of its own, built from their Go modules, on this machine alone.

mod helm;
mod made;
mod plain;
mod readme;
mod rendered;
mod schema;
mod schemas;
mod server;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

pub(crate) use made::generate;

use crate::k8s::helm::Helm;
use crate::k8s::rendered::Rendered;
use crate::project::Project;

/// The chart.
const CHART: &str = "k8s/hubbub";

/// Values that are rendered, one file for each combination.
const COMBINATIONS: &str = "k8s/ci";

/// Values that have to be refused; the first line says with which words.
const REFUSED: &str = "k8s/ci/refused";

/// Fewer would mean that a folder was moved.
const COMBINATIONS_MIN: usize = 8;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Also start etcd, a real API server and the controller-manager, and play a rollout, an eviction and autoscaling. Builds
    /// them at the first time: needs Go.
    #[arg(long)]
    server: bool,
}

/// Checks everything; builds Helm where it is missing.
pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    let helm = Helm::ensure(project)?;
    let combinations = check(project, &helm)?;
    timed("schemas", || schemas::check(project, &combinations))?;
    if options.server {
        server::run(project, &helm, &combinations)?;
    }
    Ok(())
}

/// What `cargo xtask ci` does: the same without schemas and server, and nothing where Helm was never built.
pub(crate) fn quick(project: &Project) -> Result<()> {
    let Some(helm) = Helm::find(project) else {
        println!("skipped: no helm {} on this machine; `cargo xtask k8s` builds it where Go is", helm::VERSION);
        println!("the rendered copy in k8s/plain is checked by the tests of the binary all the same");
        return Ok(());
    };
    check(project, &helm).map(drop)
}

/// Lint, every combination, every refusal, and the binary's word on each configuration.
fn check(project: &Project, helm: &Helm<'_>) -> Result<Vec<Rendered>> {
    timed("lint", || helm.lint(&project.path(COMBINATIONS).join("minimal.yaml")))?;
    let combinations = timed("render", || render(project, helm))?;
    timed("refusals", || refusals(project, helm))?;
    timed("configurations", || rendered::check_configurations(project, &combinations))?;
    Ok(combinations)
}

fn render(project: &Project, helm: &Helm<'_>) -> Result<Vec<Rendered>> {
    let files = values_files(project, COMBINATIONS)?;
    ensure!(files.len() >= COMBINATIONS_MIN, "only {} combinations in {COMBINATIONS}", files.len());
    let combinations: Vec<Rendered> = files.iter().map(|file| Rendered::new(helm, file)).collect::<Result<_>>()?;
    for Rendered { name, objects, .. } in &combinations {
        println!("  {name:28} {:2} objects", objects.len());
    }
    Ok(combinations)
}

/// Each file of wrong values has to be refused in the words that it names.
fn refusals(project: &Project, helm: &Helm<'_>) -> Result<()> {
    let files = values_files(project, REFUSED)?;
    ensure!(!files.is_empty(), "nothing in {REFUSED}");
    let mut missed = 0;
    for file in &files {
        let text = std::fs::read_to_string(file)?;
        let first = text.lines().next().and_then(|line| line.strip_prefix("# refused: "));
        let Some(words) = first else { bail!("{} does not begin with `# refused: …`", file.display()) };
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        match helm.template(file) {
            Ok(_) => {
                missed += 1;
                println!("  {name}: rendered, although it is wrong");
            }
            // The schema writes paths with slashes.
            Err(error) if !error.to_string().replace('/', ".").contains(words) => {
                missed += 1;
                println!("  {name}: refused without `{words}`: {error}");
            }
            Err(_) => {}
        }
    }
    ensure!(missed == 0, "{missed} of {} wrong values were not refused as they should be", files.len());
    println!("  {} wrong values refused, each by name", files.len());
    Ok(())
}

/// The YAML files of a folder in the order of their names.
fn values_files(project: &Project, folder: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(project.path(folder))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Runs a part and says how long it took.
fn timed<T>(name: &str, part: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    println!("==> k8s: {name}");
    let outcome = part()?;
    println!("  took {:.1} s", began.elapsed().as_secs_f64());
    Ok(outcome)
}
