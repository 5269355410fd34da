//! Users and logins.

use hubbub_protocol::{SessionId, Timestamp, UserId, UserName, UserSelector};
use hubbub_store::{NewLogin, NewUser, StoreErrorKind, UserRole};

use crate::every::on_every_engine;
use crate::fixture::Database;

on_every_engine! {
    users_are_made_found_and_changed,
    users_come_in_pages,
    many_users_are_made_once,
    two_may_make_the_same_users,
    logins_end_and_rotate,
}

fn new_user(name: &str) -> NewUser {
    NewUser { name: name.parse().unwrap(), password_hash: None, role: UserRole::User }
}

async fn users_are_made_found_and_changed(database: Database) {
    let store = database.open().await;
    let ada = store.create_user(NewUser { password_hash: Some("$hash".to_owned()), ..new_user("ada") }).await.unwrap();
    assert_eq!((ada.name.as_str(), ada.role, ada.disabled), ("ada", UserRole::User, false));
    let taken = store.create_user(new_user("ada")).await.unwrap_err();
    assert_eq!((taken.kind(), taken.retryable()), (StoreErrorKind::Conflict, false));
    let by_name = UserSelector::Name(ada.name.clone());
    assert_eq!(store.user(&by_name).await.unwrap(), Some(ada.clone()));
    assert_eq!(store.user(&ada.id.into()).await.unwrap(), Some(ada.clone()));
    assert_eq!(store.user(&UserId::new().into()).await.unwrap(), None);
    let hash = async || store.password_hash(&ada.name).await.unwrap();
    assert_eq!(hash().await, Some((ada.clone(), Some("$hash".to_owned()))));
    assert!(store.set_password_hash(ada.id, None).await.unwrap());
    assert_eq!(hash().await, Some((ada.clone(), None)));
    assert_eq!(store.password_hash(&"bob".parse().unwrap()).await.unwrap(), None);
    assert!(store.set_disabled(ada.id, true).await.unwrap());
    assert!(store.set_user_role(ada.id, UserRole::Admin).await.unwrap());
    let changed = store.user(&by_name).await.unwrap().unwrap();
    assert!(changed.disabled && changed.role == UserRole::Admin);
    assert!(!store.set_disabled(UserId::new(), true).await.unwrap());
}

async fn users_come_in_pages(database: Database) {
    let store = database.open().await;
    let mut names = ["b", "a-b", "a_b", "a.b", "ab", "10", "9", "zz", "z0"].map(str::to_owned).to_vec();
    for name in &names {
        store.create_user(new_user(name)).await.unwrap();
    }
    // By bytes, whatever the locale of the server.
    names.sort_unstable();
    let mut found: Vec<UserName> = Vec::new();
    loop {
        let page = store.users(found.last().cloned(), 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        found.extend(page.into_iter().map(|user| user.name));
    }
    assert_eq!(found.iter().map(UserName::as_str).collect::<Vec<_>>(), names);
}

/// More than fit into one statement.
const MANY: usize = 2_500;

fn many_users() -> Vec<NewUser> {
    (1..=MANY).map(|number| new_user(&format!("load-{number}"))).collect()
}

async fn many_users_are_made_once(database: Database) {
    let store = database.open().await;
    let there = store.create_user(NewUser { role: UserRole::Admin, ..new_user("load-7") }).await.unwrap();
    assert_eq!(store.create_users(&[]).await.unwrap(), 0);
    let mut many = many_users();
    many[2].password_hash = Some("$hash".to_owned());
    many[3].role = UserRole::Admin;
    assert_eq!(store.create_users(&many).await.unwrap(), MANY as u64 - 1);
    assert_eq!(store.create_users(&many).await.unwrap(), 0);
    // The same name twice in one statement is one user.
    assert_eq!(store.create_users(&[new_user("twice"), new_user("twice")]).await.unwrap(), 1);
    // A role and a password are their own; who was there before is left as they were.
    let hash = async |name: &str| store.password_hash(&name.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(hash("load-7").await, (there, None));
    let (third, password_hash) = hash("load-3").await;
    assert_eq!((third.role, third.disabled, password_hash.as_deref()), (UserRole::User, false, Some("$hash")));
    let (fourth, password_hash) = hash("load-4").await;
    assert_eq!((fourth.role, password_hash), (UserRole::Admin, None));
    assert!((Timestamp::now().millis() - fourth.created_at.millis()).abs() < 600_000, "{}", fourth.created_at);

    let mut names: Vec<UserName> = many.into_iter().map(|new| new.name).collect();
    names.push("nobody".parse().unwrap());
    let found = store.users_named(&names).await.unwrap();
    assert!(found.contains(&third) && found.contains(&fourth));
    let mut found: Vec<UserName> = found.into_iter().map(|user| user.name).collect();
    names.pop();
    names.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, names);
    assert_eq!(store.users_named(&[]).await.unwrap(), []);
}

async fn two_may_make_the_same_users(database: Database) {
    let (one, two) = (database.open().await, database.open().await);
    let (many, mut reversed) = (many_users(), many_users());
    reversed.reverse();
    let (first, second) = tokio::join!(one.create_users(&many), two.create_users(&reversed));
    assert_eq!(first.unwrap() + second.unwrap(), MANY as u64);
}

async fn logins_end_and_rotate(database: Database) {
    let store = database.open().await;
    let ada = store.create_user(new_user("ada")).await.unwrap();
    let expires_at = Timestamp::from_millis(2_000_000_000_000);
    let login = |hash: &[u8]| NewLogin { id: SessionId::new(), user: ada.id, refresh_hash: hash.to_vec(), expires_at };
    let (one, two) = (login(b"one\0\xff"), login(b"two"));
    store.start_login(one.clone()).await.unwrap();
    store.start_login(two.clone()).await.unwrap();
    store.start_login(two.clone()).await.unwrap();
    let found = store.login(one.id).await.unwrap().unwrap();
    assert_eq!((found.user, &found.refresh_hash, found.expires_at), (ada.id, &one.refresh_hash, expires_at));
    assert!(!found.ended);
    let later = Timestamp::from_millis(2_100_000_000_000);
    assert!(!store.rotate_refresh(one.id, b"wrong", b"new", later).await.unwrap());
    assert!(store.rotate_refresh(one.id, b"one\0\xff", b"new", later).await.unwrap());
    assert_eq!(store.login(one.id).await.unwrap().unwrap().expires_at, later);
    assert!(store.end_login(one.id).await.unwrap());
    assert!(!store.end_login(one.id).await.unwrap());
    assert!(store.login(one.id).await.unwrap().unwrap().ended);
    assert!(!store.rotate_refresh(one.id, b"new", b"newer", later).await.unwrap());
    assert_eq!(store.end_logins_of(ada.id).await.unwrap(), [two.id]);
    assert_eq!(store.end_logins_of(ada.id).await.unwrap(), []);
    assert_eq!(store.login(SessionId::new()).await.unwrap(), None);
    let nobody = NewLogin { user: UserId::new(), ..login(b"x") };
    assert_eq!(store.start_login(nobody).await.unwrap_err().kind(), StoreErrorKind::Conflict);
}
