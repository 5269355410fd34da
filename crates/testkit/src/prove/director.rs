//! Does to a cluster what the schedule says, and undoes it.
//!
//! Must never wait for a node to become ready: the swarm has to live with what there is.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Result;
use hubbub_protocol::Timestamp;

use super::schedule::{FaultKind, Planned};
use crate::cluster::{Cluster, Member};
use crate::process::Signal;
use crate::proxy::Direction;
use crate::servers::postgres::Shutdown;
use crate::swarm::Swarm;

/// What most runs lose of the bus.
const DROPPED_SHARE: f64 = 0.01;
/// What some lose.
const DROPPED_SHARE_HIGH: f64 = 0.2;
/// How long a node may take from SIGTERM to its end: the time limit of the tests' drain and some for a busy machine.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// When a fault was there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Which one.
    pub kind: FaultKind,
    /// Its beginning.
    pub from: Timestamp,
    /// Its end; none while it lasts.
    pub to: Option<Timestamp>,
}

/// Keeps account of the faults.
#[derive(Debug, Default)]
pub struct Director {
    /// Every fault so far.
    pub windows: Vec<Window>,
    /// What went wrong that no fault explains.
    pub complaints: Vec<String>,
    /// The processes that were told to end; the other lane may have ended or replaced them meanwhile.
    draining: HashSet<u32>,
}

impl Director {
    /// Begins a fault.
    ///
    /// # Errors
    /// When a program cannot be started or stopped.
    pub async fn begin(&mut self, fault: &Planned, cluster: &mut Cluster, swarm: &Swarm) -> Result<()> {
        self.windows.push(Window { kind: fault.kind, from: Timestamp::now(), to: None });
        let member = &mut cluster.members[fault.node];
        match fault.kind {
            FaultKind::KillNode => member.node.kill(),
            FaultKind::TerminateNode => {
                // A second signal would end it at once, with 1.
                if member.node.pid().is_some_and(|pid| self.draining.insert(pid)) {
                    member.node.signal(Signal::Terminate);
                }
            }
            FaultKind::KillRedis => cluster.redis.kill(),
            FaultKind::DropBus => {
                let share = if fault.chance.is_multiple_of(3) { DROPPED_SHARE_HIGH } else { DROPPED_SHARE };
                cluster.members.iter().for_each(|member| member.redis_link.drop_messages(share));
            }
            FaultKind::CutRedis => member.redis_link.cut(),
            FaultKind::CutPostgres => member.postgres_link.cut(),
            FaultKind::RestartPostgres => {
                let how = if fault.chance.is_multiple_of(2) { Shutdown::Fast } else { Shutdown::Immediate };
                cluster.postgres.stop(how).await?;
            }
            FaultKind::FreezeNode => member.node.signal(Signal::Stop),
            FaultKind::FreezeRedis => member.redis_link.freeze(direction(fault.chance)),
            FaultKind::FreezePostgres => member.postgres_link.freeze(direction(fault.chance)),
            FaultKind::SlowLinks => slow(member),
            FaultKind::Jump if fault.chance.is_multiple_of(4) => member.client_link.reset_connections(),
            FaultKind::Jump => swarm.jump(usize::try_from(fault.chance % 1_000).unwrap_or(0)),
        }
        Ok(())
    }

    /// Ends a fault.
    ///
    /// # Errors
    /// As [`Director::begin`].
    pub async fn end(&mut self, fault: &Planned, cluster: &mut Cluster) -> Result<()> {
        let member = &mut cluster.members[fault.node];
        match fault.kind {
            FaultKind::KillNode => member.node.launch()?,
            FaultKind::TerminateNode => self.end_drain(member).await?,
            FaultKind::KillRedis => cluster.redis.start().await?,
            FaultKind::DropBus => cluster.members.iter().for_each(|member| member.redis_link.drop_messages(0.0)),
            FaultKind::CutRedis | FaultKind::FreezeRedis => member.redis_link.heal(),
            FaultKind::CutPostgres | FaultKind::FreezePostgres => member.postgres_link.heal(),
            FaultKind::RestartPostgres => cluster.postgres.start().await?,
            FaultKind::FreezeNode => member.node.signal(Signal::Continue),
            FaultKind::SlowLinks => {
                member.redis_link.heal();
                member.postgres_link.heal();
            }
            FaultKind::Jump => {}
        }
        let open = self.windows.iter_mut().rev().find(|window| window.kind == fault.kind && window.to.is_none());
        if let Some(window) = open {
            window.to = Some(Timestamp::now());
        }
        Ok(())
    }

    async fn end_drain(&mut self, member: &mut Member) -> Result<()> {
        // The other lane may have frozen it meanwhile.
        member.node.signal(Signal::Continue);
        if member.node.pid().is_some_and(|pid| self.draining.contains(&pid)) {
            match member.node.wait_ended(DRAIN_LIMIT).await {
                Ok(status) if status.success() => {}
                Ok(status) => self.complaints.push(format!("{} ended its drain with {status}", member.node.name)),
                Err(error) => {
                    self.complaints.push(error.to_string());
                    member.node.kill();
                }
            }
        }
        member.node.launch()
    }

    /// Everything is well again: all links open, everything started and ready.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn heal(&mut self, cluster: &mut Cluster) -> Result<()> {
        cluster.redis.start().await?;
        cluster.postgres.start().await?;
        for member in &mut cluster.members {
            member.redis_link.heal();
            member.postgres_link.heal();
            member.client_link.heal();
            member.node.signal(Signal::Continue);
            self.notice_end(member);
            member.node.launch()?;
        }
        for member in &mut cluster.members {
            member.node.wait_ready().await?;
        }
        Ok(())
    }

    /// A node that nobody killed has no business to end.
    pub fn notice_ends(&mut self, cluster: &mut Cluster, draining: &[usize]) {
        for (index, member) in cluster.members.iter_mut().enumerate() {
            if !draining.contains(&index) {
                self.notice_end(member);
            }
        }
    }

    fn notice_end(&mut self, member: &mut Member) {
        if let Some(status) = member.node.ended() {
            self.complaints.push(format!("{} ended by itself ({status})", member.node.name));
        }
    }
}

fn direction(chance: u64) -> Direction {
    match chance % 3 {
        0 => Direction::Up,
        1 => Direction::Down,
        _ => Direction::Both,
    }
}

fn slow(member: &Member) {
    let (delay, jitter) = (Duration::from_millis(20), Duration::from_millis(150));
    member.redis_link.slow(Direction::Both, delay, jitter);
    member.postgres_link.slow(Direction::Both, delay, jitter);
}
