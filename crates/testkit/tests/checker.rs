//! The checker finds what is planted, and nothing where nothing is.

use hubbub_protocol::reply::Sent;
use hubbub_protocol::{MessageId, RoomId, Seq, Timestamp};
use hubbub_testkit::checker::{Fault, Verdict, check};
use hubbub_testkit::record::{Delivered, Entry, Head, Record};

/// One room, one sender, two who follow, two nodes that tell the log.
struct History {
    room: RoomId,
    ids: Vec<MessageId>,
    sender: Vec<Entry>,
    followers: [Vec<Entry>; 2],
    logs: [Vec<Entry>; 2],
    heads: [Seq; 2],
}

const MESSAGES: usize = 5;

impl History {
    fn clean() -> Self {
        let room = RoomId::new();
        let ids: Vec<MessageId> = (0..MESSAGES).map(|_| MessageId::new()).collect();
        let mut history = Self {
            room,
            ids,
            sender: Vec::new(),
            followers: [vec![Entry::Following { room, after: 0 }], vec![Entry::Following { room, after: 2 }]],
            logs: [vec![Entry::Following { room, after: 0 }], vec![Entry::Following { room, after: 0 }]],
            heads: [MESSAGES as Seq; 2],
        };
        for seq in 1..=MESSAGES as Seq {
            let (sent, acked) = (history.sent(seq), history.acked(seq, false));
            history.sender.extend([sent, acked]);
            let delivered = history.delivered(seq);
            history.followers[0].push(delivered.clone());
            if seq > 2 {
                history.followers[1].push(delivered.clone());
            }
            history.logs.iter_mut().for_each(|log| log.push(delivered.clone()));
        }
        history
    }

    fn sent(&self, seq: Seq) -> Entry {
        Entry::Sent { key: format!("m{seq}"), retries_unseen: false }
    }

    fn acked(&self, seq: Seq, duplicate: bool) -> Entry {
        let sent = Sent { seq, id: self.ids[seq as usize - 1], at: Timestamp::now(), duplicate };
        Entry::Acked { key: format!("m{seq}"), room: self.room, sent, waited_ms: 1, came: Timestamp::now() }
    }

    fn delivered(&self, seq: Seq) -> Entry {
        self.delivered_as(seq, self.ids[seq as usize - 1], &format!("m{seq}"))
    }

    fn delivered_as(&self, seq: Seq, id: MessageId, key: &str) -> Entry {
        let now = Timestamp::now();
        let message = Some((id, key.to_owned()));
        Entry::Delivered(Delivered { room: self.room, seq, message, committed: now, came: now })
    }

    fn check(&self) -> Verdict {
        let record = |client: &str, entries: &[Entry]| Record { client: client.to_owned(), entries: entries.to_vec() };
        let records =
            [record("sender", &self.sender), record("first", &self.followers[0]), record("second", &self.followers[1])];
        let logs = [record("log 0", &self.logs[0]), record("log 1", &self.logs[1])];
        let head = |index: usize| Head { node: format!("node {index}"), room: self.room, seq: self.heads[index] };
        check(&records, &logs, &[head(0), head(1)])
    }

    /// Exactly these faults are found.
    fn assert(&self, expected: &[(Fault, u64)]) {
        let verdict = self.check();
        let expected = expected.iter().copied().collect();
        assert_eq!(verdict.counts, expected, "{:#?}", verdict.findings);
        assert!(!verdict.proves());
    }
}

#[test]
fn a_clean_history_proves() {
    let verdict = History::clean().check();
    assert!(verdict.proves(), "{:#?}", verdict.findings);
    assert_eq!((verdict.sends, verdict.acks, verdict.deliveries), (5, 5, 8));
}

#[test]
fn an_empty_history_proves_nothing() {
    let verdict = check(&[], &[], &[]);
    assert!(verdict.is_clean() && !verdict.proves());
}

#[test]
fn a_lost_event_in_the_middle_and_at_the_end_is_found() {
    let mut history = History::clean();
    history.followers[0].remove(3);
    history.assert(&[(Fault::Lost, 1)]);
    let mut history = History::clean();
    history.followers[1].pop();
    history.assert(&[(Fault::Lost, 1)]);
}

#[test]
fn a_first_event_left_out_behind_the_cursor_is_found() {
    let mut history = History::clean();
    history.followers[1].remove(1);
    history.assert(&[(Fault::Lost, 1)]);
}

#[test]
fn a_doubled_event_is_found() {
    let mut history = History::clean();
    let again = history.delivered(2);
    history.followers[0].push(again);
    history.assert(&[(Fault::Doubled, 1)]);
}

#[test]
fn an_event_at_or_below_the_cursor_is_doubled() {
    let mut history = History::clean();
    let again = history.delivered(2);
    history.followers[1].insert(1, again);
    history.assert(&[(Fault::Doubled, 1)]);
}

#[test]
fn a_swapped_pair_is_found() {
    let mut history = History::clean();
    history.followers[0].swap(2, 3);
    history.assert(&[(Fault::Reordered, 1)]);
}

#[test]
fn two_messages_for_one_seq_are_found() {
    let mut history = History::clean();
    history.followers[0][4] = history.delivered_as(4, MessageId::new(), "m4");
    history.assert(&[(Fault::Contradicted, 1)]);
}

#[test]
fn an_ack_of_what_never_appears_is_found() {
    let mut history = History::clean();
    let sent = Sent { seq: 6, id: MessageId::new(), at: Timestamp::now(), duplicate: false };
    history.sender.push(Entry::Sent { key: "m6".into(), retries_unseen: false });
    history.sender.push(Entry::Acked {
        key: "m6".into(),
        room: history.room,
        sent,
        waited_ms: 1,
        came: Timestamp::now(),
    });
    history.assert(&[(Fault::Lost, 1)]);
}

#[test]
fn an_ack_with_another_messages_place_is_found() {
    let mut history = History::clean();
    let wrong = Sent { seq: 1, id: history.ids[1], at: Timestamp::now(), duplicate: false };
    history.sender[3] =
        Entry::Acked { key: "m2".into(), room: history.room, sent: wrong, waited_ms: 1, came: Timestamp::now() };
    history.assert(&[(Fault::Contradicted, 1)]);
}

#[test]
fn one_message_at_two_places_of_the_log_is_found() {
    let mut history = History::clean();
    let twice = history.delivered_as(6, MessageId::new(), "m5");
    history.heads = [6, 6];
    history.followers.iter_mut().chain(&mut history.logs).for_each(|entries| entries.push(twice.clone()));
    history.assert(&[(Fault::Doubled, 1)]);
}

#[test]
fn a_wrong_duplicate_flag_is_found() {
    let mut history = History::clean();
    let flagged = history.acked(1, true);
    history.sender[1] = flagged;
    history.assert(&[(Fault::Contradicted, 1)]);
    let mut history = History::clean();
    let (again, new) = (history.sent(1), history.acked(1, false));
    history.sender.extend([again, new]);
    history.assert(&[(Fault::Contradicted, 1)]);
}

#[test]
fn a_retry_that_gets_the_first_answer_is_fine() {
    let mut history = History::clean();
    let (again, duplicate) = (history.sent(1), history.acked(1, true));
    history.sender.extend([again, duplicate]);
    let verdict = history.check();
    assert!(verdict.proves(), "{:#?}", verdict.findings);
    assert_eq!((verdict.sends, verdict.transmissions), (5, 6));
}

#[test]
fn an_unacked_message_may_stand_in_the_log_once() {
    let mut history = History::clean();
    history.sender.remove(9);
    assert!(history.check().proves());
}

#[test]
fn heads_that_differ_are_found() {
    let mut history = History::clean();
    history.heads = [5, 4];
    history.assert(&[(Fault::Contradicted, 1)]);
}

#[test]
fn a_room_that_ended_is_found() {
    let mut history = History::clean();
    let ended = Entry::Ended { room: history.room, reason: "reset".into() };
    history.followers[0].push(ended);
    history.assert(&[(Fault::Contradicted, 1)]);
}
