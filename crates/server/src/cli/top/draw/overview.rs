//! All nodes, their sum, and what is slow or large in any of them.
//!
//! Must never need more than 80 columns and 24 rows for what matters.

use std::collections::HashSet;
use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::rows;
use super::super::state::State;
use super::super::table::{Cell, Column, Tone};
use super::super::units::age;
use super::super::view::View;
use super::{row, style, titles};

/// What the two lists below the nodes need at least, titles included; in little room the nodes come first.
const LISTS_ROWS_MIN: u16 = 8;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, view: &View, now: Duration) {
    let nodes = view.nodes(state.rows(now));
    // Title, head, sum and an empty line stand beside the nodes.
    let wanted = u16::try_from(nodes.len()).unwrap_or(u16::MAX).saturating_add(4);
    let most = area.height.saturating_sub(LISTS_ROWS_MIN).max(area.height / 3 * 2);
    let rows = [Constraint::Length(wanted.min(most)), Constraint::Fill(1), Constraint::Fill(1)];
    let [upper, slow, large] = Layout::vertical(rows).areas(area);
    let shown: HashSet<String> = nodes.iter().map(|node| node.name.clone()).collect();
    node_table(frame, upper, state, view, now);
    slow_connections(frame, slow, state, &shown);
    large_rooms(frame, large, state, &shown);
}

fn node_table(frame: &mut Frame<'_>, area: Rect, state: &State, view: &View, now: Duration) {
    let nodes = view.nodes(state.rows(now));
    let selected = view.selected(&nodes);
    let room = usize::from(area.height.saturating_sub(4));
    // The bar stays in sight.
    let above = (selected + 1).saturating_sub(room);
    let width = area.width.saturating_sub(1);
    let running = age(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    let mut lines = vec![Line::from(vec![
        Span::styled("hubbub top", style(Tone::Strong)),
        Span::styled(
            format!("  {} nodes, sorted by {}, since {running}", nodes.len(), view.sort.word()),
            style(Tone::Faint),
        ),
    ])];
    let mut head = titles(rows::NODES, width);
    head.spans.insert(0, Span::raw(" "));
    lines.push(head);
    for (at, node) in nodes.iter().enumerate().skip(above).take(room) {
        let mut line = row(rows::NODES, &rows::node(node), width);
        line.spans.insert(0, Span::raw(if at == selected { "▸" } else { " " }));
        lines.push(if at == selected { line.patch_style(Modifier::REVERSED) } else { line });
    }
    let mut sum = row(rows::NODES, &rows::totals(&state.totals(now)), width);
    sum.spans.insert(0, Span::raw(" "));
    lines.push(sum);
    frame.render_widget(Paragraph::new(lines), area);
}

fn slow_connections(frame: &mut Frame<'_>, area: Rect, state: &State, shown: &HashSet<String>) {
    let slow = state.slow_connections().into_iter().filter(|(node, _)| shown.contains(*node));
    let cells = slow.map(|(node, connection)| rows::slow(node, connection)).collect();
    let head = "Slow connections (largest outbox)";
    list(frame, area, head, rows::SLOW, cells, "nothing waits for anybody");
}

fn large_rooms(frame: &mut Frame<'_>, area: Rect, state: &State, shown: &HashSet<String>) {
    let large = state.large_rooms().into_iter().filter(|(node, _)| shown.contains(*node));
    let cells = large.map(|(node, room)| rows::room(node, room)).collect();
    let head = "Large rooms (most followers on one node)";
    list(frame, area, head, rows::ROOMS, cells, "nobody follows a room");
}

/// A head, the titles and as many rows as there is room for; `nothing` in place of none.
fn list(
    frame: &mut Frame<'_>,
    area: Rect,
    head: &'static str,
    columns: &[Column],
    cells: Vec<Vec<Cell>>,
    nothing: &'static str,
) {
    let mut lines = vec![Line::styled(head, style(Tone::Strong))];
    if cells.is_empty() {
        lines.push(Line::styled(nothing, style(Tone::Faint)));
    } else {
        lines.push(titles(columns, area.width));
        lines.extend(cells.iter().map(|cells| row(columns, cells, area.width)));
    }
    frame.render_widget(Paragraph::new(lines), area);
}
