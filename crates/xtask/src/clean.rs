//! `cargo xtask clean`: removes what the commands of this crate left behind, and nothing else.
//!
//! Must never touch cargo's build output (`cargo clean` does that) or data that `run` did not make.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

use crate::cluster;
use crate::node;
use crate::project::Project;

/// Removes scratch folders, and the data folder of `run` when `run` made it.
pub(crate) fn run(project: &Project) -> Result<()> {
    remove(&cluster::scratch(project))?;
    for folder in cluster::abandoned_databases() {
        remove(&folder)?;
    }
    let data = project.path(node::DATA_FOLDER);
    if data.join(node::MARKER).exists() {
        remove(&data)?;
    } else if data.exists() {
        println!("left alone: {} (not made by `cargo xtask run`)", data.display());
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Ok(()) => println!("removed: {}", folder.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot remove {}", folder.display())),
    }
    Ok(())
}
