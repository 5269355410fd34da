//! Signing on again and renewing the token of a session.
//!
//! Must never let a session become another user's.

use std::sync::Arc;

use hubbub_chat::Identity;
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
    authenticate(node, session, &command.token.0).await?;
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
    let identity = authenticate(node, session, &command.token.0).await?;
    let expires_at = identity.expires_at;
    link.sign_on(&identity.user, expires_at);
    node.wheel.signed_on(link, expires_at);
    session.identity = identity;
    Ok(ReplyOk::from(Renewed { expires_at }).into())
}

/// Who the token names: the user of the session, or it is refused.
async fn authenticate(node: &Node, session: &Session, token: &str) -> Result<Identity, Refusal> {
    let proved = async {
        let identity = node.chat.authenticate(token).await?;
        same_user(session, identity.user.id)?;
        Ok::<_, Refusal>(identity)
    };
    proved.await.inspect_err(|refusal| node.metrics.auth_failed(refusal.code))
}

fn same_user(session: &Session, user: hubbub_protocol::UserId) -> Result<(), Refusal> {
    if session.identity.user.id == user {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::TokenInvalid).because("The token is another user's."))
}
