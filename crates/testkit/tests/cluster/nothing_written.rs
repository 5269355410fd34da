//! Issue 6, item 1: a node of a cluster writes no file.

use std::fs;

use hubbub_testkit::{Cluster, ClusterConfig};

use crate::caller::Caller;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_cluster_writes_no_file() {
    let cluster = Cluster::start(ClusterConfig { nodes: 1, ..ClusterConfig::default() }).await.expect("cluster");
    let room = cluster.create_room("lobby").await.expect("room");
    let mut caller = Caller::open(&cluster, 0, 0).await.expect("connection");
    caller.send(room, "m1").await.expect("acked");
    // Its working folder, which is where relative paths lead and where its data folder would be.
    let folder = cluster.folder().join("node-0");
    let left: Vec<_> =
        fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(left, ["node-0.log"], "its output, which this test has redirected");
    let pid = cluster.members[0].node.pid().expect("it runs");
    for descriptor in fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").flatten() {
        let Ok(file) = fs::read_link(descriptor.path()) else { continue };
        let is_writable = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", descriptor.file_name().display()))
            .is_ok_and(|text| is_open_for_writing(&text));
        let is_its_output = file == folder.join("node-0.log");
        assert!(!(file.is_file() && is_writable) || is_its_output, "{} is open for writing", file.display());
    }
}

/// The access mode stands in the last two bits of the flags, in octal (proc_pid_fdinfo(5)).
fn is_open_for_writing(fdinfo: &str) -> bool {
    let flags = fdinfo.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_some_and(|flags| flags & 0b11 != 0)
}
