//! Every port and HTTP path that somebody names is one that a node serves, or another program's that is known.

use std::collections::BTreeSet;

use super::{cells, files, lines, quoted};
use crate::tidy::Violation;
use crate::tidy::tree::Tree;

/// The page that the binary writes.
const CONFIGURATION: &str = "docs/configuration.md";

/// Where the routes are.
const SOURCE: &str = "crates/gateway/src/";

/// The keys whose defaults are our ports.
const LISTENERS: [&str; 2] = ["listen", "ops_listen"];

/// Ports of programs that a cluster stands beside.
const OTHER_PORTS: [(u32, &str); 17] = [
    (53, "DNS"),
    (80, "HTTP"),
    (443, "HTTPS"),
    (2019, "Caddy's own"),
    (3000, "Grafana"),
    (4317, "OTLP over gRPC"),
    (4318, "OTLP over HTTP"),
    (5432, "PostgreSQL"),
    (6379, "Redis"),
    (6432, "PgBouncer"),
    (8404, "HAProxy's statistics"),
    (9090, "Prometheus"),
    (9093, "Alertmanager"),
    (9100, "the load generator's figures"),
    (9101, "HAProxy's exporter"),
    (16379, "Redis Cluster's bus"),
    (26379, "Redis Sentinel"),
];

/// Hosts behind which a port of ours may stand.
const HOSTS: [&str; 4] = ["localhost:", "127.0.0.1:", "[::1]:", "0.0.0.0:"];

/// Words before a port.
const PORT_WORDS: [&str; 4] = ["containerPort:", "targetPort:", "port:", "EXPOSE "];

/// What probes of other programs are often called: here they are not.
const COMMON_MISTAKES: [&str; 3] = ["healthz", "healthcheck", "ws"];

/// Where clusters of many processes on one machine are described, each with ports of its own.
const MANY_NODES: [&str; 4] = ["docs/performance", "docs/reliability", "docs/load-testing.md", "docs/operations.md"];

/// Ports that nobody listens on.
pub(in crate::tidy) fn unknown_ports(tree: &Tree) -> Vec<Violation> {
    let own = own_ports(tree);
    if own.len() != LISTENERS.len() {
        return vec![Violation::new(CONFIGURATION, 0, "tells no ports of `listen` and `ops_listen`")];
    }
    let mut violations = Vec::new();
    for (path, text) in files(tree).filter(|(path, _)| !MANY_NODES.iter().any(|many| path.starts_with(many))) {
        // Who says where to listen may name that port elsewhere in the file.
        let told: BTreeSet<u32> = text.lines().filter(|line| says_where(line)).flat_map(numbers).collect();
        for (line, content) in lines(text) {
            for port in ports(content) {
                let is_other = OTHER_PORTS.iter().any(|(other, _)| *other == port);
                if !is_other && !own.contains(&port) && !told.contains(&port) {
                    violations.push(Violation::new(path, line, format!("nothing listens on port {port}")));
                }
            }
        }
    }
    violations
}

/// Where a receiver of traces listens (OTLP/HTTP): not a path of ours.
const OTHER_PATH: &str = "/v1/traces";

/// Paths that no listener answers.
pub(in crate::tidy) fn unknown_paths(tree: &Tree) -> Vec<Violation> {
    let routes = routes(tree);
    if routes.len() < 3 {
        return vec![Violation::new(SOURCE, 0, "has no routes that could be read")];
    }
    let firsts: BTreeSet<&str> =
        routes.iter().filter_map(|route| route.split('/').nth(1)).filter(|it| !it.is_empty()).collect();
    let mut violations = Vec::new();
    for (path, text) in files(tree) {
        for (line, content) in lines(text) {
            for found in paths(content, &firsts).filter(|found| is_unknown(&routes, found)) {
                violations.push(Violation::new(path, line, format!("no listener answers `{found}`")));
            }
        }
    }
    violations
}

fn is_unknown(routes: &[&str], path: &str) -> bool {
    path != OTHER_PATH && !routes.iter().any(|route| fits(route, path))
}

/// The defaults of our listeners.
fn own_ports(tree: &Tree) -> BTreeSet<u32> {
    let page = tree.text(CONFIGURATION).unwrap_or_default();
    let rows = page.lines().filter(|line| line.starts_with("| `")).map(cells);
    let ports = rows.filter_map(|cells| {
        let name = quoted(cells.first()?)?;
        let default = cells.get(2).filter(|_| LISTENERS.contains(&name))?;
        default.rsplit(':').next()?.trim_end_matches(['`', '"']).parse().ok()
    });
    ports.collect()
}

fn says_where(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    line.contains("listen") || line.contains("bind ")
}

/// Every number behind a colon.
fn numbers(line: &str) -> Vec<u32> {
    line.split(':').skip(1).filter_map(number).collect()
}

/// The number at the beginning of a text, if it can be a port.
fn number(text: &str) -> Option<u32> {
    let text = text.trim_start().trim_start_matches('"');
    let digits = &text[..text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len())];
    digits.parse().ok().filter(|port| (1..=65_535).contains(port) && digits.len() >= 2)
}

/// The ports that a line names as such.
fn ports(line: &str) -> BTreeSet<u32> {
    let behind = |start: &str| -> Vec<u32> {
        line.match_indices(start).filter_map(|(at, start)| number(&line[at + start.len()..])).collect()
    };
    let of_ours = line.match_indices("hubbub").filter_map(|(at, _)| {
        let host = &line[at..];
        let end =
            host.find(|character: char| !character.is_ascii_alphanumeric() && character != '-' && character != '.')?;
        number(host[end..].strip_prefix(':').filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))?)
    });
    let word = line.trim_start().trim_start_matches("- ");
    let declared = PORT_WORDS.iter().filter_map(|start| number(word.strip_prefix(start)?));
    HOSTS.into_iter().flat_map(behind).chain(of_ours).chain(declared).collect()
}

/// The templates of all routes, as the source says them.
fn routes(tree: &Tree) -> Vec<&str> {
    let sources = tree.texts().filter(|(path, _)| path.starts_with(SOURCE) && path.ends_with(".rs"));
    let calls = sources.flat_map(|(_, text)| [".route(", "const PATH: &str ="].map(|start| (text, start)));
    // The literal stands on the next line where the call is long.
    let literals = calls.flat_map(|(text, start)| {
        text.split(start).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
    });
    literals.collect()
}

/// Every path in a line whose first part is that of a route, or a common mistake.
fn paths<'a>(line: &'a str, firsts: &'a BTreeSet<&str>) -> impl Iterator<Item = &'a str> {
    line.match_indices('/').filter_map(|(at, _)| {
        if !begins(&line[..at]) && !line[at..].starts_with("/v1/") {
            return None;
        }
        let rest = &line[at..];
        let belongs = |character: char| character.is_ascii_alphanumeric() || "/_-.{}<>:*…".contains(character);
        let path =
            rest[..rest.find(|character| !belongs(character)).unwrap_or(rest.len())].trim_end_matches(['.', ':']);
        let first = path.split('/').nth(1)?;
        (firsts.contains(first) || COMMON_MISTAKES.contains(&first)).then_some(path)
    })
}

/// Whether a path may begin behind this: `docs/metrics` and `//metrics` are none of ours, `host:9443/metrics` is one.
fn begins(before: &str) -> bool {
    let host = before.trim_end_matches(|last: char| last.is_ascii_digit());
    if host.len() < before.len() {
        return host.ends_with(':');
    }
    !before.ends_with(|last: char| last.is_ascii_alphabetic() || "/._-~})*".contains(last))
}

/// Whether a path is one of this route, or the beginning of it.
fn fits(route: &str, path: &str) -> bool {
    let open = |part: &str| part.starts_with(['{', '<', ':', '*', '…']);
    let wanted: Vec<&str> = route.split('/').collect();
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    parts.len() <= wanted.len()
        && parts.iter().zip(&wanted).all(|(part, wanted)| part == wanted || open(part) || open(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(path: &str, text: &str) -> Vec<String> {
        let tree = Tree::planted(&[
            (
                CONFIGURATION,
                "| `listen` | a | `\"0.0.0.0:8443\"` | . |\n| `ops_listen` | a | `\"127.0.0.1:9443\"` | . |\n",
            ),
            (
                "crates/gateway/src/ops.rs",
                ".route(\"/readyz\", x).route(\"/metrics\", x).route(\n    \"/debug/rooms/{room}\", x)\n",
            ),
            ("crates/gateway/src/http/upgrade.rs", "pub(super) const PATH: &str = \"/v1/ws\";\n"),
            (path, text),
        ]);
        let all = [unknown_ports(&tree), unknown_paths(&tree)].concat();
        all.into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn places_that_are_not_there_are_found() {
        for (text, found) in [
            ("        containerPort: 8444", "nothing listens on port 8444"),
            ("  - targetPort: \"9444\"", "nothing listens on port 9444"),
            ("curl localhost:9445/readyz", "nothing listens on port 9445"),
            ("server: hubbub-1.hubbub:8445", "nothing listens on port 8445"),
            ("path: /healthz", "no listener answers `/healthz`"),
            ("curl http://localhost:9443/debug/room", "no listener answers `/debug/room`"),
            ("connect to wss://chat.example.org/v1/websocket", "no listener answers `/v1/websocket`"),
        ] {
            assert_eq!(judge("k8s/x.yaml", &format!("{text}\n")), [found], "{text}");
        }
    }

    #[test]
    fn places_that_are_there_pass() {
        for text in [
            "containerPort: 8443",
            "url: postgres://u@hubbub-db:5432/hubbub and redis:6379",
            "curl -k https://localhost:8443/v1/ws http://127.0.0.1:9443/debug/rooms/lobby, /debug/…",
            "HUBBUB_LISTEN: 0.0.0.0:7001\nport: 7001",
            "see docs/metrics.md, crates/gateway/src/metrics.rs and ./metrics/x",
            "mountPath: /etc/hubbub",
        ] {
            assert_eq!(judge("deploy/x.yml", &format!("{text}\n")), [""; 0], "{text}");
        }
    }

    #[test]
    fn silence_is_no_success() {
        assert_eq!(unknown_ports(&Tree::planted(&[])).len(), 1);
        assert_eq!(unknown_paths(&Tree::planted(&[])).len(), 1);
    }
}
