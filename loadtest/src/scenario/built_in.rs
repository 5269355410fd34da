//! The scenarios that come with the program, and files of one's own.
//!
//! Must never take a file for a built-in scenario without being told so: a name without folder and ending is built in.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::mistake::Mistake;
use super::value::nearest;
use super::{Scenario, read};

/// No scenario is this long.
const FILE_BYTES_MAX: u64 = 1 << 20;

macro_rules! built_in {
    ($($name:literal),*) => {
        /// The scenarios that come with the program: names and texts, from the simplest on.
        pub const BUILT_IN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*];
    };
}

built_in!("smoke", "chat", "hot-room", "idle", "ramp", "storm", "restart", "soak", "hostile", "presence");

/// Why a scenario cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such scenario, and no such file.
    #[error("there is no scenario `{name}`{}; {}", meant(.nearest), known())]
    Unknown {
        /// As it was asked for.
        name: String,
        /// The built-in one that may have been meant.
        nearest: Option<&'static str>,
    },
    /// The file cannot be read.
    #[error("the scenario {path} cannot be read: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// It can be read, but not understood.
    #[error("{}", list(.0))]
    Mistakes(Vec<Mistake>),
}

fn meant(nearest: &Option<&str>) -> String {
    nearest.map(|nearest| format!(", did you mean `{nearest}`?")).unwrap_or_default()
}

fn known() -> String {
    let names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    format!("built in are {}; anything else is the path of a file", names.join(", "))
}

fn list(mistakes: &[Mistake]) -> String {
    let head = match mistakes.len() {
        1 => "the scenario has a mistake:".to_owned(),
        count => format!("the scenario has {count} mistakes:"),
    };
    mistakes.iter().fold(head, |text, mistake| format!("{text}\n  {mistake}"))
}

/// The scenario with this name, or in this file; the overrides are `(key, value)` of `--set`.
///
/// # Errors
/// When there is none, it cannot be read, or with every mistake in it.
pub fn open(name_or_path: &str, overrides: &[(String, String)]) -> Result<Scenario, OpenError> {
    if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_path) {
        return read(name, text, overrides).map_err(OpenError::Mistakes);
    }
    let path = Path::new(name_or_path);
    if !path.exists() {
        let names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        return Err(OpenError::Unknown { name: name_or_path.to_owned(), nearest: nearest(name_or_path, &names) });
    }
    let unreadable = |error| OpenError::Unreadable { path: name_or_path.to_owned(), error };
    let text = read_text(path).map_err(unreadable)?;
    let name = path.file_stem().map_or_else(|| name_or_path.to_owned(), |stem| stem.to_string_lossy().into_owned());
    read(&name, &text, overrides).map_err(OpenError::Mistakes)
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("it is longer than {FILE_BYTES_MAX} bytes"),
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_scenario_reads_and_travels() {
        for (name, text) in BUILT_IN {
            let scenario = match open(name, &[]) {
                Ok(scenario) => scenario,
                Err(error) => panic!("{name}: {error}"),
            };
            assert!(!scenario.about.is_empty(), "{name}");
            assert!(text.starts_with("# "), "{name} says what it is for");
            assert!(text.lines().count() <= 40, "{name} is short");
            let travelled = serde_json::to_string(&scenario).expect("JSON");
            assert_eq!(serde_json::from_str::<Scenario>(&travelled).expect("a scenario"), scenario, "{name}");
        }
    }

    /// A node as it comes out of the box: 50 connections per address, 30 sends per user and minute.
    #[test]
    fn smoke_keeps_to_the_default_limits() {
        let smoke = open("smoke", &[]).expect("smoke");
        assert!(smoke.connections.count <= 50);
        let per_user_and_minute = smoke.messages.per_second / f64::from(smoke.connections.count) * 60.0;
        assert!(per_user_and_minute <= 30.0, "{per_user_and_minute}");
        assert!((smoke.warmup + smoke.duration).as_secs() < 30, "the README promises less than a minute");
    }

    #[test]
    fn files_of_ones_own_and_what_is_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, "connections.count = 3\n").expect("written");
        assert_eq!(open(&path.to_string_lossy(), &[]).expect("a scenario").name, "mine");
        std::fs::write(&path, "a = 1\n").expect("written");
        let error = open(&path.to_string_lossy(), &[]).expect_err("mistakes").to_string();
        assert!(error.starts_with("the scenario has 2 mistakes:\n  mine.toml: "), "{error}");
        let error = open("smoky", &[]).expect_err("none").to_string();
        assert!(
            error.starts_with("there is no scenario `smoky`, did you mean `smoke`?; built in are smoke, "),
            "{error}"
        );
        assert!(matches!(open(&folder.path().to_string_lossy(), &[]), Err(OpenError::Unreadable { .. })));
    }
}
