//! What people see while it runs: one screen, or plain lines, or nothing.
//!
//! Must never slow the run down: it draws once a second, and what cannot be written is dropped. It writes to stderr
//! alone, so that stdout stays free for results.

mod lines;
mod screen;
mod state;

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Duration;

use crate::control::Phase;
use crate::stats::{Counts, Second, Timings};

use state::State;

/// How it is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LiveKind {
    /// The whole terminal; plain lines when stderr is none.
    Screen,
    /// A plain line now and then, without control codes.
    Lines,
    /// Nothing.
    Silent,
}

/// What stands above it all.
#[derive(Clone, Debug)]
pub struct Head {
    /// The scenario and whom it is against.
    pub title: String,
    /// Where the load goes.
    pub urls: Vec<String>,
    /// How many connections there will be.
    pub connections: u32,
    /// The warm-up and the measured time together.
    pub total: Duration,
}

/// The view of a run.
pub struct Live {
    view: View,
    state: State,
}

enum View {
    Screen(screen::Screen),
    Lines(lines::Pace),
    Silent,
}

impl Live {
    /// Begins to show. A screen that cannot be had becomes lines.
    #[must_use]
    pub fn new(kind: LiveKind, head: Head) -> Self {
        let view = match kind {
            LiveKind::Screen if stderr().is_terminal() => {
                screen::Screen::open().map_or_else(|_| View::Lines(lines::Pace::default()), View::Screen)
            }
            LiveKind::Screen | LiveKind::Lines => View::Lines(lines::Pace::default()),
            LiveKind::Silent => View::Silent,
        };
        let mut live = Self { view, state: State::new(head) };
        if matches!(live.view, View::Lines(_)) {
            say(&lines::head(&live.state.head));
        }
        live.draw();
        live
    }

    /// Tells that a part of the run begins.
    pub fn phase(&mut self, phase: Phase) {
        self.state.phase = phase;
        if matches!(self.view, View::Lines(_)) {
            say(&lines::phase(phase));
        }
        self.draw();
    }

    /// Shows a second: it, what was counted so far in the whole run, and what was timed so far in the measured time.
    /// `elapsed` counts from the start of the warm-up.
    pub fn second(&mut self, second: &Second, totals: &Counts, timings: &Timings, elapsed: Duration) {
        self.state.note(second, totals, timings, elapsed);
        if let View::Lines(pace) = &mut self.view
            && pace.is_due()
        {
            say(&lines::second(&self.state));
        }
        self.draw();
    }

    /// Whether q or Ctrl-C was pressed: in raw mode Ctrl-C is a key and no signal. A second Ctrl-C is sent on as the signal
    /// that it would be elsewhere.
    pub fn stop_requested(&mut self) -> bool {
        match &mut self.view {
            View::Screen(screen) => screen.stop_requested(),
            View::Lines(_) | View::Silent => false,
        }
    }

    /// Ends the view and gives the terminal back.
    pub fn finish(self) {}

    fn draw(&mut self) {
        if let View::Screen(screen) = &mut self.view {
            screen.draw(&self.state);
        }
    }
}

/// Gives the terminal back at once, from whatever thread: for an end that waits for nobody.
pub fn give_back() {
    screen::give_back();
}

fn say(line: &str) {
    // Whoever reads stderr may have gone; the run goes on.
    writeln!(stderr(), "{line}").ok();
}
