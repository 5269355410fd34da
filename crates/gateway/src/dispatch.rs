//! Which function answers which command: a table, and no logic in it.
//!
//! Must never hold a socket: handlers return, the outbox writes.

use std::sync::Arc;

use hubbub_chat::{Caller, Chat};
use hubbub_protocol::reply::ReplyOk;
use hubbub_protocol::{Command, ErrorCode, Refusal};

use crate::following;
use crate::hub::Beginning;
use crate::link::Link;
use crate::node::Node;
use crate::session::Session;
use crate::signing;

/// What a command is answered with, and what begins once the answer is pushed.
pub(crate) struct Answer {
    /// The `ok` of the reply.
    pub ok: ReplyOk,
    /// Subscriptions whose replay follows the reply.
    pub beginnings: Vec<Beginning>,
}

/// Answers a command of a session on its connection.
///
/// # Errors
/// The refusal of the rule that refused.
pub(crate) async fn dispatch(
    node: &Arc<Node>,
    link: &Arc<Link>,
    session: &mut Session,
    command: Command,
) -> Result<Answer, Refusal> {
    match command {
        Command::SessionAuthenticate(command) => signing::authenticate_again(node, session, command).await,
        Command::SessionRenew(command) => signing::renew(node, link, session, command).await,
        Command::SessionResume(command) => following::resume(node, link, session, command).await,
        Command::RoomSubscribe(command) => following::subscribe(node, link, session, command).await,
        Command::RoomUnsubscribe(command) => following::unsubscribe(node, link, session, command).await,
        command => answer(&node.chat, &mut Caller::new(&session.identity), command).await.map(Answer::from),
    }
}

/// Answers a command that needs no connection, for WebSocket and HTTP alike.
///
/// # Errors
/// The refusal of the rule that refused.
pub(crate) async fn answer(chat: &Chat, caller: &mut Caller, command: Command) -> Result<ReplyOk, Refusal> {
    match command {
        Command::RoomCreate(command) => chat.create_room(caller, command).await.map(ReplyOk::from),
        Command::RoomJoin(command) => chat.join_room(caller, &command.room).await.map(ReplyOk::from),
        Command::RoomLeave(command) => chat.leave_room(caller, &command.room).await.map(ReplyOk::from),
        Command::RoomShow(command) => chat.show_room(caller, &command.room).await.map(ReplyOk::from),
        Command::RoomList(command) => chat.list_rooms(caller, command).await.map(ReplyOk::from),
        Command::MessageSend(command) => chat.send_message(caller, command).await.map(ReplyOk::from),
        Command::MessageList(command) => chat.list_messages(caller, command).await.map(ReplyOk::from),
        Command::EventList(command) => chat.list_events(caller, command).await.map(ReplyOk::from),
        Command::SessionAuthenticate(_)
        | Command::SessionRenew(_)
        | Command::SessionResume(_)
        | Command::RoomSubscribe(_)
        | Command::RoomUnsubscribe(_) => Err(ErrorCode::UnknownCommand.into()),
    }
}
