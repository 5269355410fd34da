//! `cargo xtask prove`: builds what is proved, then hands over to `hubbub-prove` of the test kit.
//!
//! `--rollout` and `--soak` are its commands of that name, `--report` writes the documents. Must never judge a run
//! itself: the exit code is the checker's.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::bench::{self, Need};
use crate::project::Project;
use crate::tools;

/// Where the results of runs are gathered.
const RESULTS: &str = "prove/results.json";

/// Builds in release and passes the arguments on.
pub(crate) fn run(project: &Project, args: &[String]) -> Result<()> {
    let mut args = args.to_vec();
    let prove = || project.cargo().args(["run", "--release", "--package=hubbub-testkit", "--bin=hubbub-prove", "--"]);
    let results = project.target.join(RESULTS);
    if take(&mut args, "--report") {
        return Ok(prove().arg("report").arg(results).args(args).run()?);
    }
    tools::ensure(project, &tools::BUILD)?;
    tools::ensure(project, &tools::SERVERS)?;
    let (rollout, soak) = (take(&mut args, "--rollout"), take(&mut args, "--soak"));
    let mutates = args.iter().any(|arg| arg == "--against-mutations" || arg == "--without");
    let hubbub = if mutates { build_mutable(project)? } else { project.build_hubbub(true)? };
    let mut command = prove().env("HUBBUB_BIN", &hubbub);
    if rollout || soak {
        let (variable, load) = bench::build(project, Need::Load)?;
        command = command.env(variable, load).arg(if rollout { "rollout" } else { "soak" });
    }
    if rollout && let Some(previous) = previous(project, take_value(&mut args, "--from")?)? {
        command = command.arg("--previous").arg(previous);
    }
    // Random faults are judged and not kept; whatever has a row in the documents is.
    if rollout || soak || args.iter().any(|arg| arg == "--scenario" || arg == "--against-mutations") {
        command = command.arg("--json").arg(&results);
    }
    Ok(command.args(args).run()?)
}

/// Takes a flag out of the arguments.
fn take(args: &mut Vec<String>, flag: &str) -> bool {
    let before = args.len();
    args.retain(|arg| arg != flag);
    args.len() < before
}

/// Takes a flag and its value out of the arguments.
fn take_value(args: &mut Vec<String>, flag: &str) -> Result<Option<String>> {
    let Some(at) = args.iter().position(|arg| arg == flag) else { return Ok(None) };
    if at + 1 >= args.len() {
        bail!("{flag} takes a value");
    }
    let value = args.remove(at + 1);
    args.remove(at);
    Ok(Some(value))
}

/// The binary whose protections can be switched off: never a release build, and never where others look for one.
fn build_mutable(project: &Project) -> Result<PathBuf> {
    let target = project.target.join("mutations");
    let build = ["build", "--package", "hubbub", "--bin", "hubbub", "--features", "hubbub/mutations", "--target-dir"];
    project.cargo().args(build).arg(&target).run()?;
    Ok(target.join("debug").join("hubbub"))
}

/// The release build of an earlier commit, in `target/previous`; none when there is no earlier release.
fn previous(project: &Project, from: Option<String>) -> Result<Option<PathBuf>> {
    let git = |arguments: &[&str]| project.shell.cmd("git").args(arguments).quiet().ignore_stderr().read().ok();
    let released =
        || git(&["describe", "--tags", "--abbrev=0"]).or_else(|| git(&["rev-parse", "--verify", "origin/HEAD"]));
    let Some(from) = from.or_else(released) else {
        println!("no release to begin with: the nodes begin with this build (`--from COMMIT` for another)");
        return Ok(None);
    };
    let commit = git(&["rev-parse", "--short=12", &format!("{from}^{{commit}}")]);
    let commit = commit.with_context(|| format!("`{from}` is no commit"))?;
    let folder = project.target.join("previous");
    let (source, target) = (folder.join(&commit), folder.join("target"));
    let binary = folder.join(format!("hubbub-{commit}"));
    if binary.is_file() {
        return Ok(Some(binary));
    }
    println!("==> the build of {commit}");
    if !source.is_dir() {
        project.shell.create_dir(&source)?;
        let archive = folder.join(format!("{commit}.tar"));
        project.shell.cmd("git").args(["archive", "--format=tar", &commit, "--output"]).arg(&archive).run()?;
        project.shell.cmd("tar").arg("-xf").arg(&archive).arg("-C").arg(&source).run()?;
        project.shell.remove_path(&archive)?;
    }
    let build = ["build", "--release", "--package", "hubbub", "--bin", "hubbub", "--manifest-path"];
    project.cargo().args(build).arg(source.join("Cargo.toml")).arg("--target-dir").arg(&target).run()?;
    project.shell.copy_file(target.join("release").join("hubbub"), &binary)?;
    Ok(Some(binary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_flags_are_taken_out() {
        let mut args: Vec<String> = ["--rollout", "--from", "abc", "--kill"].map(str::to_owned).to_vec();
        assert!(take(&mut args, "--rollout") && !take(&mut args, "--soak"));
        assert_eq!(take_value(&mut args, "--from").expect("a value"), Some("abc".to_owned()));
        assert_eq!(args, ["--kill"]);
        args.push("--from".to_owned());
        assert!(take_value(&mut args, "--from").is_err());
    }
}
