//! What the person before the terminal looks at, and what their keys change.
//!
//! A pure state machine over keys. Must never draw, and never ask a node.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::poll::Question;
use super::state::{NodeRow, State};

/// Most characters of a filter.
const FILTER_CHARS_MAX: usize = 64;

/// What is shown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Page {
    /// All nodes.
    #[default]
    Nodes,
    /// The node at this address.
    Node(String),
}

/// The list in a node's detail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Panel {
    #[default]
    Connections,
    Rooms,
    Leases,
    Errors,
}

impl Panel {
    pub(super) const ALL: [Self; 4] = [Self::Connections, Self::Rooms, Self::Leases, Self::Errors];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Rooms => "rooms",
            Self::Leases => "leases",
            Self::Errors => "last errors",
        }
    }
}

/// By what the nodes are sorted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum NodeSort {
    #[default]
    Name,
    Connections,
    Deliveries,
    Delay,
    Outbox,
    Cpu,
}

impl NodeSort {
    const ALL: [Self; 6] = [Self::Name, Self::Connections, Self::Deliveries, Self::Delay, Self::Outbox, Self::Cpu];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Connections => "conns",
            Self::Deliveries => "dlv/s",
            Self::Delay => "p99",
            Self::Outbox => "outbox",
            Self::Cpu => "cpu",
        }
    }

    /// The largest comes first; names go upwards.
    fn weight(self, row: &NodeRow<'_>) -> f64 {
        let rates = row.rates.unwrap_or_default();
        match self {
            Self::Name => 0.0,
            Self::Connections => row.connections().unwrap_or(0) as f64,
            Self::Deliveries => rates.deliveries,
            Self::Delay => rates.p99.unwrap_or(0.0),
            Self::Outbox => row.live().map_or(0, |page| page.outbox_bytes) as f64,
            Self::Cpu => rates.cpu.unwrap_or(0.0),
        }
    }
}

/// Orders that a node knows for its connections and its rooms.
const CONNECTION_SORTS: [&str; 3] = ["outbox", "age", "bytes"];
const ROOM_SORTS: [&str; 3] = ["subscribers", "waiting", "head"];

/// What a key asks of the program itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    Go,
    Quit,
}

/// What is looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) page: Page,
    pub(super) panel: Panel,
    pub(super) sort: NodeSort,
    connection_sort: usize,
    room_sort: usize,
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) typing: bool,
    pub(super) help: bool,
    /// The key of the node that the bar is on, so that it stays there when others come and go.
    selected: Option<String>,
    /// Rows of the panel above the window.
    pub(super) scroll: usize,
}

impl View {
    /// The nodes to be shown, in their order.
    pub(super) fn nodes<'s>(&self, rows: Vec<NodeRow<'s>>) -> Vec<NodeRow<'s>> {
        let filter = if self.page == Page::Nodes { self.filter.as_str() } else { "" };
        let mut rows: Vec<_> = rows.into_iter().filter(|row| is_meant(row, filter)).collect();
        // Stable: rows of one weight stay by name.
        rows.sort_by(|one, other| self.sort.weight(other).total_cmp(&self.sort.weight(one)));
        rows
    }

    /// Which of these rows the bar is on.
    pub(super) fn selected(&self, rows: &[NodeRow<'_>]) -> usize {
        let wanted = self.selected.as_deref();
        rows.iter().position(|row| wanted == Some(row.key)).unwrap_or(0)
    }

    /// The order in the panel, as the node is asked for it.
    pub(super) fn panel_sort(&self) -> Option<&'static str> {
        match self.panel {
            Panel::Connections => Some(CONNECTION_SORTS[self.connection_sort]),
            Panel::Rooms => Some(ROOM_SORTS[self.room_sort]),
            Panel::Leases | Panel::Errors => None,
        }
    }

    /// What the nodes are to be asked.
    pub(super) fn question(&self) -> Question {
        Question {
            detail: match &self.page {
                Page::Node(address) => Some(address.clone()),
                Page::Nodes => None,
            },
            connection_sort: CONNECTION_SORTS[self.connection_sort],
            room_sort: ROOM_SORTS[self.room_sort],
            filter: if self.typing { None } else { self.asked_filter() },
        }
    }

    /// A filter that the node itself applies: `user=`, `room=` or `address=`.
    pub(super) fn asked_filter(&self) -> Option<(&'static str, String)> {
        let (name, value) = self.filter.split_once('=')?;
        let name = ["user", "room", "address"].into_iter().find(|known| *known == name.trim())?;
        let value = value.trim();
        (!value.is_empty()).then(|| (name, value.to_owned()))
    }

    /// Whether a line of a panel is let through by the filter as it stands.
    pub(super) fn lets_through(&self, line: &str) -> bool {
        self.asked_filter().is_some() || line.to_lowercase().contains(&self.filter.to_lowercase())
    }

    /// Takes a key.
    pub(super) fn take(&mut self, key: KeyEvent, state: &State, now: std::time::Duration) -> Then {
        if key.kind == KeyEventKind::Release {
            return Then::Go;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Then::Quit } else { Then::Go };
        }
        if self.typing {
            self.type_filter(key.code);
            return Then::Go;
        }
        if self.help {
            self.help = false;
            return Then::Go;
        }
        match key.code {
            KeyCode::Char('q') => return Then::Quit,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('s') => self.sort_next(),
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left if self.page != Page::Nodes => self.go(Page::Nodes),
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Tab | KeyCode::BackTab if self.page != Page::Nodes => self.turn(key.code == KeyCode::Tab),
            KeyCode::Up | KeyCode::Char('k') => self.move_by(-1, state, now),
            KeyCode::Down | KeyCode::Char('j') => self.move_by(1, state, now),
            KeyCode::PageUp => self.move_by(-10, state, now),
            KeyCode::PageDown => self.move_by(10, state, now),
            KeyCode::Home => self.move_by(isize::MIN, state, now),
            KeyCode::Enter | KeyCode::Right if self.page == Page::Nodes => {
                let rows = self.nodes(state.rows(now));
                let row = rows.get(self.selected(&rows));
                if let Some(address) = row.and_then(|row| row.address) {
                    self.go(Page::Node(address.to_owned()));
                }
            }
            _ => {}
        }
        Then::Go
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(sign) if self.filter.chars().count() < FILTER_CHARS_MAX => self.filter.push(sign),
            _ => {}
        }
        self.scroll = 0;
    }

    fn sort_next(&mut self) {
        self.scroll = 0;
        match (&self.page, self.panel) {
            (Page::Nodes, _) => {
                let at = NodeSort::ALL.iter().position(|sort| *sort == self.sort).unwrap_or(0);
                self.sort = NodeSort::ALL[(at + 1) % NodeSort::ALL.len()];
            }
            (Page::Node(_), Panel::Connections) => {
                self.connection_sort = (self.connection_sort + 1) % CONNECTION_SORTS.len();
            }
            (Page::Node(_), Panel::Rooms) => self.room_sort = (self.room_sort + 1) % ROOM_SORTS.len(),
            (Page::Node(_), Panel::Leases | Panel::Errors) => {}
        }
    }

    fn go(&mut self, page: Page) {
        (self.page, self.scroll) = (page, 0);
        self.filter.clear();
    }

    fn turn(&mut self, forward: bool) {
        let at = Panel::ALL.iter().position(|panel| *panel == self.panel).unwrap_or(0);
        let step = if forward { 1 } else { Panel::ALL.len() - 1 };
        (self.panel, self.scroll) = (Panel::ALL[(at + step) % Panel::ALL.len()], 0);
    }

    fn move_by(&mut self, rows: isize, state: &State, now: std::time::Duration) {
        if self.page != Page::Nodes {
            // The end is kept by whoever draws, who knows how many rows there are.
            self.scroll = self.scroll.saturating_add_signed(rows);
            return;
        }
        let nodes = self.nodes(state.rows(now));
        let last = nodes.len().saturating_sub(1);
        let at = self.selected(&nodes).saturating_add_signed(rows).min(last);
        self.selected = nodes.get(at).map(|row| row.key.to_owned());
    }
}

fn is_meant(row: &NodeRow<'_>, filter: &str) -> bool {
    let filter = filter.to_lowercase();
    let known = [Some(row.name.as_str()), row.address, Some(row.condition.word())];
    known.into_iter().flatten().any(|text| text.to_lowercase().contains(&filter))
}
