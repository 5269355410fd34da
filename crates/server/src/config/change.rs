//! From one configuration of a running node to the next: what changes at once, and what waits for a restart.
//!
//! Must never leave a mixture behind that could not have been loaded as a whole.

use std::path::PathBuf;

use super::check;
use super::file;
use super::keys::{KEYS, Key};
use super::load::Given;
use super::problem::Problems;
use super::{Loaded, Purpose};

/// The keys in which two configurations differ.
#[derive(Default)]
pub(crate) struct Changes {
    /// The node has taken the new value.
    pub(crate) at_once: Vec<&'static Key>,
    /// The node goes on with the old value.
    pub(crate) at_restart: Vec<&'static Key>,
}

impl Loaded {
    /// This configuration with everything from `new` that can change while a node runs.
    ///
    /// # Errors
    /// What is impossible together: a new value that can change with an old one that cannot.
    pub(crate) fn changed_to(&self, new: &Self) -> Result<(Self, Changes), Problems> {
        let mut next = Self { config: self.config.clone(), sources: new.sources.clone(), ..new.clone() };
        let mut changes = Changes::default();
        for key in KEYS {
            let differs = (key.read)(&self.config) != (key.read)(&new.config);
            if key.live {
                (key.copy)(&mut next.config, &new.config);
                changes.at_once.extend(differs.then_some(key));
            } else if differs {
                next.sources.remove(key.path);
                next.sources.extend(self.sources.get_key_value(key.path).map(|(path, source)| (*path, source.clone())));
                changes.at_restart.push(key);
            }
        }
        let mut found = Problems::default();
        check::run(&next, Purpose::Serve, &mut found);
        if found.problems.is_empty() { Ok((next, changes)) } else { Err(Problems { files: next.files, ..found }) }
    }
}

impl Given {
    /// Every file that the configuration may come from, with those that it names.
    pub(crate) fn files(&self, named: &[PathBuf]) -> Vec<PathBuf> {
        file::places(self.file.as_deref()).into_iter().chain(named.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;
    use crate::config::problem::Source;

    fn loaded(variables: &[(&str, &str)]) -> Loaded {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let given = Given { file: None, flags: Vec::new(), variables };
        load(&given, Purpose::Serve).expect("possible")
    }

    fn paths(keys: &[&'static Key]) -> Vec<&'static str> {
        keys.iter().map(|key| key.path).collect()
    }

    #[test]
    fn what_cannot_change_keeps_its_value_and_its_place() {
        let old = loaded(&[("HUBBUB_NODE_NAME", "a"), ("HUBBUB_ADMISSION_MEMORY_MAX", "1GiB")]);
        let new = loaded(&[("HUBBUB_LISTEN", "127.0.0.1:1"), ("HUBBUB_LIMITS_PAGE_MAX", "7")]);
        let (next, changes) = old.changed_to(&new).expect("possible");
        assert_eq!(paths(&changes.at_once), ["admission.memory_max", "limits.page_max"]);
        assert_eq!(paths(&changes.at_restart), ["listen", "node.name"]);
        assert_eq!(next.config.limits.page_max, 7);
        assert_eq!(next.config.admission.memory_max, None, "it is not set any more");
        assert_eq!((next.config.listen, next.config.node.name.as_deref()), (old.config.listen, Some("a")));
        assert_eq!(*next.source("node.name"), Source::Environment("HUBBUB_NODE_NAME".to_owned()));
        assert_eq!(*next.source("listen"), Source::Default);
        assert_eq!(*next.source("limits.page_max"), Source::Environment("HUBBUB_LIMITS_PAGE_MAX".to_owned()));
    }

    #[test]
    fn a_mixture_that_is_impossible_is_refused() {
        let secret = ("HUBBUB_AUTH_TOKEN_SECRET", "0123456789abcdef0123456789abcdef");
        let cluster = loaded(&[secret, ("HUBBUB_DATABASE_URL", "postgres://ada@db/x")]);
        let problems = cluster.changed_to(&loaded(&[])).err().expect("a cluster needs its secret");
        assert!(problems.to_string().contains("`auth.token_secret` is missing"), "{problems}");
    }
}
