//! The course of a run with fake workers: as threads, behind a stream, and as agents.

use std::io::BufReader;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::agent::{self, AgentOptions};
use super::crew::CrewPlan;
use super::fake;
use super::line;
use super::link::{self, Down, Up};
use super::message::{Answer, Order, Phase, Share};
use super::run::{Finished, RunPlan, Watcher, run};
use super::secret::Secret;
use crate::stats::{Counts, Second, Timings};

const URL: &str = "ws://127.0.0.1:1/ws";

/// Notes what it sees, and stops the run once the measured time has begun if it is told to.
#[derive(Default)]
struct Notes {
    phases: Vec<Phase>,
    seconds: Vec<i64>,
    looks: Vec<Duration>,
    stops: bool,
}

impl Watcher for Notes {
    fn phase(&mut self, phase: Phase) {
        self.phases.push(phase);
    }

    fn second(&mut self, second: &Second, _: &Counts, _: &Timings, _: Duration) {
        self.seconds.push(second.at);
    }

    fn look(&mut self, measured: Option<Duration>) -> bool {
        self.looks.extend(measured);
        self.stops && measured.is_some_and(|measured| measured > Duration::from_millis(100))
    }
}

fn plan(crew: CrewPlan) -> RunPlan {
    RunPlan { task: fake::task(URL), crew, label: "fake".to_owned(), command: vec!["hubbub-load".to_owned()] }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes()).expect("long enough")
}

fn assert_whole(finished: &Finished, workers: u64) {
    let Finished { report, failure } = finished;
    assert_eq!(*failure, None);
    assert!(report.validity.is_valid(), "{:?}", report.validity);
    assert_eq!(report.seconds.len(), 1, "the seconds of all workers are one");
    assert_eq!((report.measured.sent, report.measured.connected), (100, 10));
    assert_eq!(report.timings.delivery.count(), workers);
    assert_eq!(report.verdict.total.delivered, workers * workers, "everybody was given everybody's sends");
    let mut left_out = report.left_out.clone();
    left_out.sort();
    assert_eq!(left_out, ["read", "typing"]);
    assert!((report.measured_seconds - 1.0).abs() < f64::EPSILON, "{}", report.measured_seconds);
}

#[test]
fn threads_bring_a_whole_run() {
    let mut notes = Notes::default();
    let finished = run(&plan(CrewPlan::threads(3)), fake::start, &mut notes);
    assert_whole(&finished, 3);
    use Phase::{Connect, Judge, Prepare, Run, Settle, Stop, Subscribe};
    assert_eq!(notes.phases, [Prepare, Connect, Subscribe, Run, Settle, Judge, Stop]);
    assert_eq!(notes.seconds, [0]);
    assert_eq!(notes.looks.last(), Some(&Duration::from_secs(1)), "the end of the measured time is seen once");
}

#[test]
fn a_failing_worker_ends_the_run_with_what_there_is() {
    let mut plan = plan(CrewPlan::threads(2));
    plan.task.seed = 13;
    let mut notes = Notes::default();
    let finished = run(&plan, fake::start, &mut notes);
    assert_eq!(finished.failure.as_deref(), Some("planted"));
    assert!(!finished.report.validity.is_valid());
    assert_eq!(notes.phases.last(), Some(&fake::LAST));
}

#[test]
fn an_interrupted_run_is_settled_and_judged() {
    let mut plan = plan(CrewPlan::threads(2));
    plan.task.seed = 14;
    plan.task.scenario.duration = Duration::from_secs(3_600);
    let mut notes = Notes { stops: true, ..Notes::default() };
    let finished = run(&plan, fake::start, &mut notes);
    assert_eq!(finished.failure, None);
    assert!(finished.report.validity.is_interrupted);
    assert_eq!(finished.report.verdict.total.delivered, 4);
}

/// A stream both ends of which are here.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    (near, listener.accept().expect("accepted").0)
}

#[test]
fn a_far_end_starts_answers_and_stops() {
    let (mut near, far) = pair();
    let to = far.try_clone().expect("cloned");
    let serving = std::thread::spawn(move || link::serve(BufReader::new(far), to, fake::start, &|_| Ok(())));
    let share = Share { worker: 4, workers: 5 };
    let start = Down::Start { task: Box::new(fake::task(URL)), shares: vec![share], shift_ns: 0 };
    for down in [start, Down::Ping, Down::Order(Order::Prepare)] {
        line::write(&mut near, &down).expect("written");
    }
    let mut from = BufReader::new(near.try_clone().expect("cloned"));
    let mut up = || line::read::<Up>(&mut from, 4_096, None).expect("read").expect("a line");
    assert!(matches!(up(), Up::Pong(_)));
    assert!(matches!(up(), Up::Answer(4, Answer::Reached(Phase::Prepare))));
    near.shutdown(std::net::Shutdown::Write).expect("shut down");
    assert!(matches!(up(), Up::Answer(4, Answer::Reached(Phase::Stop))), "the end of the stream stops the workers");
    serving.join().expect("no panic").expect("no error");
}

#[test]
fn a_far_end_speaks_for_its_own_workers_only() {
    let lines = b"{\"answer\":[1,{\"reached\":\"prepare\"}]}\n{\"answer\":[2,{\"reached\":\"prepare\"}]}\n";
    let (sender, answers) = channel();
    link::listen(&lines[..], "child 0", &[Share { worker: 1, workers: 3 }], &sender);
    drop(sender);
    let heard: Vec<_> = answers.iter().collect();
    assert!(matches!(heard[0], (1, Answer::Reached(Phase::Prepare))));
    assert!(matches!(&heard[1], (1, Answer::Failed { reason }) if reason.contains("as worker 2")), "{heard:?}");
}

/// An agent on the loopback; it lives as long as the test program.
fn agent(url: &str, known: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let options = AgentOptions { urls: vec![url.to_owned()], secret: secret(known), threads: 2 };
    std::thread::spawn(move || agent::serve(&listener, &options, fake::start, |_| {}));
    address
}

fn crew_of(agents: Vec<String>, known: &str) -> CrewPlan {
    CrewPlan { agents, secret: Some(secret(known)), ..CrewPlan::threads(1) }
}

const KNOWN: &str = "0123456789abcdef";

#[test]
fn agents_with_the_same_secret_run_again_and_again() {
    let agents = vec![agent(URL, KNOWN), agent(URL, KNOWN)];
    for _ in 0..2 {
        let finished = run(&plan(crew_of(agents.clone(), KNOWN)), fake::start, &mut Notes::default());
        assert_eq!(finished.failure, None);
        assert_eq!((finished.report.workers, finished.report.measured.sent), (4, 100));
        assert_eq!(finished.report.verdict.total.delivered, 16);
    }
}

#[test]
fn another_secret_is_refused() {
    let finished =
        run(&plan(crew_of(vec![agent(URL, KNOWN)], "another secret 16")), fake::start, &mut Notes::default());
    let failure = finished.failure.expect("refused");
    assert!(failure.contains("secret is another one"), "{failure}");
}

#[test]
fn an_agent_that_only_pretends_to_know_the_secret_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let pretending = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepted");
        let hello = serde_json::json!({"version": env!("CARGO_PKG_VERSION"), "nonce": "00"});
        line::write(&mut stream, &hello).expect("written");
        let mut from = BufReader::new(stream.try_clone().expect("cloned"));
        let proof: serde_json::Value = line::read(&mut from, 4_096, None).expect("read").expect("a line");
        // The coordinator's own proof, sent back.
        line::write(&mut stream, &serde_json::json!({"come": {"proof": proof["proof"], "threads": 1}}))
            .expect("written");
    });
    let finished = run(&plan(crew_of(vec![address], KNOWN)), fake::start, &mut Notes::default());
    pretending.join().expect("no panic");
    let failure = finished.failure.expect("noticed");
    assert!(failure.contains("does not know the secret"), "{failure}");
}

#[test]
fn an_agent_sends_nothing_to_a_foreign_url() {
    let agents = vec![agent("ws://127.0.0.1:2/ws", KNOWN)];
    let finished = run(&plan(crew_of(agents, KNOWN)), fake::start, &mut Notes::default());
    let failure = finished.failure.expect("refused");
    assert!(failure.contains("is not among the --url"), "{failure}");
}

#[test]
fn a_child_that_ends_early_is_told() {
    let child = ["sh", "-c", "read line; exit 3"].map(str::to_owned).to_vec();
    let crew = CrewPlan { processes: 1, child, ..CrewPlan::threads(1) };
    let finished = run(&plan(crew), fake::start, &mut Notes::default());
    let failure = finished.failure.expect("failed");
    assert!(failure.contains("child process 0"), "{failure}");
}
