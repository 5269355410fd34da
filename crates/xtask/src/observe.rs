//! `cargo xtask observe`: builds a cluster's programs, then hands over to `hubbub-observe` of the test kit.
//!
//! Must never judge what was seen itself: the exit code is the program's.

use anyhow::Result;
use clap::ValueEnum;

use crate::bench::{self, Need};
use crate::project::Project;
use crate::{dashboard, tools};

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Faults that have to be seen as their alerts, each with its page, and to end; 1 minute.
    Alert,
    /// Every panel of the dashboard, drawn from two nodes under load into target/observe/dashboard.html; 3 minutes.
    Dashboard,
}

/// Builds in release and looks.
pub(crate) fn run(project: &Project, what: What) -> Result<()> {
    tools::ensure(project, &tools::BUILD)?;
    tools::ensure(project, &tools::SERVERS)?;
    let observe = ["run", "--release", "--package=hubbub-testkit", "--bin=hubbub-observe", "--", "--root"];
    let mut command = project.cargo().args(observe).arg(&project.root);
    command = command.env("HUBBUB_BIN", project.build_hubbub(true)?);
    command = match what {
        What::Alert => command.arg("alert"),
        What::Dashboard => {
            println!("{} is drawn as it stands: `cargo xtask generate` makes it", dashboard::DASHBOARD);
            let (variable, load) = bench::build(project, Need::Load)?;
            let out = project.target.join("observe").join("dashboard.html");
            command.env(variable, load).args(["dashboard", "--out"]).arg(out)
        }
    };
    Ok(command.run()?)
}
