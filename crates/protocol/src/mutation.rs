//! Switches off one protection, so that the proof can be seen to fail without it.
//!
//! Owns the names. Does nothing without the feature `mutations`, which refuses to be built for release. Must never be
//! in what people run, and never be more than one line at the place that it switches off.

#[cfg(all(feature = "mutations", not(debug_assertions)))]
compile_error!("the feature `mutations` breaks promises on purpose: it is not for release builds");

macro_rules! mutations {
    ($($variant:ident = $name:literal, $meaning:literal;)*) => {
        /// A protection that can be switched off.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Mutation {
            $(#[doc = $meaning] $variant,)*
        }

        impl Mutation {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in `HUBBUB_MUTATION`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The mutation of this name.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|mutation| mutation.name() == name)
            }
        }
    };
}

mutations! {
    AckEarly = "ack-early", "Acks do not wait until PostgreSQL has written the commit down.";
    AckFailed = "ack-failed", "A write that failed is acked all the same.";
    NoDedup = "no-dedup", "A retry is appended as a new message.";
    NoReconcile = "no-reconcile", "The heads of the logs are never compared.";
    NoRepair = "no-repair", "A hole in a room's order is skipped.";
    NoResume = "no-resume", "What a client missed is not replayed.";
    NoWatchdog = "no-watchdog", "A silent Redis is never noticed.";
    NoStale = "no-stale", "A client that says nothing is never closed.";
    NoFloodLimit = "no-flood-limit", "Frames of a connection are not counted.";
    DrainBurst = "drain-burst", "A drain closes all sockets at once.";
}

#[cfg(feature = "mutations")]
static CHOSEN: std::sync::OnceLock<Mutation> = std::sync::OnceLock::new();

/// Switches one off for the life of the process; only the first call counts.
#[cfg(feature = "mutations")]
pub fn choose(mutation: Mutation) {
    CHOSEN.get_or_init(|| mutation);
}

/// Whether this one is switched off.
#[cfg(feature = "mutations")]
#[must_use]
pub fn is(mutation: Mutation) -> bool {
    CHOSEN.get() == Some(&mutation)
}

/// Whether this one is switched off: never, without the feature.
#[cfg(not(feature = "mutations"))]
#[must_use]
pub const fn is(_: Mutation) -> bool {
    false
}
