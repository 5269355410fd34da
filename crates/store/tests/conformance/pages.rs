//! Pages of messages and of the log: keyset by seq, bounds exclusive, ascending.

use hubbub_protocol::SEQ_MAX;
use hubbub_store::PageQuery;

use crate::every::on_every_engine;
use crate::fixture::{Database, committed, joining, message, person, room_of};

on_every_engine! { messages_come_in_pages, the_log_comes_in_pages }

async fn messages_come_in_pages(database: Database) {
    let store = database.open().await;
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    let (empty, head) = store.messages(room, PageQuery::Newest { limit: 5 }).await.unwrap();
    assert!(empty.is_empty());
    assert_eq!(head, 1);
    let mut seqs = Vec::new();
    for at in 0..20 {
        seqs.push(committed(store.append(message(room, &ada, &at.to_string(), "x")).await.unwrap()).seq);
        // Seqs of messages have holes where other changes are.
        store.append(joining(room, &person(&format!("p{at}")))).await.unwrap();
    }
    let page = async |query| {
        let (messages, head) = store.messages(room, query).await.unwrap();
        assert_eq!(head, 41);
        messages.iter().map(|message| message.seq).collect::<Vec<_>>()
    };
    assert_eq!(page(PageQuery::Newest { limit: 5 }).await, seqs[15..]);
    assert_eq!(page(PageQuery::Newest { limit: 100 }).await, seqs);
    assert_eq!(page(PageQuery::Before { seq: seqs[10], limit: 3 }).await, seqs[7..10]);
    assert_eq!(page(PageQuery::Before { seq: seqs[10] + 1, limit: 3 }).await, seqs[8..11]);
    assert_eq!(page(PageQuery::Before { seq: seqs[0], limit: 3 }).await, [0; 0]);
    assert_eq!(page(PageQuery::Before { seq: SEQ_MAX, limit: 2 }).await, seqs[18..]);
    assert_eq!(page(PageQuery::After { seq: 0, limit: 2 }).await, seqs[..2]);
    assert_eq!(page(PageQuery::After { seq: seqs[5], limit: 2 }).await, seqs[6..8]);
    assert_eq!(page(PageQuery::After { seq: seqs[19], limit: 2 }).await, [0; 0]);
    assert_eq!(page(PageQuery::After { seq: SEQ_MAX, limit: 2 }).await, [0; 0]);
}

async fn the_log_comes_in_pages(database: Database) {
    let store = database.open().await;
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    for at in 0..9 {
        store.append(message(room, &ada, &at.to_string(), "x")).await.unwrap();
    }
    for (after, limit, expected) in
        [(0, 3, vec![1, 2, 3]), (3, 100, (4..=10).collect()), (10, 5, vec![]), (SEQ_MAX, 5, vec![])]
    {
        let (events, head) = store.events(room, after, limit).await.unwrap();
        assert_eq!((events.iter().map(|event| event.seq).collect::<Vec<_>>(), head), (expected, 10));
    }
}
