//! Members, the index of a user's rooms, and logins.
//!
//! Must never ask for one row at a time.

use std::collections::HashSet;

use uuid::Uuid;

use super::{Place, Walk, id, number};
use crate::error::StoreError;
use crate::keep::defect::DefectKind;
use crate::keep::progress::{Progress, Stage, Watcher};
use crate::keep::reader::Reader;
use crate::keep::table::{LOGINS, Row, USER_ROOMS};

/// So many rows are looked up at a time.
const BATCH: usize = 1_000;

/// Columns by their places in the descriptions of the tables.
const ROOM_MEMBERS: usize = 4;
const MEMBER_USER: usize = 1;
const INDEX_USER: usize = 0;
const INDEX_ROOM: usize = 1;
const LOGIN_USER: usize = 1;

/// Members that are still to be looked up, as pairs of room and user.
#[derive(Default)]
pub(super) struct Members(Vec<(Uuid, Uuid)>);

impl Walk<'_> {
    /// Counts the members of a room, `row`, or of one that does not exist.
    pub(super) async fn members_of(
        &mut self,
        room: Uuid,
        row: Option<&Row>,
        members: &mut Reader,
        checks: &mut Members,
    ) -> Result<(), StoreError> {
        let mut count = 0;
        while members.peek(&mut self.end).await?.is_some_and(|row| id(row, 0) == room) {
            let Some(member) = members.take() else { break };
            count += 1;
            checks.0.push((room, id(&member, MEMBER_USER)));
            if checks.0.len() >= BATCH {
                self.look_up(checks).await?;
            }
        }
        match row {
            Some(row) if number(row, ROOM_MEMBERS) != count => {
                let text = format!("it counts {} and has {count}", number(row, ROOM_MEMBERS));
                self.found.add(DefectKind::MembersMiscounted, Place::room(room), text);
            }
            None if count > 0 => {
                let text = format!("{count} members of a room that does not exist");
                self.found.add(DefectKind::MemberOrphaned, Place::room(room), text);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether these members are users and have the room among theirs.
    pub(super) async fn look_up(&mut self, checks: &mut Members) -> Result<(), StoreError> {
        let pairs = std::mem::take(&mut checks.0);
        let users: HashSet<_> = pairs.iter().map(|(_, user)| *user).collect();
        let users: Vec<_> = users.into_iter().collect();
        let users: HashSet<_> = self.end.users(&users).await?.into_iter().collect();
        let indexed: HashSet<_> = self.end.indexed(&pairs).await?.into_iter().collect();
        for (room, user) in pairs {
            if !users.contains(&user) {
                self.found.add(DefectKind::MemberUnknown, Place::user(room, user), "there is no such user");
            }
            if !indexed.contains(&(room, user)) {
                let text = "the room is not among the user's";
                self.found.add(DefectKind::MemberNotIndexed, Place::user(room, user), text);
            }
        }
        Ok(())
    }

    /// Whether each of a user's rooms has them as a member.
    pub(super) async fn index(&mut self, watcher: Watcher<'_>) -> Result<(), StoreError> {
        let total = self.end.count(&USER_ROOMS).await?;
        let mut reader = Reader::new(&USER_ROOMS);
        loop {
            let rows = batch(self, &mut reader).await?;
            if rows.is_empty() {
                break;
            }
            let pairs: Vec<_> = rows.iter().map(|row| (id(row, INDEX_ROOM), id(row, INDEX_USER))).collect();
            let members: HashSet<_> = self.end.members(&pairs).await?.into_iter().collect();
            for (room, user) in pairs.into_iter().filter(|pair| !members.contains(pair)) {
                let text = "the user is no member";
                self.found.add(DefectKind::IndexWithoutMember, Place::user(room, user), text);
            }
            watcher(Progress { stage: Stage::Checking, table: USER_ROOMS.name, rows: reader.taken, total });
        }
        self.walked(&USER_ROOMS, &reader);
        Ok(())
    }

    /// Whether each login is a user's.
    pub(super) async fn logins(&mut self, watcher: Watcher<'_>) -> Result<(), StoreError> {
        let total = self.end.count(&LOGINS).await?;
        let mut reader = Reader::new(&LOGINS);
        loop {
            let rows = batch(self, &mut reader).await?;
            if rows.is_empty() {
                break;
            }
            let asked: HashSet<_> = rows.iter().map(|row| id(row, LOGIN_USER)).collect();
            let asked: Vec<_> = asked.into_iter().collect();
            let users: HashSet<_> = self.end.users(&asked).await?.into_iter().collect();
            for row in rows.iter().filter(|row| !users.contains(&id(row, LOGIN_USER))) {
                let place = Place { user: Some(id(row, LOGIN_USER)), ..Place::default() };
                self.found.add(DefectKind::LoginUnknown, place, format!("login {}", id(row, 0)));
            }
            watcher(Progress { stage: Stage::Checking, table: LOGINS.name, rows: reader.taken, total });
        }
        self.walked(&LOGINS, &reader);
        Ok(())
    }
}

/// The next rows, none at the end.
async fn batch(walk: &mut Walk<'_>, reader: &mut Reader) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    while rows.len() < BATCH && reader.peek(&mut walk.end).await?.is_some() {
        rows.extend(reader.take());
    }
    Ok(rows)
}
