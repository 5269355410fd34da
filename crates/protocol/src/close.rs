//! Close codes of the WebSocket and the policy each carries (CONTRACT §5).
//!
//! 4000-4499: reconnect and resume; 4500-4999: do not. Codes are append-only.

macro_rules! close_codes {
    ($($variant:ident = $code:literal $name:literal : $meaning:literal;)*) => {
        /// Why the server closes a WebSocket.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum CloseCode {
            $(#[doc = $meaning] $variant,)*
        }

        impl CloseCode {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The number in the close frame.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self { $(Self::$variant => $code,)* }
            }

            /// The reason in the close frame, also the metric label.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means and what the client does next, for people.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

close_codes! {
    Normal = 1000 "normal": "The client said goodbye, and so do we.";
    ProtocolError = 1002 "protocol_error": "The client broke RFC 6455.";
    UnsupportedFrame = 1003 "unsupported_frame": "A binary frame on a JSON connection, or a text frame on a MessagePack one.";
    InvalidUtf8 = 1007 "invalid_utf8": "A text message is not UTF-8, or compressed bytes do not inflate.";
    Policy = 1008 "policy": "A rate or policy was broken; come back later.";
    TooLarge = 1009 "too_large": "A frame or message is larger than the limit.";
    Restart = 1012 "restart": "This node is about to stop; resume on another after `retry_after_ms`.";
    TryLater = 1013 "try_later": "The node is overloaded, or this user or address has too many connections.";
    TooSlow = 4000 "too_slow": "The client did not read fast enough; reconnect and resume.";
    Stale = 4001 "stale": "No sign of life for two heartbeats; reconnect and resume.";
    Rebalance = 4002 "rebalance": "This node has more than its share; reconnect and resume.";
    Unauthenticated = 4500 "unauthenticated": "The token was refused; do not reconnect with it.";
    AuthenticationTimeout = 4501 "authentication_timeout": "Nobody signed on in time.";
    TokenExpired = 4502 "token_expired": "The token has expired; get a new one first.";
    SessionRevoked = 4503 "session_revoked": "The session was ended; sign on again.";
    Banned = 4504 "banned": "This user may not connect.";
}

impl CloseCode {
    /// Whether a client may reconnect (and resume) after a close with this number; anything unknown below 4500 may.
    #[must_use]
    pub const fn may_reconnect(code: u16) -> bool {
        !(4500 <= code && code <= 4999)
    }
}
