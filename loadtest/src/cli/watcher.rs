//! Whoever looks on while a run lasts: the screen, the server's processes and metrics, the text endpoint, commands.
//!
//! Must never hold up the coordinator: commands run as processes of their own, metrics are asked for beside it.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use hubbub_load::control::{Phase, RunPlan, Watcher};
use hubbub_load::export::Endpoint;
use hubbub_load::report::Report;
use hubbub_load::report::live::{Head, Live, LiveKind};
use hubbub_load::stats::{Counts, Second, Timings};
use hubbub_load::watch::{Scrape, Watched, processes_on};

use super::interrupt::Interrupt;
use super::options::{ResultOptions, WatchOptions};
use super::{Failure, output};

type Scraping = JoinHandle<Vec<Result<Scrape, String>>>;

/// All of them.
pub(super) struct Onlooker {
    live: Live,
    interrupt: Interrupt,
    watched: Vec<Watched>,
    metrics: Vec<String>,
    before: Option<Scraping>,
    behind: Option<Scraping>,
    endpoint: Option<Endpoint>,
    /// Commands that are still to come.
    commands: Vec<(Duration, String)>,
    started: Vec<(String, Result<Child, String>)>,
    length: Duration,
    has_begun: bool,
    has_ended: bool,
}

impl Onlooker {
    /// Begins to look on.
    pub(super) fn new(
        plan: &RunPlan,
        watch: &WatchOptions,
        results: &ResultOptions,
        interrupt: Interrupt,
    ) -> Result<Self, Failure> {
        let watched = watched(watch)?;
        let endpoint = watch.listen_metrics.map(Endpoint::listen).transpose();
        let endpoint = endpoint.map_err(|error| Failure::Failed(format!("--listen-metrics: {error}")))?;
        let scenario = &plan.task.scenario;
        let kind = match (results.quiet, results.no_screen) {
            (true, _) => LiveKind::Silent,
            (_, true) => LiveKind::Lines,
            _ => LiveKind::Screen,
        };
        let head = Head {
            title: format!("{} against {}", scenario.name, plan.label),
            urls: plan.task.target.urls.clone(),
            connections: scenario.connections.count,
            total: scenario.warmup + scenario.duration,
        };
        let mut commands = watch.at.clone();
        commands.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Ok(Self {
            live: Live::new(kind, head),
            interrupt,
            watched,
            metrics: watch.metrics.clone(),
            before: None,
            behind: None,
            endpoint,
            commands,
            started: Vec::new(),
            length: scenario.duration,
            has_begun: false,
            has_ended: false,
        })
    }

    fn scrape(&self) -> Option<Scraping> {
        let urls = self.metrics.clone();
        (!urls.is_empty()).then(|| std::thread::spawn(move || urls.iter().map(|url| Scrape::ask(url)).collect()))
    }

    fn begin(&mut self) {
        self.has_begun = true;
        self.watched.iter_mut().for_each(Watched::begin);
        self.before = self.scrape();
    }

    fn end(&mut self) {
        self.has_ended = true;
        self.watched.iter_mut().for_each(Watched::end);
        self.behind = self.scrape();
    }

    /// Puts what was seen into the report, and gives the terminal back.
    pub(super) fn finish(mut self, report: &mut Report) {
        if self.has_begun && !self.has_ended {
            self.end();
        }
        self.live.finish();
        report.observed = self.watched.into_iter().map(Watched::observed).collect();
        let (figures, notes) = metrics(self.before, self.behind);
        report.metrics = figures;
        report.notes.extend(notes);
        for (command, child) in self.started {
            let end = child.and_then(|mut child| match child.try_wait() {
                Ok(Some(status)) => Ok(status.to_string()),
                Ok(None) => Ok("it is still running".to_owned()),
                Err(error) => Err(error.to_string()),
            });
            report.notes.push(format!("--at `{command}`: {}", end.unwrap_or_else(|error| error)));
        }
        report.notes.extend(self.commands.into_iter().map(|(_, command)| format!("--at `{command}`: never began")));
    }
}

impl Watcher for Onlooker {
    fn phase(&mut self, phase: Phase) {
        self.live.phase(phase);
    }

    fn second(&mut self, second: &Second, counts: &Counts, measured: &Timings, elapsed: Duration) {
        self.live.second(second, counts, measured, elapsed);
        if let Some(endpoint) = &self.endpoint {
            endpoint.show(counts, measured);
        }
    }

    fn look(&mut self, measured: Option<Duration>) -> bool {
        if let Some(measured) = measured {
            if !self.has_begun {
                self.begin();
            }
            while let Some((at, command)) = self.commands.pop() {
                if at > measured {
                    self.commands.push((at, command));
                    break;
                }
                let child = start(&command);
                self.started.push((command, child));
            }
            if measured >= self.length && !self.has_ended {
                self.end();
            }
        }
        self.watched.iter_mut().for_each(Watched::look);
        self.live.stop_requested() || self.interrupt.is_wanted()
    }
}

/// A command of the command line. What it prints goes to stderr: stdout is for results.
fn start(command: &str) -> Result<Child, String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(std::io::stderr());
    shell.spawn().map_err(|error| format!("could not be started: {error}"))
}

fn watched(options: &WatchOptions) -> Result<Vec<Watched>, Failure> {
    let mut watched = Vec::new();
    for (name, pid) in &options.watch {
        let number =
            pid.parse().map_err(|_| Failure::Usage(format!("--watch {name}: `{pid}` is no process number")))?;
        let process = Watched::new(name, number);
        watched.push(process.ok_or_else(|| Failure::Usage(format!("--watch {name}: there is no process {pid}")))?);
    }
    for port in &options.watch_port {
        let pids = processes_on(*port);
        if pids.is_empty() {
            return Err(Failure::Usage(format!("--watch-port {port}: no process that may be seen listens there")));
        }
        watched.extend(pids.into_iter().filter_map(|pid| Watched::new(&format!("port {port}"), pid)));
    }
    Ok(watched)
}

/// The figures of all pages together, and what could not be had.
fn metrics(before: Option<Scraping>, behind: Option<Scraping>) -> (BTreeMap<String, f64>, Vec<String>) {
    let ask = |scraping: Option<Scraping>| scraping.and_then(|scraping| scraping.join().ok()).unwrap_or_default();
    let (before, behind) = (ask(before), ask(behind));
    let (mut figures, mut notes) = (BTreeMap::new(), Vec::new());
    for pair in before.into_iter().zip(behind) {
        match pair {
            (Ok(before), Ok(behind)) => {
                for (name, value) in behind.since(&before) {
                    *figures.entry(name).or_default() += value;
                }
            }
            (Err(reason), _) | (_, Err(reason)) => notes.push(format!("metrics: {reason}")),
        }
    }
    (figures, notes)
}

/// Says what a run is about to do, where there is no view of it.
pub(super) fn announce(line: &str, results: &ResultOptions) {
    if !results.quiet {
        output::tell(line);
    }
}
