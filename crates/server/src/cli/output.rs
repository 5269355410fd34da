//! Results on stdout.
//!
//! Must never panic because a reader such as `head` has gone, as `println!` does.

use std::io::{BufWriter, ErrorKind, Write as _};

use crate::failure::Failure;

/// Writes the text and a newline where it has none.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let mut stdout = std::io::stdout().lock();
    match write!(stdout, "{text}{end}").and_then(|()| stdout.flush()) {
        // Whoever has left wanted no more.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Writes many lines, each as soon as it is there, until the first that fails.
pub(super) fn print_lines(lines: impl Iterator<Item = Result<String, Failure>>) -> Result<(), Failure> {
    let mut stdout = BufWriter::new(std::io::stdout().lock());
    let mut written = Ok(());
    for line in lines {
        written = writeln!(stdout, "{}", line?);
        if written.is_err() {
            break;
        }
    }
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Writes a value for programs, in one line.
pub(super) fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&value.to_string())
}
