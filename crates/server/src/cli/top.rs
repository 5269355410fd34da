//! `hubbub top [URL]…`: a live view of the nodes of a cluster, from the debug pages of their ops ports.
//!
//! Owns whom to ask, and the loop. Must never change anything on a node.

mod answer;
mod draw;
mod poll;
mod print;
mod rates;
mod rows;
mod screen;
mod state;
mod table;
mod units;
mod view;

use std::collections::{HashMap, HashSet};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use crossterm::event::Event;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::health::{self, Target};
use super::output::{print, print_json};
use super::settings::Settings;
use crate::config::Purpose;
use crate::failure::Failure;
use poll::{Asking, News, Question};
use screen::Screen;
use state::State;
use view::{Then, View};

/// Most answers that wait to be taken in.
const NEWS_MAX: usize = 512;

/// Ages go on at least so often.
const DRAW_EVERY: Duration = Duration::from_secs(1);

/// How long a snapshot waits for nodes beyond the time of two looks.
const ONCE_EXTRA: Duration = Duration::from_secs(4);

#[derive(clap::Args)]
pub(super) struct Options {
    /// Ops listeners, such as http://10.0.0.7:9443; else the one of the configuration.
    #[arg(value_name = "URL")]
    urls: Vec<String>,
    /// Every address that this name leads to, such as a headless service of Kubernetes; looked up again every 10 s.
    #[arg(long, value_name = "NAME:PORT")]
    discover: Vec<String>,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    interval: u64,
    /// Print one snapshot, after two looks that make rates, and end; 1 when no node answers.
    #[arg(long)]
    once: bool,
    /// The same for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let once = options.once || options.json;
    let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if !once && !is_terminal {
        return Err(Failure::Usage("this is no terminal: --once prints one snapshot, --json one for programs".into()));
    }
    let targets = targets(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let top = Top::start(options, targets);
        if once { top.once(options).await } else { top.live().await }
    });
    // Nobody waits for a node that does not answer.
    runtime.shutdown_background();
    outcome
}

/// The nodes that were named; the own one when nobody was.
fn targets(options: &Options) -> Result<Vec<Target>, Failure> {
    if let Some(name) = options.discover.iter().find(|name| !is_name_and_port(name)) {
        return Err(Failure::Usage(format!("`{name}` is no name:port to look up")));
    }
    if options.urls.is_empty() && options.discover.is_empty() {
        let config = options.settings.load_quietly(Purpose::Other)?.config;
        return Ok(vec![Target::at(&health::reachable(config.ops_listen).to_string())]);
    }
    let with_scheme = |url: &String| if url.contains("://") { url.clone() } else { format!("http://{url}") };
    options.urls.iter().map(|url| health::parse(&with_scheme(url))).collect()
}

fn is_name_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok())
}

/// What runs: the tasks that ask, and what they have told.
struct Top {
    asking: Asking,
    news: mpsc::Receiver<News>,
    question: watch::Sender<Question>,
    asked: HashMap<String, JoinHandle<()>>,
    /// Those that were named, which never leave the list.
    named: HashSet<String>,
    state: State,
}

impl Top {
    fn start(options: &Options, targets: Vec<Target>) -> Self {
        let (sender, news) = mpsc::channel(NEWS_MAX);
        let (question, wanted) = watch::channel(Question::default());
        let interval = Duration::from_secs(options.interval);
        let asking = Asking { began: Instant::now(), interval, news: sender, question: wanted };
        for name in &options.discover {
            tokio::spawn(poll::discover(asking.news.clone(), name.clone()));
        }
        let named = targets.iter().map(|target| target.authority.clone()).collect();
        let mut top = Self { asking, news, question, asked: HashMap::new(), named, state: State::default() };
        targets.into_iter().for_each(|target| top.ask(target));
        top
    }

    fn now(&self) -> Duration {
        self.asking.began.elapsed()
    }

    /// Asks a node from now on.
    fn ask(&mut self, target: Target) {
        if self.asked.len() < poll::ADDRESSES_MAX && !self.asked.contains_key(&target.authority) {
            let address = target.authority.clone();
            self.asked.insert(address, tokio::spawn(poll::ask(self.asking.clone(), target)));
        }
    }

    fn take(&mut self, news: News) {
        match news {
            News::Looked(look) => self.state.take(look),
            News::Found(found) => {
                found.iter().for_each(|address| self.ask(Target::at(address)));
                let listed: HashSet<String> = found.union(&self.named).cloned().collect();
                self.state.list(&listed, self.now());
                self.asked.retain(|address, asking| {
                    let stays = listed.contains(address) || self.state.knows(address);
                    if !stays {
                        asking.abort();
                    }
                    stays
                });
            }
        }
    }

    /// Two looks at every node, or what came of them in time.
    async fn once(mut self, options: &Options) -> Result<(), Failure> {
        let deadline = tokio::time::Instant::now() + self.asking.interval + ONCE_EXTRA;
        while !self.has_rates() {
            match tokio::time::timeout_at(deadline, self.news.recv()).await {
                Ok(Some(news)) => self.take(news),
                Ok(None) | Err(_) => break,
            }
        }
        let now = self.now();
        if options.json {
            print_json(&print::json(&self.state, now))?;
        } else {
            print(&print::text(&self.state, now))?;
        }
        match self.state.totals(now).answering {
            0 => Err(Failure::Refused("no node answers".into())),
            _ => Ok(()),
        }
    }

    /// Whether every node that is asked was looked at twice or is gone.
    fn has_rates(&self) -> bool {
        let is_done =
            |address: &String| self.state.node(address).is_some_and(|node| node.rates.is_some() || node.gone.is_some());
        !self.asked.is_empty() && self.asked.keys().all(is_done)
    }

    async fn live(mut self) -> Result<(), Failure> {
        let mut ends = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()]
            .map(signal)
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        let mut screen = Screen::open()?;
        let mut keys = screen::keys();
        let mut view = View::default();
        loop {
            let now = self.now();
            screen.terminal.draw(|frame| draw::draw(frame, &self.state, &view, now))?;
            tokio::select! {
                Some(news) = self.news.recv() => {
                    self.take(news);
                    // What else has come is drawn together.
                    while let Ok(news) = self.news.try_recv() {
                        self.take(news);
                    }
                }
                event = keys.recv() => match event {
                    Some(Event::Key(key)) => {
                        if view.take(key, &self.state, now) == Then::Quit {
                            return Ok(());
                        }
                        let wanted = view.question();
                        self.question.send_if_modified(|question| {
                            let changed = *question != wanted;
                            *question = wanted;
                            changed
                        });
                    }
                    // A new size is drawn at once.
                    Some(_) => {}
                    // The terminal is gone.
                    None => return Ok(()),
                },
                () = any_of(&mut ends) => return Ok(()),
                () = tokio::time::sleep(DRAW_EVERY) => {}
            }
        }
    }
}

/// Resolves when one of these signals has come.
async fn any_of(signals: &mut [tokio::signal::unix::Signal]) {
    std::future::poll_fn(|context| {
        let came = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if came { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[cfg(test)]
mod tests;
