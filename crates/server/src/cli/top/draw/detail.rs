//! One node: its figures, and one of its lists.
//!
//! Must never show less of a node that is gone than was known of it last.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::answer::{NodePage, Snapshot};
use super::super::rates::Rates;
use super::super::rows;
use super::super::state::{Node, State};
use super::super::table::{self, Cell, Column, Tone};
use super::super::units::{NONE, age, bytes, latency, percent, short};
use super::super::view::{Panel, View};
use super::{row, style, titles};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, view: &View, address: &str, now: Duration) {
    let [head, tabs, list] =
        Layout::vertical([Constraint::Length(6), Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let node = state.node(address);
    let page = node.and_then(|node| node.last.as_ref());
    frame.render_widget(Paragraph::new(head_lines(node, address, now)), head);
    frame.render_widget(Paragraph::new(tab_line(view, page)), tabs);
    let Some(snapshot) = page else { return };
    let (columns, cells) = rows_of(snapshot, state, view.panel);
    frame.render_widget(Paragraph::new(list_lines(columns, &cells, view, list)), list);
}

fn head_lines(node: Option<&Node>, address: &str, now: Duration) -> Vec<Line<'static>> {
    let Some(node) = node else { return vec![Line::raw(format!("{address} was never asked"))] };
    let gone = node.gone.as_ref().map(|(since, reason)| {
        let millis = u64::try_from(now.saturating_sub(*since).as_millis()).unwrap_or(u64::MAX);
        Line::styled(format!("gone for {}: {reason}", age(millis)), style(Tone::Bad))
    });
    let Some(last) = &node.last else {
        return vec![Line::styled(address.to_owned(), style(Tone::Strong)), gone.unwrap_or_default()];
    };
    let page = &last.node;
    let mut lines = vec![title(page, address), state_line(page)];
    lines.extend(figure_lines(page, node.rates.unwrap_or_default()));
    if let Some(gone) = gone {
        lines[1] = gone;
    }
    lines
}

fn title(page: &NodePage, address: &str) -> Line<'static> {
    Line::from(vec![
        Span::styled(page.node.clone(), style(Tone::Strong)),
        Span::raw(format!("  http://{address}  version {}  up {}", page.version, age(page.uptime_ms))),
    ])
}

fn state_line(page: &NodePage) -> Line<'static> {
    let mut words = page.status.clone();
    if !page.degraded.is_empty() {
        words.push_str(&format!(", without {}", page.degraded.join(", ")));
    }
    let reasons = [("waits for ", &page.waiting_for), ("refuses newcomers: ", &page.refuses)];
    for (what, reason) in reasons.into_iter().filter_map(|(what, reason)| Some((what, reason.as_ref()?))) {
        words.push_str(&format!(", {what}{reason}"));
    }
    let tone = if page.status == "ready" && page.degraded.is_empty() { Tone::Good } else { Tone::Doubtful };
    let bus = match &page.bus {
        Some(bus) if !bus.shared => "bus inside the process".to_owned(),
        Some(bus) if bus.up => format!("bus up, {} away", latency(bus.lag_ms.unwrap_or(0.0) / 1e3)),
        Some(_) => "bus DOWN".to_owned(),
        None => format!("bus {NONE}"),
    };
    let store = match &page.store {
        Some(store) if store.up => "database up",
        Some(_) => "database DOWN",
        None => "database –",
    };
    Line::from(vec![Span::styled(words, style(tone)), Span::raw(format!("  {bus}  {store}"))])
}

fn figure_lines(page: &NodePage, rates: Rates) -> Vec<Line<'static>> {
    let time = |seconds: Option<f64>| seconds.map_or(NONE.to_owned(), latency);
    let count = |name: &str| short(page.count(name));
    vec![
        Line::raw(format!(
            "{} connections  {} rooms  outbox {}  rss {}  cpu {}  files {}",
            short(page.connections as f64),
            short(page.rooms as f64),
            bytes(page.outbox_bytes),
            page.rss_bytes.map_or(NONE.to_owned(), bytes),
            rates.cpu.map_or(NONE.to_owned(), percent),
            page.open_files.map_or(NONE.to_owned(), short),
        )),
        Line::raw(format!(
            "a second: {} connects, {} ends, {} commands ({} refused, {} failed)",
            short(rates.connects),
            short(rates.disconnects),
            short(rates.commands),
            short(rates.refused),
            short(rates.failed),
        )),
        Line::raw(format!(
            "          {} deliveries, p50 {}, p99 {} from commit to socket",
            short(rates.deliveries),
            time(rates.p50),
            time(rates.p99),
        )),
        Line::raw(format!(
            "since start: {} repairs  {} slow closes  {} failed logins  {} rate limited",
            count("repairs"),
            count("slow_closes"),
            count("auth_failures"),
            count("rate_limited"),
        )),
    ]
}

fn tab_line(view: &View, snapshot: Option<&Snapshot>) -> Line<'static> {
    let mut parts = Vec::new();
    for panel in Panel::ALL {
        let tone = if panel == view.panel { Tone::Strong } else { Tone::Faint };
        let word = panel.word();
        parts.push(Span::styled(
            if panel == view.panel { format!("[{word}] ") } else { format!(" {word}  ") },
            style(tone),
        ));
    }
    let matching = snapshot.filter(|_| view.panel == Panel::Connections).map(|last| last.connections.matching);
    let sort = view.panel_sort().map(|sort| format!(" by {sort}")).unwrap_or_default();
    let matching = matching.map(|count| format!(", {} in all", short(count as f64))).unwrap_or_default();
    parts.push(Span::styled(format!("{sort}{matching}"), style(Tone::Faint)));
    Line::from(parts)
}

fn rows_of(last: &Snapshot, state: &State, panel: Panel) -> (&'static [Column], Vec<Vec<Cell>>) {
    match panel {
        Panel::Connections => (rows::CONNECTIONS, last.connections.connections.iter().map(rows::connection).collect()),
        Panel::Rooms => (rows::NODE_ROOMS, last.rooms.iter().map(rows::node_room).collect()),
        Panel::Leases => (rows::LEASES, state.leases().iter().map(rows::lease).collect()),
        Panel::Errors => (rows::ERRORS, last.errors.iter().flatten().map(rows::complaint).collect()),
    }
}

fn list_lines(columns: &[Column], cells: &[Vec<Cell>], view: &View, area: Rect) -> Vec<Line<'static>> {
    let kept: Vec<&Vec<Cell>> = cells.iter().filter(|cells| view.lets_through(&table::plain(cells))).collect();
    if kept.is_empty() {
        return vec![Line::styled("nothing to show", style(Tone::Faint))];
    }
    let room = usize::from(area.height.saturating_sub(1));
    let above = view.scroll.min(kept.len().saturating_sub(room));
    let lines = kept.into_iter().skip(above).take(room).map(|cells| row(columns, cells, area.width));
    [titles(columns, area.width)].into_iter().chain(lines).collect()
}
