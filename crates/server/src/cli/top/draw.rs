//! The screen: all nodes, or one of them.
//!
//! Draws what it is given into 80 columns and 24 rows, and into more or less of both. Must never change anything.

mod detail;
mod overview;

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use super::state::State;
use super::table::{self, Cell, Column, Tone};
use super::view::{Page, View};

const HELP: &[&str] = &[
    "arrows, j k   choose a node; scroll in its detail",
    "Enter         open the detail of the node",
    "Esc           back; without a detail: clear the filter",
    "Tab           the next list of a node: connections, rooms, leases, errors",
    "s             sort by something else",
    "/             filter: any part of a line; for connections of a node also",
    "              user=NAME, room=NAME or address=IP, asked of the node itself",
    "q, Ctrl-C     quit",
    "",
    "new/s cmd/s dlv/s  connects, commands, deliveries a second; p99 of a delivery",
    "outbox             bytes that wait for clients that read too slowly",
    "deps               ok, bus! (Redis) or db! (database) when one is down",
    "(12) unasked       alive by its lease; name its ops port to see more",
];

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, view: &View, now: Duration) {
    let [body, foot] = Layout::vertical([Constraint::Fill(1), Constraint::Length(1)]).areas(frame.area());
    match &view.page {
        Page::Nodes => overview::draw(frame, body, state, view, now),
        Page::Node(address) => detail::draw(frame, body, state, view, address, now),
    }
    frame.render_widget(Paragraph::new(foot_line(view)), foot);
    if view.help {
        help(frame, body);
    }
}

fn foot_line(view: &View) -> Line<'static> {
    if view.typing {
        let typed = format!("/{}", view.filter);
        return Line::from(vec![Span::styled(typed, style(Tone::Strong)), Span::raw("▏Enter keeps it, Esc clears it")]);
    }
    let keys = match view.page {
        Page::Nodes => "↑↓ choose  Enter detail  s sort  / filter  ? help  q quit",
        Page::Node(_) => "↑↓ scroll  Tab next list  s sort  / filter  Esc back  ? help  q quit",
    };
    let filter = if view.filter.is_empty() { String::new() } else { format!("filter: {}  ", view.filter) };
    Line::from(vec![Span::styled(filter, style(Tone::Doubtful)), Span::styled(keys, style(Tone::Faint))])
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    frame.render_widget(Clear, area);
    let title = Line::styled("hubbub top: any key goes back", style(Tone::Strong));
    let lines = [title, Line::default()].into_iter().chain(HELP.iter().map(|line| Line::raw(*line)));
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Strong => Style::new().add_modifier(Modifier::BOLD),
        Tone::Faint => Style::new().add_modifier(Modifier::DIM),
        Tone::Good => Style::new().fg(Color::Green),
        Tone::Doubtful => Style::new().fg(Color::Yellow),
        Tone::Bad => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}

/// A row of a table in this width.
fn row(columns: &[Column], cells: &[Cell], width: u16) -> Line<'static> {
    let parts = table::line(columns, cells, width.into());
    Line::from(parts.into_iter().map(|cell| Span::styled(cell.text, style(cell.tone))).collect::<Vec<_>>())
}

/// The titles of a table.
fn titles(columns: &[Column], width: u16) -> Line<'static> {
    row(columns, &table::titles(columns), width)
}
