//! `cargo xtask otlp`: what nodes export as traces, judged by the OpenTelemetry Collector's own receiver.
//!
//! Builds the receiver from its Go modules and runs the one test that needs it. Must never install a collector.

use anyhow::Result;

use crate::project::Project;
use crate::tools::{self, Program};

/// A main of a few lines around the collector's receiver.
const SOURCE: &str = "crates/testkit/otlp-receiver";

const GO: [Program; 1] = [Program { name: "go", packages: "golang-go" }];

/// Builds what is needed and runs the test.
pub(crate) fn run(project: &Project) -> Result<()> {
    tools::ensure(project, &tools::BUILD)?;
    tools::ensure(project, &tools::SERVERS)?;
    tools::ensure(project, &GO)?;
    let program = project.tools_folder().join("bin").join("otlp-receiver");
    println!("==> otlp: the receiver");
    project.shell.cmd("go").arg("-C").arg(project.path(SOURCE)).args(["build", "-o"]).arg(&program).arg(".").run()?;
    println!("==> otlp: a trace over two nodes");
    project.build_hubbub(false)?;
    let test = ["test", "--package=hubbub-testkit", "--test=cluster", "--", "--ignored", "a_real_receiver"];
    Ok(project.cargo().args(test).env("HUBBUB_OTLP_RECEIVER", &program).run()?)
}
