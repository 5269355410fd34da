//! The live screen: everything that matters in 60 by 15 signs, more history where there is more room.
//!
//! Owns the terminal while it is open. Must give it back whatever happens, a panic too.

use std::io::{Stderr, Write, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::Frame;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Gauge, Paragraph, Sparkline};

use super::state::{DRIVER_BUSY_MAX, State, doing};
use crate::control::Phase;
use crate::report::units::{bytes, clock, count, percent, plural, rate, time};
use crate::stats::Times;

/// Most keys that are taken at one look.
const KEYS_MAX: usize = 64;
/// Rows of a history at the most.
const HISTORY_ROWS_MAX: u16 = 8;

/// Whether the terminal is ours.
static IS_OPEN: AtomicBool = AtomicBool::new(false);

pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stderr>>,
    is_stopping: bool,
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn open() -> std::io::Result<Self> {
        give_back_on_panic();
        enable_raw_mode()?;
        IS_OPEN.store(true, Ordering::Release);
        let opened =
            execute!(stderr(), EnterAlternateScreen).and_then(|()| Terminal::new(CrosstermBackend::new(stderr())));
        match opened {
            Ok(terminal) => Ok(Self { terminal, is_stopping: false }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    pub(super) fn draw(&mut self, state: &State) {
        let is_stopping = self.is_stopping;
        // A terminal that cannot be written any more must not end the run.
        self.terminal.draw(|frame| show(frame, state, is_stopping)).ok();
    }

    /// Takes the keys that were pressed since the last time; a changed size is drawn with the next second.
    pub(super) fn stop_requested(&mut self) -> bool {
        for _ in 0..KEYS_MAX {
            if !event::poll(Duration::ZERO).unwrap_or(false) {
                break;
            }
            let Ok(Event::Key(key)) = event::read() else { continue };
            let is_control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if key.kind == KeyEventKind::Press && (is_control_c || key.code == KeyCode::Char('q')) {
                if is_control_c {
                    self.signal();
                }
                self.is_stopping = true;
            }
        }
        self.is_stopping
    }
}

impl Screen {
    /// In raw mode Ctrl-C is a key; whoever counts signals has to hear of it too.
    fn signal(&self) {
        // A signal to oneself fails for no reason that could be helped.
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT).ok();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back, once.
pub(super) fn give_back() {
    if !IS_OPEN.swap(false, Ordering::AcqRel) {
        return;
    }
    // There is nobody left to tell when this fails.
    disable_raw_mode().ok();
    execute!(stderr(), LeaveAlternateScreen, Show).ok();
    stderr().flush().ok();
}

/// A panic in any thread gives the terminal back before it is reported: its text would vanish with the screen.
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

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn faint() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn bad() -> Style {
    bold().fg(Color::Red)
}

pub(super) fn show(frame: &mut Frame<'_>, state: &State, is_stopping: bool) {
    let area = frame.area();
    let histories = area.height.saturating_sub(13).clamp(2, HISTORY_ROWS_MAX * 2);
    let rows = [1, 1, 1, 3, 1, 3, 1, 1, histories].map(Constraint::Length);
    let [title, gauge, _, figures, head, latencies, errors, _, history] = Layout::vertical(rows).areas(area);
    frame.render_widget(Paragraph::new(title_line(state, is_stopping)), title);
    frame.render_widget(progress(state), gauge);
    frame.render_widget(Paragraph::new(figure_lines(state)), figures);
    frame.render_widget(Paragraph::new(latency_head()).style(faint()), head);
    frame.render_widget(Paragraph::new(latency_lines(state)), latencies);
    frame.render_widget(Paragraph::new(error_line(state)), errors);
    show_histories(frame, state, history);
}

fn title_line(state: &State, is_stopping: bool) -> Line<'static> {
    let doing = if is_stopping { "stopping".to_owned() } else { doing(state.phase).to_owned() };
    let urls = state.head.urls.first().cloned().unwrap_or_default();
    Line::from(vec![
        Span::styled(state.head.title.clone(), bold()),
        Span::raw("  "),
        Span::styled(doing, Style::new().fg(Color::Cyan)),
        Span::styled(format!("  q: stop  {urls}"), faint()),
    ])
}

fn progress(state: &State) -> Gauge<'static> {
    let label = match state.phase {
        Phase::Run => format!(
            "{} of {}, {} left",
            clock(state.elapsed.as_secs_f64()),
            clock(state.head.total.as_secs_f64()),
            clock(state.remaining().as_secs_f64())
        ),
        phase => doing(phase).to_owned(),
    };
    Gauge::default().ratio(state.progress()).label(label).gauge_style(Style::new().fg(Color::Blue).bg(Color::DarkGray))
}

fn figure_lines(state: &State) -> Vec<Line<'static>> {
    let (counts, totals) = (&state.second.counts, &state.totals);
    let connected = count(counts.connected);
    let wanted = count(state.head.connections.into());
    let dropped = totals.dropped + totals.failed;
    let busy = state.second.driver_busy;
    let busy_style = if busy >= DRIVER_BUSY_MAX { bad() } else { Style::new() };
    vec![
        Line::from(vec![
            Span::styled("connections ", faint()),
            Span::styled(format!("{connected} of {wanted}"), bold()),
            Span::raw(format!("  {} opened  ", rate(counts.opened as f64))),
            Span::styled(format!("{} dropped", count(dropped)), if dropped > 0 { bad() } else { Style::new() }),
        ]),
        Line::from(vec![
            Span::styled("messages    ", faint()),
            Span::styled(format!("{} sent", rate(counts.sent as f64)), bold()),
            Span::raw("  "),
            Span::styled(format!("{} delivered", rate(counts.delivered as f64)), bold()),
            Span::raw(format!("  {}/s in", bytes(counts.bytes_in as f64))),
        ]),
        Line::from(vec![
            Span::styled("driver      ", faint()),
            Span::styled(format!("{} busy", percent((busy * 100.0).round() / 100.0)), busy_style),
            Span::styled("   lost: proof at the end", faint()),
        ]),
    ]
}

fn latency_head() -> String {
    format!("{:<16}{:>8} {:>8} {:>8} {:>8}", "", "p50", "p99", "p99.9", "max")
}

fn latency_lines(state: &State) -> Vec<Line<'static>> {
    let row = |name: &'static str, times: &Times| {
        let cells = [0.5, 0.99, 0.999, 1.0].map(|share| match times.count() {
            0 => "–".to_owned(),
            _ => time(times.quantile(share)),
        });
        let [middle, high, higher, most] = cells;
        Line::from(vec![
            Span::styled(format!("{name:<16}"), faint()),
            Span::raw(format!("{middle:>8} ")),
            Span::styled(format!("{high:>8}"), bold()),
            Span::raw(format!(" {higher:>8} {most:>8}")),
        ])
    };
    vec![
        row("delivery, now", &state.second.timings.delivery),
        row("delivery so far", &state.timings.delivery),
        row("ack so far", &state.timings.ack),
    ]
}

fn error_line(state: &State) -> Line<'static> {
    let errors = state.errors();
    if errors == 0 {
        return Line::styled("no errors", faint());
    }
    let worst = state.totals.errors.iter().max_by_key(|(_, number)| **number);
    let worst = worst.map(|(kind, number)| format!(", {} × {kind}", count(*number))).unwrap_or_default();
    Line::styled(format!("{}{worst}", plural(errors, "error", "errors")), bad())
}

fn show_histories(frame: &mut Frame<'_>, state: &State, area: Rect) {
    const LABEL: u16 = 16;
    let halves = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas::<2>(area);
    let most = |history: &std::collections::VecDeque<u64>| history.iter().copied().max().unwrap_or(0);
    let latency = format!("p99 ≤ {}", time(Duration::from_micros(most(&state.latencies))));
    let deliveries = format!("dlv ≤ {}", rate(most(&state.deliveries) as f64));
    let shown = [(&state.latencies, latency, Color::Yellow), (&state.deliveries, deliveries, Color::Green)];
    for (half, (history, label, colour)) in halves.into_iter().zip(shown) {
        let [left, right] = Layout::horizontal([Constraint::Length(LABEL), Constraint::Fill(1)]).areas(half);
        frame.render_widget(Paragraph::new(label).style(faint()), left);
        let skipped = history.len().saturating_sub(right.width.into());
        let newest = history.iter().skip(skipped).copied();
        frame.render_widget(Sparkline::default().data(newest).style(Style::new().fg(colour)), right);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use ratatui::backend::TestBackend;

    use super::super::Head;
    use super::*;
    use crate::report::sample;

    pub(in super::super) fn state() -> State {
        let head = Head {
            title: "chat against hubbub".to_owned(),
            urls: vec!["wss://127.0.0.1:8443/v1/ws".to_owned()],
            connections: 1_000,
            total: Duration::from_secs(65),
        };
        let mut state = State::new(head);
        state.phase = Phase::Run;
        let report = sample::clean();
        for second in report.seconds.iter().filter(|second| (-4..=20).contains(&second.at)) {
            let elapsed = Duration::from_secs((second.at + 5) as u64);
            state.note(second, &report.counts, &report.timings, elapsed);
        }
        state
    }

    fn drawn(state: &State, width: u16, height: u16, is_stopping: bool) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("terminal");
        terminal.draw(|frame| show(frame, state, is_stopping)).expect("drawn");
        let buffer = terminal.backend().buffer();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn it_is_readable_in_a_small_terminal() {
        assert_eq!(
            drawn(&state(), 60, 15, false),
            "\
chat against hubbub  sending  q: stop  wss://127.0.0.1:8443/
██████████████████25s of 1m 05s, 40s left

connections 1,000 of 1,000  0/s opened  0 dropped
messages    200/s sent  2,000/s delivered  410 KiB/s in
driver      33 % busy   lost: proof at the end
                     p50      p99    p99.9      max
delivery, now    1.39 ms  31.3 ms   176 ms   372 ms
delivery so far  1.42 ms  32.3 ms   216 ms   2.55 s
ack so far        994 µs  18.8 ms  54.5 ms   300 ms
no errors

p99 ≤ 39.5 ms   ▄▄▅▅▅▆▆▆▆▇▇▇▇▇▇█▇▇▇▇▇▇▆▆▆
dlv ≤ 2,000/s   █████████████████████████
"
        );
    }

    #[test]
    fn it_survives_any_size() {
        let mut state = state();
        state.second.driver_busy = 0.99;
        state.totals.error("rate_limited");
        for (width, height) in [(1, 1), (7, 3), (20, 10), (200, 60)] {
            let _shown = drawn(&state, width, height, true);
        }
        assert!(drawn(&state, 80, 24, true).contains("1 error, 1 × rate_limited"));
        assert!(drawn(&state, 80, 24, true).contains("stopping"));
        let empty = State::new(Head { title: String::new(), urls: Vec::new(), connections: 0, total: Duration::ZERO });
        assert!(drawn(&empty, 60, 15, false).contains("making rooms"));
    }
}
