//! The files in which the binary is shipped, read as their programs read them: docker-compose.yml and the Dockerfile.
//!
//! Must never judge them; the tests beside do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where the compose file says that the nodes find what the service `secrets` makes.
const SECRETS: &str = "/run/hubbub/node/";

/// The top of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/server of the workspace").to_path_buf()
}

/// The text of a file, by its path from the top.
pub(crate) fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// docker-compose.yml with its merge keys and the defaults of its variables put in.
pub(crate) struct Compose {
    pub(crate) whole: Value,
}

/// One of its services.
pub(crate) struct Service<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a Value,
}

impl Compose {
    pub(crate) fn read() -> Self {
        let text = interpolate(&text("docker-compose.yml"));
        Self { whole: serde_saphyr::from_str(&text).expect("docker-compose.yml is YAML") }
    }

    pub(crate) fn services(&self) -> Vec<Service<'_>> {
        let services = self.whole["services"].as_object().expect("services");
        services.iter().map(|(name, value)| Service { name, value }).collect()
    }

    pub(crate) fn service(&self, name: &str) -> Service<'_> {
        let found = self.services().into_iter().find(|service| service.name == name);
        found.unwrap_or_else(|| panic!("no service {name}"))
    }

    /// The services that run this repository's image.
    pub(crate) fn hubbubs(&self) -> Vec<Service<'_>> {
        self.services().into_iter().filter(|service| service.image().starts_with("hubbub:")).collect()
    }

    /// Those of them that are nodes.
    pub(crate) fn nodes(&self) -> Vec<Service<'_>> {
        self.hubbubs().into_iter().filter(|service| service.name.starts_with("node")).collect()
    }
}

impl Service<'_> {
    pub(crate) fn image(&self) -> &str {
        self.value["image"].as_str().expect("an image")
    }

    /// Ends by itself when its work is done.
    pub(crate) fn is_one_shot(&self) -> bool {
        self.value["restart"] == "no"
    }

    /// The environment as the file gives it.
    pub(crate) fn environment(&self) -> BTreeMap<&str, String> {
        let settings = self.value["environment"].as_object().into_iter().flatten();
        // A port that was put in is a number here.
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        settings.map(|(name, value)| (name.as_str(), text(value))).collect()
    }

    /// The settings of a node, with its secrets found in this folder.
    pub(crate) fn settings(&self, folder: &Path) -> BTreeMap<String, String> {
        let folder = format!("{}/", folder.display());
        let settings = self.environment().into_iter().filter(|(name, _)| name.starts_with("HUBBUB_"));
        settings.map(|(name, value)| (name.to_owned(), value.replace(SECRETS, &folder))).collect()
    }

    /// The words of a list, such as `command` or `networks`.
    pub(crate) fn words(&self, key: &str) -> Vec<&str> {
        words(&self.value[key])
    }
}

/// The texts of a list; none when it is not there.
pub(crate) fn words(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The text with the default of each `${NAME:-default}`, and without the second dollar of `$$`.
fn interpolate(text: &str) -> String {
    let mut whole = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        whole += &rest[..at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            whole.push('$');
            rest = after;
            continue;
        }
        let (expression, after) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).expect("${…}");
        let (_, default) = expression.split_once(":-").unwrap_or_else(|| panic!("${{{expression}}} has no default"));
        whole += default;
        rest = after;
    }
    whole + rest
}

/// The instructions of the Dockerfile, each on one line, without comments.
pub(crate) fn dockerfile() -> Vec<(String, String)> {
    let text = text("deploy/docker/Dockerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let instructions = joined.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
    instructions.map(|(word, rest)| (word.to_owned(), rest.trim().to_owned())).collect()
}

/// The values of one instruction of the Dockerfile, in their order.
pub(crate) fn instructions(word: &str) -> Vec<String> {
    dockerfile().into_iter().filter(|(found, _)| found == word).map(|(_, rest)| rest).collect()
}
