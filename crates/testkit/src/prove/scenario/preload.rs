//! A small library that is preloaded into a program, and a number by which it is steered while the program runs.
//!
//! Must never be loaded into anything but what a scenario starts.

use std::fs::{self, File, Permissions};
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

/// A built library and its number.
#[derive(Debug)]
pub(super) struct Preload {
    folder: TempDir,
    number: File,
}

impl Preload {
    /// Builds it from C; the number is 0.
    pub(super) fn build(source: &str) -> Result<Self> {
        // Servers run as another user.
        let open = Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new().prefix("hubbub-preload-").permissions(open).tempdir()?;
        let (code, library) = (folder.path().join("preload.c"), folder.path().join("preload.so"));
        fs::write(&code, source)?;
        let mut compiler = Command::new("cc");
        let compiler = compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&code).arg("-ldl");
        let built = compiler.status().context("cc is missing (Debian: apt-get install gcc)")?;
        ensure!(built.success(), "the library that is to be preloaded does not build");
        let number = File::create(folder.path().join("number"))?;
        let mut preload = Self { folder, number };
        preload.set(0)?;
        Ok(preload)
    }

    /// The variables by which a program loads it.
    pub(super) fn variables(&self) -> [(&'static str, String); 2] {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        [("LD_PRELOAD", file("preload.so")), ("PRELOAD_FILE", file("number"))]
    }

    /// Steers it.
    pub(super) fn set(&mut self, number: i64) -> Result<()> {
        self.number.rewind()?;
        Ok(self.number.write_all(&number.to_ne_bytes())?)
    }
}
