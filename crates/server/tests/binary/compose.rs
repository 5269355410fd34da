//! docker-compose.yml and the Dockerfile against the binary and the repository: every setting, command, flag, port and
//! path that they name is there, and nothing in them runs with more rights than it needs.
//!
//! Must never need Docker: what only a running cluster shows is in deploy/docker/README.md.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::shipped::{Compose, Service, dockerfile, instructions, root, text, words};
use crate::support::{Place, SECRET};

/// A folder with everything that the service `secrets` makes for nodes.
fn secrets() -> Place {
    let place = Place::new();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    place.write("cert.pem", &certificate.cert.pem());
    place.write("key.pem", &certificate.signing_key.serialize_pem());
    place.write("token_secret", &format!("{SECRET}\n"));
    place.write("database_url", "postgres://hubbub:secret@postgres:5432/hubbub\n");
    place.write("redis_url", "redis://:secret@redis:6379\n");
    place
}

/// What the binary makes of the settings of a service.
fn shown(place: &Place, service: &Service<'_>) -> Value {
    let settings = service.settings(&place.path(""));
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let checked = place.run_with(&settings, &["config", "check"], "");
    assert_eq!(checked.code, 0, "{}: {}", service.name, checked.stderr);
    assert!(!checked.stderr.contains("warning"), "{}: {}", service.name, checked.stderr);
    place.shown(&settings, &[])
}

/// Seconds of a duration such as `45s`.
fn seconds(duration: &Value) -> u64 {
    let text = duration.as_str().expect("a duration");
    text.strip_suffix('s').and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text} is not in seconds"))
}

fn port(address: &Value) -> String {
    address.as_str().and_then(|address| address.rsplit_once(':')).expect("an address").1.to_owned()
}

#[test]
fn the_binary_takes_every_setting_of_every_service() {
    let (compose, place) = (Compose::read(), secrets());
    assert_eq!(compose.nodes().len(), 3);
    for service in compose.hubbubs() {
        let settings = shown(&place, &service);
        assert_eq!(settings["database.migrate"]["value"], false, "{}: `migrate` does it", service.name);
        for (name, value) in service.settings(&place.path("")) {
            assert!(!value.starts_with("/run/"), "{name}: {value} is not where secrets are made for nodes");
        }
    }
    for variable in instructions("ENV") {
        let checked = place.run_with(&[variable.split_once('=').expect("a value")], &["config", "check"], "");
        assert!(checked.code == 0 && !checked.stderr.contains("warning"), "{variable}: {}", checked.stderr);
    }
    let names: BTreeSet<String> =
        compose.nodes().iter().map(|node| shown(&place, node)["node.name"]["value"].to_string()).collect();
    assert_eq!(names.len(), 3, "every node has a name of its own");
}

#[test]
fn a_node_has_more_time_to_stop_than_it_takes_to_drain() {
    let (compose, place) = (Compose::read(), secrets());
    for node in compose.nodes() {
        let drain = seconds(&shown(&place, &node)["drain.timeout"]["value"]);
        assert!(seconds(&node.value["stop_grace_period"]) > drain, "{}", node.name);
    }
}

#[test]
fn balancer_prometheus_and_image_name_the_ports_of_the_nodes() {
    let (compose, place) = (Compose::read(), secrets());
    let (balancer, prometheus) = (text("deploy/docker/haproxy.cfg"), text("deploy/docker/prometheus.yml"));
    for node in compose.nodes() {
        let settings = shown(&place, &node);
        let clients = port(&settings["listen"]["value"]);
        let operators = port(&settings["ops_listen"]["value"]);
        assert!(balancer.contains(&format!("server {0} {0}:{clients}\n", node.name)), "{}", node.name);
        assert!(balancer.contains(&format!("check port {operators} ")));
        assert!(prometheus.contains(&format!("{}:{operators}", node.name)), "{}", node.name);
        assert_eq!(instructions("EXPOSE"), [clients]);
    }
    let servers = balancer.lines().filter(|line| line.trim_start().starts_with("server ")).count();
    assert_eq!(servers, compose.nodes().len());
}

#[test]
fn only_the_balancer_is_published_to_other_machines() {
    let compose = Compose::read();
    for service in compose.services() {
        for published in service.words("ports") {
            let is_local = published.starts_with("127.0.0.1:");
            assert!(is_local != (service.name == "balancer"), "{}: {published}", service.name);
        }
        let publishes = !service.words("ports").is_empty();
        assert_eq!(publishes, ["balancer", "prometheus", "grafana"].contains(&service.name), "{}", service.name);
    }
    for network in ["nodes", "storage"] {
        assert_eq!(compose.whole["networks"][network]["internal"], true, "{network}");
    }
}

#[test]
fn proxy_headers_are_believed_from_the_network_of_the_balancer_alone() {
    let (compose, place) = (Compose::read(), secrets());
    let subnet = &compose.whole["networks"]["nodes"]["ipam"]["config"][0]["subnet"];
    assert!(subnet.is_string());
    assert!(text("deploy/docker/haproxy.cfg").contains("send-proxy-v2"));
    for node in compose.nodes() {
        assert_eq!(shown(&place, &node)["proxy.trusted"]["value"], Value::from(vec![subnet.clone()]), "{}", node.name);
    }
}

/// `hubbub` lines of a script or a health check, each as the words behind the name.
fn calls(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("\\\n", " ");
    let mut calls = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        for call in line.split(" hubbub ").skip(1).chain(line.strip_prefix("hubbub ")) {
            let end = call.find(['|', ';', '<', '>', '`', ')']).unwrap_or(call.len());
            calls.push(call[..end].split_whitespace().map(str::to_owned).collect());
        }
    }
    calls
}

#[test]
fn every_command_and_flag_exists() {
    let compose = Compose::read();
    let mut found: Vec<Vec<String>> = Vec::new();
    for service in compose.hubbubs() {
        let words = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect::<Vec<_>>();
        if service.value["entrypoint"].is_null() && !service.value["command"].is_null() {
            found.push(words(service.words("command")));
        }
        if let ["CMD", "hubbub", rest @ ..] = words_of_check(&service).as_slice() {
            found.push(words(rest.to_vec()));
        }
    }
    found.extend(calls(&text("deploy/docker/welcome.sh")));
    let [entry, command] = ["ENTRYPOINT", "CMD"].map(|word| instructions(word).pop().expect(word));
    assert_eq!(entry, r#"["hubbub"]"#);
    found.push(serde_json::from_str(&command).expect("a list"));
    let check = instructions("HEALTHCHECK").pop().expect("a health check");
    let check: Vec<String> = serde_json::from_str(check.split_once("CMD ").expect("CMD").1).expect("a list");
    found.push(check[1..].to_vec());
    for call in ["config check", "migrate", "user list", "user add", "chat", "health", "serve"] {
        assert!(found.iter().any(|words| words.join(" ").starts_with(call)), "nobody calls {call}: {found:?}");
    }

    let place = Place::new();
    for words in found {
        let is_plain = |word: &&String| word.chars().all(|sign| sign.is_ascii_lowercase());
        let mut args: Vec<&str> = words.iter().take_while(is_plain).map(String::as_str).collect();
        args.push("--help");
        let help = place.run(&args);
        assert_eq!(help.code, 0, "{words:?}: {}", help.stderr);
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.stdout.contains(&format!("{flag} ")) || help.stdout.contains(&format!("{flag}\n")), "{flag}");
        }
    }
}

fn words_of_check<'a>(service: &'a Service<'_>) -> Vec<&'a str> {
    words(&service.value["healthcheck"]["test"])
}

/// A version in the tag, and nothing that moves: `17.5-bookworm`, not `17` nor `latest`.
fn is_pinned(image: &str) -> bool {
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    let version = tag.trim_start_matches('v').split('-').next().unwrap_or_default();
    let numbers: Vec<&str> = version.split('.').collect();
    numbers.len() >= 2 && numbers.iter().all(|number| number.parse::<u32>().is_ok())
}

#[test]
fn every_image_is_pinned_and_ours_is_of_this_version() {
    for moving in ["debian", "debian:latest", "debian:bookworm-slim", "postgres:17", "a.b/c:1/d"] {
        assert!(!is_pinned(moving), "{moving}");
    }
    let compose = Compose::read();
    for service in compose.services() {
        assert!(is_pinned(service.image()), "{}: {}", service.name, service.image());
    }
    let version = env!("CARGO_PKG_VERSION");
    for service in compose.hubbubs() {
        assert_eq!(service.image(), format!("hubbub:{version}"), "{}", service.name);
    }
    assert!(instructions("ARG").contains(&format!("VERSION={version}")));
    let stages: Vec<String> = instructions("FROM");
    let mut named = BTreeSet::new();
    for stage in &stages {
        let (base, name) = stage.split_once(" AS ").expect("every stage has a name");
        assert!(named.contains(base) || is_pinned(base), "{stage}");
        named.insert(name);
    }
    assert!(stages.len() >= 3, "{stages:?}");
    let tools = text("deploy/docker/Dockerfile");
    assert_eq!(tools.matches("cargo install").count(), 1);
    let installed = tools.lines().find(|line| line.contains("RUN cargo install")).expect("tools");
    let crates: Vec<&str> = installed.split_whitespace().filter(|word| word.starts_with("cargo-")).collect();
    assert!(crates.len() > 1 && crates.iter().all(|name| name.contains('@')), "{crates:?}");
}

#[test]
fn every_file_that_is_mounted_or_copied_is_in_the_repository() {
    let mut mounted = 0;
    for service in Compose::read().services() {
        for volume in service.value["volumes"].as_array().into_iter().flatten() {
            let Some(source) = volume["source"].as_str() else {
                let name = volume.as_str().and_then(|volume| volume.split_once(':')).expect("a named volume").0;
                assert!(!Compose::read().whole["volumes"][name].is_null(), "{}: {name}", service.name);
                continue;
            };
            assert!(root().join(source).is_file(), "{}: {source}", service.name);
            assert_eq!(volume["bind"]["create_host_path"], false, "{source}: a missing file must not become a folder");
            assert_eq!(volume["read_only"], true, "{source}");
            mounted += 1;
        }
    }
    assert!(mounted > 5, "{mounted}");
    let ignored = text(".dockerignore");
    assert_eq!(ignored.lines().find(|line| !line.starts_with('#')), Some("*"), "what is sent is listed");
    for sent in ignored.lines().filter_map(|line| line.strip_prefix("!/")) {
        assert!(root().join(sent).exists(), "{sent}");
    }
    assert!(ignored.contains("!/LICENSE") && dockerfile().iter().any(|(_, rest)| rest.contains("LICENSE")));
}

#[test]
fn nobody_runs_with_more_than_it_needs() {
    for Service { name, value } in Compose::read().services() {
        assert_eq!(value["read_only"], true, "{name}");
        assert_eq!(value["cap_drop"], Value::from(vec!["ALL"]), "{name}");
        assert_eq!(value["security_opt"], Value::from(vec!["no-new-privileges:true"]), "{name}");
        assert!(value["privileged"].is_null() && value["pid"].is_null(), "{name}");
        assert_eq!(value["cap_add"].is_null(), name != "secrets", "{name}");
        let limits = &value["deploy"]["resources"]["limits"];
        for limit in ["cpus", "memory", "pids"] {
            assert!(!limits[limit].is_null(), "{name}: {limit}");
        }
        assert!(!value["logging"]["options"]["max-size"].is_null(), "{name}");
    }
    let user = instructions("USER").pop().expect("a user");
    let (user, group) = user.split_once(':').expect("user and group");
    assert!(user == group && user.parse::<u32>().is_ok_and(|user| user > 1000), "{user}:{group}");
    let script = text("deploy/docker/secrets.sh");
    assert!(script.contains(&format!("node={user}:{group}")), "secrets are for the user of the image");
}

#[test]
fn everything_that_stays_is_watched_and_waited_for() {
    let compose = Compose::read();
    for service in compose.services() {
        let check = words_of_check(&service);
        assert_eq!(check.is_empty(), service.is_one_shot(), "{}: a health check", service.name);
        for (other, how) in service.value["depends_on"].as_object().into_iter().flatten() {
            let other = compose.service(other);
            let expected = if other.is_one_shot() { "service_completed_successfully" } else { "service_healthy" };
            assert_eq!(how["condition"], expected, "{} waits for {}", service.name, other.name);
        }
        // Nothing but the making of secrets runs before the settings are known to be good.
        let waits = service.value["depends_on"].as_object().is_some_and(|others| !others.is_empty());
        assert_eq!(waits, service.name != "secrets", "{}", service.name);
    }
}

#[test]
fn scripts_are_given_every_variable_that_they_use() {
    let compose = Compose::read();
    for name in ["secrets", "welcome"] {
        let service = compose.service(name);
        let given = service.environment();
        let script = text(&format!("deploy/docker/{name}.sh"));
        let is_name = |sign: char| sign.is_ascii_uppercase() || sign == '_';
        let mut used = 0;
        for after in script.split('$').skip(1).map(|after| after.trim_start_matches('{')) {
            let variable = &after[..after.find(|sign| !is_name(sign)).unwrap_or(after.len())];
            assert!(variable.is_empty() || given.contains_key(variable), "{name}.sh: {variable}");
            used += usize::from(!variable.is_empty());
        }
        assert!(used > 0, "{name}.sh");
    }
}

#[test]
fn no_secret_stands_in_the_file() {
    for service in Compose::read().services() {
        for (name, value) in service.environment() {
            let is_secret = ["PASSWORD", "SECRET", "TOKEN", "_URL"].iter().any(|word| name.contains(word));
            let is_public = name == "HUBBUB_PUBLIC_URL";
            assert!(!is_secret || is_public || value.starts_with("/run/hubbub/"), "{}: {name}", service.name);
        }
    }
}
