//! `cargo xtask prove`: builds what is proved, then hands over to `hubbub-prove` of the test kit.
//!
//! Must never judge a run itself: the exit code is the checker's.

use anyhow::Result;

use crate::project::Project;
use crate::tools;

/// Builds in release and passes the arguments on.
pub(crate) fn run(project: &Project, args: &[String]) -> Result<()> {
    tools::ensure(project, &tools::BUILD)?;
    tools::ensure(project, &tools::SERVERS)?;
    let binary = project.build_hubbub(true)?;
    let command = project.cargo().args(["run", "--release", "--package=hubbub-testkit", "--bin=hubbub-prove", "--"]);
    Ok(command.args(args).env("HUBBUB_BIN", binary).run()?)
}
