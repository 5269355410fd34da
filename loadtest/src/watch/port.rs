//! Which processes listen on a port.
//!
//! Must never take a connection of that port for a listener.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;

/// `TCP_LISTEN` as the kernel writes it.
const LISTEN: &str = "0A";

/// The processes that listen on this port and that we may look into.
#[must_use]
pub fn processes_on(port: u16) -> Vec<u32> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let inodes: BTreeSet<u64> = tables.iter().flat_map(|table| listeners(table, port)).collect();
    if inodes.is_empty() {
        return Vec::new();
    }
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut pids: Vec<u32> = pids.filter(|pid| holds(*pid, &inodes)).collect();
    pids.sort_unstable();
    pids
}

/// The inodes of the sockets that listen on this port.
fn listeners(table: &str, port: u16) -> impl Iterator<Item = u64> + '_ {
    table.lines().skip(1).filter_map(move |line| {
        let mut fields = line.split_ascii_whitespace();
        let (_, at) = fields.nth(1)?.rsplit_once(':')?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?.parse().ok()?;
        (u16::from_str_radix(at, 16).ok()? == port && state == LISTEN).then_some(inode)
    })
}

fn holds(pid: u32, inodes: &BTreeSet<u64>) -> bool {
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok()).any(|target| {
        let inode = target.as_os_str().as_bytes().strip_prefix(b"socket:[").and_then(|rest| rest.strip_suffix(b"]"));
        let inode = inode.and_then(|inode| std::str::from_utf8(inode).ok()).and_then(|inode| inode.parse().ok());
        inode.is_some_and(|inode: u64| inodes.contains(&inode))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        assert_eq!(processes_on(port), [std::process::id()]);
    }
}
