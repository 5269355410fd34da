//! Signing on again and renewing the token of a session.
//!
//! Must never let a session become another user's.

use std::sync::Arc;

use hubbub_protocol::command::{SessionAuthenticate, SessionRenew};
use hubbub_protocol::reply::{Renewed, ReplyOk};
use hubbub_protocol::{ErrorCode, Refusal};

use crate::dispatch::Answer;
use crate::link::Link;
use crate::node::Node;
use crate::session::{Session, session_ready};

/// `session.authenticate` on a session: the same user is told again where they stand, another one is refused.
pub(crate) async fn authenticate_again(
    node: &Arc<Node>,
    session: &Session,
    command: SessionAuthenticate,
) -> Result<Answer, Refusal> {
    let identity = node.chat.authenticate(&command.token.0).await?;
    same_user(session, identity.user.id)?;
    let ready = session_ready(node, session.id, &session.identity);
    Ok(ReplyOk::Ready(Box::new(ready)).into())
}

/// `session.renew`: the session lives as long as the new token.
pub(crate) async fn renew(
    node: &Arc<Node>,
    link: &Arc<Link>,
    session: &mut Session,
    command: SessionRenew,
) -> Result<Answer, Refusal> {
    let identity = node.chat.authenticate(&command.token.0).await?;
    same_user(session, identity.user.id)?;
    let expires_at = identity.expires_at;
    link.sign_on(&identity.user, expires_at);
    node.wheel.signed_on(link, expires_at);
    session.identity = identity;
    Ok(ReplyOk::from(Renewed { expires_at }).into())
}

fn same_user(session: &Session, user: hubbub_protocol::UserId) -> Result<(), Refusal> {
    if session.identity.user.id == user {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::TokenInvalid).because("The token is another user's."))
}
