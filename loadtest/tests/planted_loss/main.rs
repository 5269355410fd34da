//! One loss among thousands of deliveries, planted on the way from a real node: the program has to find and name it.
//!
//! Must never accept a verdict that the planted frame did not cause.

mod proxy;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

use hubbub_load::report::Report;
use hubbub_testkit::ClusterConfig;
use hubbub_testkit::servers::Node;
use tempfile::TempDir;

use proxy::{Planted, Proxy};

const SECRET: &str = "a secret of load tests, which is long enough to be one";

/// People of the runs.
const PEOPLE: &str = "40";

/// Which delivery is swallowed: late enough that thousands went by, early enough that it is always reached.
const SWALLOWED: u64 = 4_000;

#[tokio::test]
async fn one_swallowed_delivery_among_thousands_is_found_and_named() {
    let (output, report, planted) = run(Some(SWALLOWED)).await;
    let planted = planted.expect("a frame was swallowed");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(report.verdict.total.lost, 1, "{text}");
    assert!(report.verdict.total.expected > SWALLOWED, "{text}");
    let [example] = report.verdict.examples.as_slice() else { panic!("one fault and no other: {text}") };
    assert_eq!((example.sender, example.number), (planted.sender, planted.number));
    assert!(example.room.ends_with(&planted.room.to_string()), "{} is room {}", example.room, planted.room);
    assert_eq!(report.verdict.rooms[&example.room].lost, 1);
    assert!(text.starts_with("LOST 1 of "), "{text}");
    let named = format!("lost: room {}, sender {}, number {}", example.room, planted.sender, planted.number);
    assert!(text.contains(&named), "{text}");
}

#[tokio::test]
async fn the_same_run_is_clean_when_nothing_is_swallowed() {
    let (output, report, planted) = run(None).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(planted.is_none());
    assert!(report.verdict.total.expected > SWALLOWED, "{text}");
    assert!(report.verdict.is_clean(), "{text}");
    // A machine that is too busy makes the figures invalid, which is no matter of what was lost.
    if report.validity.is_valid() {
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(text.starts_with("CLEAN: all "), "{text}");
    }
}

/// A run against a node of its own, through the proxy.
async fn run(swallowed: Option<u64>) -> (Output, Report, Option<Planted>) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = ClusterConfig::default()
        .unlimited()
        .with("HUBBUB_LIMITS_HEARTBEAT_INTERVAL", "1m")
        .with("HUBBUB_AUTH_TOKEN_SECRET", SECRET)
        .with("HUBBUB_LOG_LEVEL", "warn")
        .with("HUBBUB_TLS_MODE", "off");
    let mut node = Node::new("planted", folder.path(), &config.environment).expect("a node");
    done(&mut node.command(&["user", "add", "load", "--count", PEOPLE]));
    let minted = done(&mut node.command(&["token", "mint", "--user", "load", "--count", PEOPLE, "--ttl", "1h"]));
    fs::write(folder.path().join("tokens.txt"), minted.stdout).expect("written");
    node.start().await.expect("it starts");
    let proxy = Proxy::start(node.port, swallowed).expect("a proxy");
    let (folder, port) = (folder, proxy.port);
    let (output, folder) = tokio::task::spawn_blocking(move || (load(folder.path(), port), folder)).await.expect("ran");
    (output, report(&folder), proxy.planted())
}

fn load(folder: &Path, port: u16) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub-load"));
    command.args(["run", "smoke", "--url", &format!("ws://127.0.0.1:{port}"), "--tokens"]);
    command.arg(folder.join("tokens.txt")).arg("--json").arg(folder.join("report.json"));
    command.args(["--connections", PEOPLE, "--rate", "100", "--duration", "6s", "--set", "warmup=1s", "--no-screen"]);
    command.output().expect("it runs")
}

fn report(folder: &TempDir) -> Report {
    let file = File::open(folder.path().join("report.json")).expect("a report");
    serde_json::from_reader(file).expect("of the known form")
}

fn done(command: &mut Command) -> Output {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}
