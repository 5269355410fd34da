//! Disks that are full or slow.
//!
//! Owns a small disk of its own, in memory. Must never fill a disk that anything else lies on.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::FutureExt as _;
use hubbub_protocol::mutation::Mutation;
use tempfile::TempDir;

use super::preload::Preload;
use super::{Limits, Play, Scenario, Scene, Step};
use crate::cluster::{Cluster, ClusterConfig};
use crate::process::find_program;
use crate::prove::felt::Course;
use crate::prove::outcome::Figure;
use crate::prove::watch::{Metric, Shows, Sign};
use crate::record::Record;

const REFUSED: Sign = Sign {
    metric: Metric::labelled("hubbub_commands_total", "cmd=\"message.send\",outcome=\"failed\""),
    shows: Shows::Grew(1.0),
};

/// The disk of PostgreSQL is full.
pub(super) const FULL_POSTGRES: Scenario = Scenario {
    name: "disk-full-postgres",
    what: "The disk of PostgreSQL is filled to the last byte, and freed later",
    lasts: Duration::from_secs(15),
    nodes: 3,
    limits: Limits { during_p99: None, healed: Duration::from_secs(15) },
    sign: REFUSED,
    mutations: &[Mutation::AckFailed],
    play: || Box::new(Full { disk: None, sqlite: false }),
};

/// The disk of a node alone is full.
pub(super) const FULL_SQLITE: Scenario = Scenario {
    name: "disk-full-sqlite",
    what: "The disk of a node on SQLite is filled to the last byte, and freed later",
    lasts: Duration::from_secs(15),
    nodes: 1,
    limits: Limits { during_p99: None, healed: Duration::from_secs(10) },
    sign: REFUSED,
    mutations: &[Mutation::AckFailed],
    play: || Box::new(Full { disk: None, sqlite: true }),
};

/// A disk in memory, gone when dropped.
struct Disk {
    folder: TempDir,
}

impl Disk {
    fn mount(megabytes: u32) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hubbub-disk-").tempdir()?;
        let size = format!("size={megabytes}m,mode=1777");
        let mut command = Command::new(find_program("mount", "mount", &[])?);
        let made = command.args(["-t", "tmpfs", "-o", &size, "hubbub-disk"]).arg(folder.path()).output()?;
        ensure!(made.status.success(), "a disk takes root: {}", String::from_utf8_lossy(&made.stderr).trim());
        Ok(Self { folder })
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }

    /// Takes all that is free.
    fn fill(&self) -> Result<()> {
        let mut file = File::create(self.ballast())?;
        for size in [1 << 20, 4096, 1] {
            let chunk = vec![0; size];
            loop {
                match file.write_all(&chunk) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: what still ends there ends by itself. A disk that stays is seen in `mount`.
        Command::new("umount").arg("--lazy").arg(self.folder.path()).status().ok();
    }
}

struct Full {
    disk: Option<Disk>,
    sqlite: bool,
}

/// Enough for PostgreSQL's own files and a minute of messages.
const POSTGRES_MEGABYTES: u32 = 256;
/// Enough for a minute of messages.
const SQLITE_MEGABYTES: u32 = 32;

impl Play for Full {
    fn start(&mut self, config: ClusterConfig) -> Step<'_, Cluster> {
        async move {
            let disk = Disk::mount(if self.sqlite { SQLITE_MEGABYTES } else { POSTGRES_MEGABYTES })?;
            let path = disk.folder.path().to_path_buf();
            self.disk = Some(disk);
            if !self.sqlite {
                return Cluster::start(ClusterConfig { disk: Some(path), ..config }).await;
            }
            let config = config.with("HUBBUB_DATABASE_URL", &format!("sqlite://{}/hubbub.db", path.display()));
            // A node on SQLite is alone and shares nothing.
            Cluster::start_after(config, |cluster| {
                cluster.members[0].node.unset("HUBBUB_REDIS_URL");
                Ok(())
            })
            .await
        }
        .boxed_local()
    }

    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            let disk = self.disk.as_ref().context("the cluster was started with it")?;
            disk.fill()?;
            scene.say("the disk is full");
            scene.hold().await;
            disk.free()?;
            if let Some(status) = scene.cluster.postgres.ended() {
                scene.notes.push(format!("PostgreSQL gave up meanwhile ({status}) and was started again"));
            }
            scene.cluster.postgres.start().await
        }
        .boxed_local()
    }
}

const LIBRARY: &str = include_str!("disk.c");

/// Each write to the disk takes so much longer.
const DELAY: Duration = Duration::from_millis(200);

/// The disk of PostgreSQL takes its time.
pub(super) const SLOW: Scenario = Scenario {
    name: "slow-disk",
    what: "Every fsync and fdatasync of PostgreSQL takes 200 ms longer (a preloaded library)",
    lasts: Duration::from_secs(20),
    nodes: 3,
    limits: Limits { during_p99: Some(Duration::from_secs(2)), healed: Duration::from_secs(10) },
    sign: Sign { metric: Metric::labelled("hubbub_store_seconds_sum", "op=\"append\""), shows: Shows::Grew(10.0) },
    mutations: &[Mutation::AckEarly],
    play: || Box::new(Slow(None)),
};

struct Slow(Option<Preload>);

impl Play for Slow {
    fn start(&mut self, config: ClusterConfig) -> Step<'_, Cluster> {
        async move {
            let preload = self.0.insert(Preload::build(LIBRARY)?);
            Cluster::start_after(config, |cluster| {
                let postgres = &mut cluster.postgres;
                preload.variables().iter().for_each(|(name, value)| postgres.set_variable(name, value));
                Ok(())
            })
            .await
        }
        .boxed_local()
    }

    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            let preload = self.0.as_mut().context("the cluster was started with it")?;
            preload.set(i64::try_from(DELAY.as_micros())?)?;
            scene.say("the disk is slow");
            scene.hold().await;
            preload.set(0)
        }
        .boxed_local()
    }

    /// Nobody can have written a message down sooner than the disk does.
    fn figures(&self, _: &[Record], course: &Course) -> Vec<Figure> {
        let acks = course.during.acks.p50_ms as f64;
        vec![Figure::new("ack p50 while each write takes 200 ms", acks, "ms").at_least(DELAY.as_secs_f64() * 1e3)]
    }
}
