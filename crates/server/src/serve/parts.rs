//! What each part of the house is told, taken from the configuration.
//!
//! Must never hold a default of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hubbub_bus::BusConfig;
use hubbub_gateway::{GatewayConfig, TlsMode as GatewayTls};
use hubbub_store::{Store, StoreConfig};
use rand::RngExt as _;

use crate::config::{Config, Pooler, TlsMode};
use crate::failure::Failure;
use crate::signing;

/// The certificate's folder in the data folder.
const TLS_FOLDER: &str = "tls";

/// Where the kernel tells the host's name.
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

/// Of the host's name, so that name and random part fit the longest node name.
const HOST_NAME_CHARS_MAX: usize = 48;

/// The store's part.
pub(crate) fn store_config(config: &Config) -> StoreConfig {
    StoreConfig {
        url: config.database.url.expose().to_owned(),
        pooler: match config.database.pooler {
            Pooler::None => hubbub_store::Pooler::None,
            Pooler::Transaction => hubbub_store::Pooler::Transaction,
        },
        replica_url: config.database.replica_url.as_ref().map(|url| url.expose().to_owned()),
        // The table of keys bounds it far below.
        pool_max: u32::try_from(config.database.pool_max).unwrap_or(u32::MAX),
        migrate: config.database.migrate,
    }
}

/// The store for a command that ends soon: one try, and nobody to publish to.
pub(crate) async fn open_store(config: &Config) -> Result<Store, Failure> {
    make_data_folder(config)?;
    Ok(Store::open(&store_config(config), &prometheus::Registry::new(), Arc::new(|_| {})).await?)
}

/// The bus's part.
pub(crate) fn bus_config(config: &Config, node: &str) -> BusConfig {
    let redis = &config.redis;
    BusConfig {
        urls: redis.urls().map(|url| url.expose().to_owned()).collect(),
        ca_file: redis.ca_file.clone(),
        sentinel_user: redis.sentinel_user.clone(),
        sentinel_password: redis.sentinel_password.as_ref().map(|password| password.expose().to_owned()),
        prefix: redis.prefix.clone(),
        ..BusConfig::in_process(node)
    }
}

/// The gateway's part.
pub(super) fn gateway_config(config: &Config, node: &str) -> GatewayConfig {
    GatewayConfig {
        listen: config.listen,
        ops_listen: config.ops_listen,
        public_url: config.public_url.clone(),
        tls: tls(config),
        allowed_origins: config.auth.allowed_origins.clone(),
        deflate: config.websocket.deflate,
        tick: config.websocket.tick,
        node: node.to_owned(),
        drain: config.drain,
        admission: config.admission,
        proxy: Arc::new(config.proxy.told()),
        rebalance: config.rebalance,
    }
}

fn tls(config: &Config) -> GatewayTls {
    let files = (config.tls.cert_file.clone(), config.tls.key_file.clone());
    match (config.tls.mode, files) {
        (TlsMode::Off, _) => GatewayTls::Off,
        (TlsMode::Files, (Some(cert_file), Some(key_file))) => GatewayTls::Files { cert_file, key_file },
        // Files that are missing were refused when the configuration was checked for serving.
        (TlsMode::SelfSigned | TlsMode::Files, _) => {
            GatewayTls::SelfSigned { folder: Some(config.data_folder.join(TLS_FOLDER)) }
        }
    }
}

/// The SQLite file, if the database is one.
pub(super) fn database_file(config: &Config) -> Option<PathBuf> {
    // What stands behind the path are settings of the driver.
    let file = config.database.url.expose().strip_prefix("sqlite://")?.split('?').next()?;
    Some(PathBuf::from(file))
}

/// Makes the data folder where something will be kept in it: before anybody else does, who would let others read it.
pub(crate) fn make_data_folder(config: &Config) -> Result<(), Failure> {
    let makes_secret = signing::own_secret_file(config).is_some();
    let database = config.database.url.expose().strip_prefix("sqlite://").map(Path::new);
    let keeps_database = database.is_some_and(|file| file.starts_with(&config.data_folder));
    if makes_secret || keeps_database || config.tls.mode == TlsMode::SelfSigned {
        signing::make_private_folder(&config.data_folder)?;
    }
    Ok(())
}

/// The configured name, else the host's name and a random part that tells two nodes of one host apart.
pub(super) fn node_name(config: &Config) -> String {
    if let Some(name) = &config.node.name {
        return name.clone();
    }
    let host = std::fs::read_to_string(HOST_NAME_FILE).unwrap_or_default();
    let host: String = host.chars().filter(char::is_ascii_graphic).take(HOST_NAME_CHARS_MAX).collect();
    let host = if host.is_empty() { "node" } else { &host };
    format!("{host}-{:04x}", rand::rng().random::<u16>())
}
