//! The chart and its plain form against the binary: every setting, command, port, path and metric that they name is there,
//! and nothing in them runs with more rights than it needs.
//!
//! Reads `k8s/plain`, which `cargo xtask generate` renders from the chart. Must never need Helm, Go or a cluster: those are
//! for `cargo xtask k8s`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Place, SECRET, address, http};

/// Where the chart puts the files of secrets.
const SECRETS: &str = "/run/secrets/hubbub/";

/// The chart gives nodes a secret for tokens; keys that an issuer publishes are not among its values.
const LEFT_OUT: &str = "auth.jwks_url";

/// What every cluster's configuration needs, as the mounted files hold it.
const FILES: [(&str, &str); 3] = [
    ("database-url", "postgres://hubbub:secret@db/hubbub\n"),
    ("redis-url", "redis://:secret@redis:6379\n"),
    ("auth-token-secret", SECRET),
];

fn kubernetes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/server of the workspace").join("k8s")
}

/// Every file below a folder with its text.
fn texts(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(texts(&path)),
            false => found.push((path.clone(), fs::read_to_string(&path).expect("text"))),
        }
    }
    found
}

/// The objects of `k8s/plain`.
fn objects() -> Vec<Value> {
    let files = texts(&kubernetes().join("plain"));
    let manifests = files.iter().filter(|(path, _)| path.extension().is_some_and(|ending| ending == "yaml"));
    let documents = manifests.flat_map(|(path, text)| {
        let read = serde_saphyr::from_multiple::<Value>(text);
        read.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    });
    documents.filter(|document| !document.is_null()).collect()
}

fn object(kind: &str, name: &str) -> Value {
    let mut all = objects().into_iter();
    let found = all.find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The pods' templates by what they are for.
fn pods() -> Vec<(String, Value)> {
    let templates = objects().into_iter().filter(|object| object["spec"]["template"].is_object());
    templates.map(|object| (object["kind"].to_string(), object["spec"]["template"]["spec"].clone())).collect()
}

/// A folder with the chart's configuration, its secrets in it, and the file's name.
fn configured() -> (Place, String) {
    let place = Place::new();
    let text = object("ConfigMap", "hubbub")["data"]["hubbub.toml"].as_str().expect("hubbub.toml").to_owned();
    let local = text.replace(SECRETS, &format!("{}/", place.path("").display()));
    assert_ne!(text, local, "the secrets are read from {SECRETS}");
    for (name, content) in FILES {
        place.write(name, content);
    }
    place.write("node.toml", &local);
    (place, "node.toml".to_owned())
}

/// The effective value of each key, with the variables of a node's container.
fn settings() -> Value {
    let (place, file) = configured();
    let deployment = object("Deployment", "hubbub");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let variables: Vec<(&str, &str)> = items(&container["env"])
        .iter()
        .map(|variable| (variable["name"].as_str().expect("a name"), variable["value"].as_str().unwrap_or("node-1")))
        .collect();
    let checked = place.run_with(&variables, &["config", "check", "--config", &file], "");
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    assert!(!checked.stderr.contains("warning"), "{}", checked.stderr);
    let shown = place.run_with(&variables, &["config", "show", "--json", "--config", &file], "");
    let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    shown["settings"].clone()
}

#[test]
fn the_binary_takes_the_configuration_and_every_variable() {
    let settings = settings();
    let value = |key: &str| settings[key]["value"].clone();
    assert_eq!(value("node.name"), "node-1", "the pod's name");
    assert_eq!(value("database.migrate"), false, "the Job does it");
    for key in ["database.url", "redis.url", "auth.token_secret"] {
        assert!(settings[key]["source"].to_string().contains("node.toml"), "{key}: {}", settings[key]);
    }
}

#[test]
fn commands_and_flags_of_containers_are_those_of_the_binary() {
    let place = Place::new();
    let mut commands = BTreeSet::new();
    for (_, pod) in pods() {
        for container in items(&pod["containers"]) {
            let words: Vec<&str> = items(&container["args"]).iter().filter_map(Value::as_str).collect();
            let help = place.run(&[words[0], "--help"]);
            assert_eq!(help.code, 0, "{words:?}: {}", help.stderr);
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                assert!(help.stdout.contains(&format!("{flag} ")), "{words:?}: no {flag}");
            }
            commands.insert(words[0].to_owned());
        }
    }
    assert_eq!(commands.into_iter().collect::<Vec<_>>(), ["migrate", "serve"]);
}

#[test]
fn ports_and_paths_are_those_of_a_running_node() {
    let settings = settings();
    let port = |key: &str| {
        let address = settings[key]["value"].as_str().expect("an address").to_owned();
        assert!(address.starts_with("0.0.0.0:"), "{key}: {address} is not reachable from outside of the pod");
        address.rsplit(':').next().and_then(|port| port.parse::<u64>().ok()).expect("a port")
    };
    let (_, pod) = pods().into_iter().find(|(kind, _)| kind.contains("Deployment")).expect("the Deployment");
    let container = &pod["containers"][0];
    let ports: Vec<(&str, u64)> = items(&container["ports"])
        .iter()
        .map(|port| (port["name"].as_str().expect("a name"), port["containerPort"].as_u64().expect("a number")))
        .collect();
    assert_eq!(ports, [("clients", port("listen")), ("ops", port("ops_listen"))]);
    for service in ["hubbub", "hubbub-ops"] {
        for found in items(&object("Service", service)["spec"]["ports"]) {
            assert!(ports.iter().any(|(name, _)| found["targetPort"] == *name), "{service}: {found}");
        }
    }
    let place = Place::new();
    let mut node = place.serve(&[]);
    let ops = address(&node.wait_for("serving"), "ops");
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let get = &container[probe]["httpGet"];
        assert_eq!(get["port"], "ops", "{probe}");
        let path = get["path"].as_str().expect("a path");
        assert_eq!(http(ops, &format!("GET {path}"), "").0, 200, "{probe}: {path}");
    }
    let monitor = fs::read_to_string(kubernetes().join("hubbub/templates/service-monitor.yaml")).expect("a template");
    assert!(monitor.contains("path: /metrics\n") && monitor.contains("port: ops\n"), "{monitor}");
    assert_eq!(http(ops, "GET /metrics", "").0, 200);
}

#[test]
fn every_metric_in_the_chart_is_one_of_the_binary() {
    let place = Place::new();
    let mut node = place.serve(&[]);
    let ops = address(&node.wait_for("serving"), "ops");
    let (_, metrics) = http(ops, "GET /metrics", "");
    let mut found = 0;
    // The alerts and the dashboard have tests of their own beside them.
    let mut files = texts(&kubernetes().join("hubbub/templates"));
    files.push((PathBuf::new(), fs::read_to_string(kubernetes().join("prometheus-adapter.yaml")).expect("the rule")));
    for (path, text) in files {
        for word in text.split(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '_')) {
            if word.starts_with("hubbub_") {
                found += 1;
                let known = metrics.lines().any(|line| line.starts_with(&format!("# TYPE {word} ")));
                assert!(known, "{}: the binary has no metric `{word}`", path.display());
            }
        }
    }
    assert!(found >= 4, "only {found} metrics: the autoscalers and the rule of the adapter name one each");
}

#[test]
fn a_pod_has_longer_than_a_drain_and_the_rollout_takes_nobody_away() {
    let deployment = object("Deployment", "hubbub");
    let pod = &deployment["spec"]["template"]["spec"];
    let timeout = settings()["drain.timeout"]["value"].as_str().expect("a duration").to_owned();
    let timeout: u64 = timeout.strip_suffix('s').and_then(|number| number.parse().ok()).expect("in seconds");
    let hook = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().expect("the hook");
    let granted = pod["terminationGracePeriodSeconds"].as_u64().expect("seconds");
    assert!(granted > hook + timeout, "{granted} s for a hook of {hook} s and a drain of {timeout} s");
    let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
    assert_eq!((&rolling["maxSurge"], &rolling["maxUnavailable"]), (&1.into(), &0.into()));
}

#[test]
fn no_pod_has_more_rights_than_it_needs() {
    let pods = pods();
    assert!(pods.len() >= 2, "nodes and the migration");
    for (kind, pod) in pods {
        assert_eq!(pod["automountServiceAccountToken"], false, "{kind}");
        assert_eq!(pod["enableServiceLinks"], false, "{kind}: HUBBUB_SERVICE_HOST would be a variable of ours");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{kind}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{kind}");
        for container in items(&pod["containers"]) {
            let rights = &container["securityContext"];
            assert_eq!(rights["readOnlyRootFilesystem"], true, "{kind}");
            assert_eq!(rights["allowPrivilegeEscalation"], false, "{kind}");
            assert_eq!(rights["capabilities"]["drop"], serde_json::json!(["ALL"]), "{kind}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{kind}: `admission.memory_max` needs it");
        }
    }
    let policy = object("NetworkPolicy", "hubbub");
    let ops = items(&policy["spec"]["ingress"]).iter().find(|rule| rule["ports"][0]["port"] == "ops").expect("a rule");
    let from = &ops["from"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"];
    assert_eq!((from, items(&ops["from"]).len()), (&"monitoring".into(), 1), "the ops port is for one namespace");
}

#[test]
fn the_schema_knows_the_keys_of_the_binary_and_the_chart_its_secrets() {
    let reference = Place::new().run(&["config", "reference", "--json"]);
    let reference: Value = serde_json::from_str(&reference.stdout).expect("JSON");
    let keys: Vec<(&str, bool)> = items(&reference["keys"])
        .iter()
        .map(|key| (key["path"].as_str().expect("a path"), key["secret"] == true))
        .collect();
    let schema = fs::read_to_string(kubernetes().join("hubbub/values.schema.json")).expect("the schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let mut known = BTreeSet::new();
    for (name, value) in schema["$defs"]["config"]["properties"].as_object().expect("properties") {
        match value["properties"].as_object() {
            Some(group) => known.extend(group.keys().map(|key| format!("{name}.{key}"))),
            None => known.extend([name.clone()]),
        }
    }
    for path in &known {
        assert!(keys.contains(&(path, false)), "values.schema.json: the binary has no key `{path}` that is no secret");
    }
    let config = fs::read_to_string(kubernetes().join("hubbub/templates/_config.tpl")).expect("the template");
    for (path, _) in keys.iter().filter(|(_, secret)| *secret) {
        assert!(config.contains(&format!("\"{path}\"")), "_config.tpl: the secret `{path}` cannot be given");
    }
    let missing: Vec<&str> = keys
        .iter()
        .map(|(path, _)| *path)
        .filter(|path| *path != LEFT_OUT && !known.contains(*path) && !config.contains(path_end(path)))
        .collect();
    assert!(missing.is_empty(), "neither in the schema nor written by the chart: {missing:?}");
}

/// The name of a key in its group.
fn path_end(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}
