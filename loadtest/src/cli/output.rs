//! Results on stdout and in files, everything else on stderr.
//!
//! Must never panic because a reader such as `head` has gone.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use super::Failure;

/// A line on stderr.
pub(super) fn tell(line: &str) {
    // There is nowhere left to complain when stderr is closed.
    writeln!(std::io::stderr(), "{line}").ok();
}

/// A result on stdout.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let mut stdout = std::io::stdout().lock();
    match write!(stdout, "{text}{end}").and_then(|()| stdout.flush()) {
        // Whoever has left wanted no more.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// A result in a file, or on stdout for `-`.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if path.as_os_str() == "-" {
        return print(text);
    }
    std::fs::write(path, text)
        .map_err(|error| Failure::Failed(format!("{} cannot be written: {error}", path.display())))
}
