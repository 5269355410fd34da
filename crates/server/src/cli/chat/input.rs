//! What comes in from the person or the script: keys, or lines.
//!
//! Reading a terminal or a pipe blocks, so it has a thread of its own, which ends with the process. Must never
//! interpret what it reads.

use std::io::{self, BufRead as _, Read as _};

use crossterm::event::Event;
use tokio::sync::mpsc;

/// Lines and keys that are read ahead.
const AHEAD: usize = 64;
/// A longer line is cut here; the server takes no message of this length.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// One thing that came in.
pub(super) enum Input {
    Line(String),
    Terminal(Event),
    /// Nothing more comes; the reason, if it is not simply the end.
    End(Option<io::Error>),
}

/// Reads lines of stdin.
pub(super) fn lines() -> io::Result<mpsc::Receiver<Input>> {
    spawn(|send| {
        let mut stdin = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            match stdin.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {
                    let line = String::from_utf8_lossy(&line);
                    let line = line.strip_suffix('\n').unwrap_or(&line);
                    let line = line.strip_suffix('\r').unwrap_or(line);
                    if !send(Input::Line(line.to_owned())) {
                        return None;
                    }
                }
                Err(error) => return Some(error),
            }
        }
    })
}

/// Reads keys and other events of the terminal.
pub(super) fn terminal() -> io::Result<mpsc::Receiver<Input>> {
    spawn(|send| {
        loop {
            match crossterm::event::read() {
                Ok(event) => {
                    if !send(Input::Terminal(event)) {
                        return None;
                    }
                }
                Err(error) => return Some(error),
            }
        }
    })
}

/// Passes on what was read; false when nobody reads it any more.
type Pass<'a> = &'a dyn Fn(Input) -> bool;

fn spawn(read: impl FnOnce(Pass<'_>) -> Option<io::Error> + Send + 'static) -> io::Result<mpsc::Receiver<Input>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    std::thread::Builder::new().name("chat-input".into()).spawn(move || {
        let failure = read(&|input| sender.blocking_send(input).is_ok());
        // Whoever has left does not need to know that nothing more comes.
        drop(sender.blocking_send(Input::End(failure)));
    })?;
    Ok(receiver)
}
