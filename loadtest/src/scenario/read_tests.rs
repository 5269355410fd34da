//! Good and bad scenarios.

use super::*;

fn complaints(text: &str, overrides: &[(&str, &str)]) -> Vec<String> {
    let overrides: Vec<_> = overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mistakes = read("mine", text, &overrides).expect_err("mistakes");
    mistakes.iter().map(ToString::to_string).collect()
}

fn with(text: &str, overrides: &[(&str, &str)]) -> Scenario {
    let overrides: Vec<_> = overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    read("mine", text, &overrides).expect("a scenario")
}

#[test]
fn one_line_is_enough() {
    let scenario = with("connections.count = 10\n", &[]);
    assert_eq!((scenario.connections.count, scenario.rooms.count, scenario.messages.per_second), (10, 1, 0.0));
    assert_eq!((scenario.duration, scenario.name.as_str()), (Duration::from_secs(30), "mine"));
    assert_eq!(scenario.messages.body, Sizes::Fixed(128));
    assert_eq!((scenario.storm, scenario.stages.len()), (None, 0));
}

#[test]
fn everything_can_be_said() {
    let scenario = with(
        "about = \"all\"\nduration = \"1m\"\nwarmup = \"1s\"\nsettle = 0\n\
         [connections]\ncount = 1_000\nper_second = 50.5\nhandshakes_max = 9\nchurn_per_second = 2\n\
         [rooms]\nsize = 10\nper_connection = 2\npopularity = { zipf = 1.2 }\n\
         [messages]\nthink = \"10s\"\nsenders_per_room = 1\narrivals = \"even\"\nbody = { min = 64, max = \"4KiB\" }\n\
         [actions]\ntyping_per_second = 1\nread_per_second = 2\npage_per_second = 3\n\
         [[stages]]\nduration = \"20s\"\nmessages_per_second = 7\n\
         [storm]\nat = \"10s\"\nshare = \"50%\"\nper_second = 100\n\
         [hostile]\nslow_readers = 1\nslow_bytes_per_second = 2\nflooders = 3\nflood_per_second = 4\nhalf_open = 5\n",
        &[],
    );
    assert_eq!((scenario.rooms.count, scenario.rooms.popularity), (200, Popularity::Zipf { exponent: 1.2 }));
    assert_eq!(scenario.messages.per_second, 20.0);
    assert_eq!(scenario.messages.body, Sizes::Uniform { min: 64, max: 4_096 });
    assert_eq!(scenario.storm, Some(Storm { at: Duration::from_secs(10), share: 0.5, per_second: 100.0 }));
    assert_eq!(scenario.hostile.count(), 9);
    assert_eq!(scenario.settle, Duration::ZERO);
}

/// More than ten mistakes of as many kinds, all told at once, each with its place.
#[test]
fn all_mistakes_are_told_at_once() {
    let text = "\
duration = \"20\"
warmpu = \"2s\"
[connections]
count = 0
per_second = -1
[rooms]
count = 5
size = 10
per_connection = 6
popularity = \"pareto\"
[messages]
per_second = 10
think = \"1s\"
arrivals = 3
body = 10
[storm]
at = \"99d\"
share = \"150%\"
[hostile]
flooders = 1.5
[typing]
per_second = 3
";
    assert_eq!(
        complaints(text, &[]),
        [
            r#"mine.toml:1:1: `duration`: expected a duration such as "500ms", "20s" or "5m", from 100ms to 7 days; not "20""#,
            "mine.toml:2:1: `warmpu`: there is no such key; did you mean `warmup`?",
            "mine.toml:4:1: `connections.count`: expected a whole number from 1 to 2000000; not 0",
            "mine.toml:5:1: `connections.per_second`: expected a number from 0 to 10000000; not -1",
            "mine.toml:8:1: `rooms.size`: `rooms.count` says it already; one of them is enough",
            "mine.toml:9:1: `rooms.per_connection`: nobody can follow 6 of 1 rooms",
            r#"mine.toml:10:1: `rooms.popularity`: expected "uniform", "zipf" or { zipf = EXPONENT } with an exponent from 0 to 3; not "pareto""#,
            "mine.toml:13:1: `messages.think`: `messages.per_second` says it already; one of them is enough",
            r#"mine.toml:14:1: `messages.arrivals`: expected "poisson" or "even"; not 3"#,
            r#"mine.toml:15:1: `messages.body`: expected bytes such as 128 or "4KiB", from 48 (the mark of a message) to 1 MiB; not 10"#,
            r#"mine.toml:17:1: `storm.at`: expected a duration such as "500ms", "20s" or "5m", from 0ns to 7 days; not "99d""#,
            r#"mine.toml:18:1: `storm.share`: expected a share such as "5%" or 0.05; not "150%""#,
            "mine.toml:20:1: `hostile.flooders`: expected a whole number from 0 to 2000000; not 1.5",
            "mine.toml:22:1: `typing.per_second`: there is no such key",
        ]
    );
}

#[test]
fn figures_that_contradict_each_other() {
    let text = "duration = \"10s\"\n[connections]\ncount = 5\nat_start = 6\n[storm]\nat = \"10s\"\n\
                [[stages]]\nduration = \"20s\"\nconnections = 7\n[[stages]]\nconnections = 1\n";
    assert_eq!(
        complaints(text, &[]),
        [
            "mine.toml: `stages.1.duration`: every stage says how long it lasts",
            "mine.toml:3:1: `connections.count`: 5 are the most there can be, but a stage wants 7",
            "mine.toml:4:1: `connections.at_start`: only 5 are there at the most",
            "mine.toml:6:1: `storm.at`: the run is over after 10s",
            "mine.toml:9:1: `stages`: they last 20s together, the run only 10s",
        ]
    );
    let nobody = complaints("messages.per_second = 1\n", &[]);
    assert_eq!(nobody, ["mine.toml: `connections.count`: it has to be said how many there are"]);
    let many = complaints("connections.count = 2000000\nhostile.half_open = 1\n", &[]);
    assert_eq!(many, ["mine.toml:1:13: `connections.count`: with the hostile ones there are more than 2000000"]);
}

#[test]
fn what_is_no_toml_has_a_place() {
    let found = complaints("connections.count = 1\nrooms = = 2\n", &[]);
    assert!(found[0].starts_with("mine.toml:2:") && found[0].contains("this is no TOML"), "{found:?}");
    let found = complaints("connections = 5\nstages = 3\n", &[]);
    assert!(
        found[1].starts_with("mine.toml:1:1: `connections`: this is a group of keys (connections.count, "),
        "{found:?}"
    );
    assert!(found.iter().any(|line| line.starts_with("mine.toml:2:1: `stages`: this is a group")), "{found:?}");
}

#[test]
fn flags_come_first_and_are_named_in_their_mistakes() {
    let text = "connections.count = 10\nrooms.size = 5\n[messages]\nthink = \"1s\"\nbody = { min = 64 }\n\
                [[stages]]\nduration = \"5s\"\nmessages_per_second = 1\n";
    let scenario = with(
        text,
        &[
            ("connections.count", "1_000"),
            ("rooms.count", "4"),
            ("messages.per_second", "2.5"),
            ("messages.body", "4KiB"),
            ("stages.0.duration", "9s"),
        ],
    );
    assert_eq!((scenario.connections.count, scenario.rooms.count, scenario.messages.per_second), (1_000, 4, 2.5));
    assert_eq!((scenario.messages.body, scenario.stages[0].duration), (Sizes::Fixed(4_096), Duration::from_secs(9)));
    assert_eq!(with(text, &[("messages.body.max", "99")]).messages.body, Sizes::Uniform { min: 64, max: 99 });
    assert_eq!(
        complaints(text, &[("connections.cuont", "1"), ("rooms.size", "none"), ("stages.7.duration", "1s")]),
        [
            "--set connections.cuont=1: `connections.cuont`: there is no such key; did you mean `connections.count`?",
            r#"--set rooms.size=none: `rooms.size`: expected a whole number from 1 to 2000000; not "none""#,
            "--set stages.7.duration=1s: `stages.7`: there are 1 stages, counted from 0",
        ]
    );
}
