//! What the bus promises: one suite for the bus in process and over Redis in each of its forms, and what only Redis can
//! do wrong.
//!
//! What a case may break is its own; the rest is started once. Must never sleep to let something happen: it waits for
//! the thing itself.

/// Every case runs in every form.
macro_rules! on_every_form {
    (@$form:ident $($case:ident)*) => {
        mod $form {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case($crate::world::World::$form().await).await; })*
        }
    };
    ($($case:ident)*) => {
        on_every_form! { @in_process $($case)* }
        on_every_form! { @single $($case)* }
        on_every_form! { @tls $($case)* }
        on_every_form! { @sentinel $($case)* }
        on_every_form! { @several $($case)* }
        on_every_form! { @cluster $($case)* }
    };
}

mod acl;
mod cluster;
mod harness;
mod limits;
mod load;
mod nodes;
mod outage;
mod places;
mod pubsub;
mod rates;
#[path = "../support/redis_topologies/mod.rs"]
mod redis_topologies;
mod rooms;
mod sentinel;
mod several;
mod tls;
mod told;
mod versions;
mod world;
