//! Many users at once, for load tests: `NAME-1` to `NAME-N`, who have no password and sign on by token alone.
//!
//! Must never ask the database for one user at a time.

use std::iter;

use hubbub_protocol::{UserId, UserName};
use hubbub_store::{NewUser, Store, User, UserRole};

use crate::failure::Failure;

/// Most users of one command.
const COUNT_MAX: i64 = 1_000_000;

/// So many names are held at a time, and asked for with one query.
const BATCH: u32 = 1_000;

/// The flag of how many users are meant.
#[derive(clap::Args)]
pub(super) struct Count {
    /// Users NAME-1 to NAME-N instead of the one NAME, for load tests.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=COUNT_MAX))]
    pub(super) count: Option<u32>,
}

/// The names `NAME-1` to `NAME-N`.
pub(super) struct Names<'a> {
    name: &'a UserName,
    count: u32,
}

impl<'a> Names<'a> {
    /// Refuses what would not end in a name of a user, such as one that is too long.
    pub(super) fn new(name: &'a UserName, count: u32) -> Result<Self, Failure> {
        let names = Self { name, count };
        // The last one is the longest, and a number at the end is never at fault.
        names.at(count)?;
        Ok(names)
    }

    fn at(&self, number: u32) -> Result<UserName, Failure> {
        let text = format!("{}-{number}", self.name);
        text.parse().map_err(|rule| Failure::Usage(format!("{text}: {rule}")))
    }

    fn batches(&self) -> impl Iterator<Item = Result<Vec<UserName>, Failure>> {
        let starts = (1..=self.count).step_by(BATCH as usize);
        starts.map(|start| {
            let end = self.count.min(start + (BATCH - 1));
            (start..=end).map(|number| self.at(number)).collect()
        })
    }

    /// Adds those that are missing and returns how many those were.
    pub(super) async fn add(&self, store: &Store, role: UserRole) -> Result<u64, Failure> {
        let mut added = 0;
        for names in self.batches() {
            let new: Vec<NewUser> =
                names?.into_iter().map(|name| NewUser { name, password_hash: None, role }).collect();
            added += store.create_users(&new).await?;
        }
        Ok(added)
    }

    /// The ids of all of them, in the order of their numbers.
    ///
    /// Refused when one is not there or may not sign on: the first of these is named.
    pub(super) async fn ids(&self, store: &Store) -> Result<Vec<UserId>, Failure> {
        let mut ids = Vec::with_capacity(self.count as usize);
        for names in self.batches() {
            let names = names?;
            let mut found = store.users_named(&names).await?;
            found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            for name in &names {
                let user = found.binary_search_by(|user| user.name.cmp(name)).ok().map(|at| &found[at]);
                ids.push(may_sign_on(name, user)?.id);
            }
        }
        Ok(ids)
    }

    /// The names with these ids, which are in the same order.
    pub(super) fn with(&self, ids: &[UserId]) -> impl Iterator<Item = Result<(UserId, UserName), Failure>> {
        iter::zip(1.., ids).map(|(number, id)| Ok((*id, self.at(number)?)))
    }
}

/// The user if they are there and may sign on, or a refusal that says which of the two it is.
pub(super) fn may_sign_on<'u>(name: &UserName, user: Option<&'u User>) -> Result<&'u User, Failure> {
    match user {
        None => Err(Failure::Refused(format!("there is no user {name}"))),
        Some(user) if user.disabled => {
            Err(Failure::Refused(format!("{name} may not sign on: `hubbub user enable {name}`")))
        }
        Some(user) => Ok(user),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_run_from_one_to_the_count_over_all_batches() {
        let name: UserName = "load".parse().expect("a name");
        for count in [1, 999, 1_000, 1_001, 2_500] {
            let names = Names::new(&name, count).unwrap_or_else(|failure| panic!("{failure}"));
            let batches: Vec<Vec<UserName>> =
                names.batches().collect::<Result<_, _>>().unwrap_or_else(|failure| panic!("{failure}"));
            assert!(batches.iter().all(|batch| batch.len() <= BATCH as usize));
            let all: Vec<String> = batches.into_iter().flatten().map(UserName::into_string).collect();
            assert_eq!(all, (1..=count).map(|number| format!("load-{number}")).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_name_that_becomes_too_long_is_wrong_usage() {
        let name: UserName = "a".repeat(62).parse().expect("a name");
        assert!(Names::new(&name, 9).is_ok());
        assert!(matches!(Names::new(&name, 10), Err(Failure::Usage(_))));
    }
}
