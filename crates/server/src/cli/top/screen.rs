//! The terminal while it is ours, and the keys that come from it.
//!
//! Must give the terminal back whatever happens, a panic too: its text would vanish with the screen.

use std::io::{self, Stdout, Write as _, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::cursor::Show;
use crossterm::event::{self, Event};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use tokio::sync::mpsc;

/// How soon the thread that waits for keys notices that nobody wants them any more.
const KEYS_POLL: Duration = Duration::from_millis(200);

/// Most keys that wait to be taken.
const KEYS_MAX: usize = 64;

/// Whether the terminal is ours.
static IS_OPEN: AtomicBool = AtomicBool::new(false);

/// The terminal; given back when dropped.
pub(super) struct Screen {
    pub(super) terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn open() -> io::Result<Self> {
        give_back_on_panic();
        enable_raw_mode()?;
        IS_OPEN.store(true, Ordering::Release);
        let opened =
            execute!(stdout(), EnterAlternateScreen).and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        opened.map(|terminal| Self { terminal }).inspect_err(|_| give_back())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back, once.
fn give_back() {
    if !IS_OPEN.swap(false, Ordering::AcqRel) {
        return;
    }
    // There is nobody left to tell when this fails.
    disable_raw_mode().ok();
    execute!(stdout(), LeaveAlternateScreen, Show).ok();
    stdout().flush().ok();
}

fn give_back_on_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            report(panic);
        }));
    });
}

/// Keys and new sizes, from a thread that ends when nobody takes them any more or the terminal is gone.
pub(super) fn keys() -> mpsc::Receiver<Event> {
    let (sender, keys) = mpsc::channel(KEYS_MAX);
    std::thread::spawn(move || {
        while !sender.is_closed() {
            match event::poll(KEYS_POLL) {
                Ok(false) => {}
                Ok(true) => match event::read() {
                    // When nobody takes it any more, the loop sees so.
                    Ok(event) => drop(sender.blocking_send(event)),
                    Err(_) => return,
                },
                Err(_) => return,
            }
        }
    });
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_gives_the_terminal_back() {
        give_back_on_panic();
        IS_OPEN.store(true, Ordering::Release);
        std::panic::catch_unwind(|| panic!("a panic of this test")).expect_err("it panics");
        assert!(!IS_OPEN.load(Ordering::Acquire));
    }
}
