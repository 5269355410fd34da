//! HAProxy before the nodes: TCP passed through (TLS too), the least loaded ready node gets the next connection.
//!
//! Must never look into what it passes on.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use tokio::net::TcpStream;

use super::START_LIMIT;
use crate::ports;
use crate::process::{Process, find_program};

/// A running balancer.
#[derive(Debug)]
pub struct Haproxy {
    /// Where clients connect.
    pub port: u16,
    /// Ended when dropped.
    _process: Process,
}

impl Haproxy {
    /// Starts it before nodes, each given as its port for clients and its port for operators.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(folder: &Path, nodes: &[(u16, u16)]) -> Result<Self> {
        let port = ports::free()?;
        let file = folder.join("haproxy.cfg");
        fs::write(&file, configuration(port, nodes))?;
        let mut command = Command::new(find_program("haproxy", "haproxy", &[])?);
        command.arg("-db").arg("-f").arg(&file);
        let mut process = Process::start("haproxy", command, &folder.join("haproxy.log"))?;
        let listens = async || TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        process.wait_until(START_LIMIT, "ready", listens).await?;
        Ok(Self { port, _process: process })
    }
}

fn configuration(port: u16, nodes: &[(u16, u16)]) -> String {
    let servers = nodes.iter().enumerate().map(|(index, (port, ops_port))| {
        format!("    server node-{index} 127.0.0.1:{port} check port {ops_port} inter 200ms fall 2 rise 1\n")
    });
    format!(
        "defaults\n    mode tcp\n    timeout connect 2s\n    timeout client 75s\n    timeout server 75s\n    \
        timeout check 2s\n    option redispatch\n    retries 3\n\nfrontend clients\n    bind 127.0.0.1:{port}\n    \
        default_backend nodes\n\nbackend nodes\n    balance leastconn\n    option httpchk GET /readyz\n    \
        http-check expect status 200\n{}",
        servers.collect::<String>()
    )
}
