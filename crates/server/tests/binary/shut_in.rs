//! Issue 6, item 1: a node needs no rights, a read-only file system, and one folder to write in.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use crate::support::{Place, address, http};

#[test]
fn a_node_without_rights_writes_into_its_data_folder_alone_and_for_itself_alone() {
    let place = Place::new();
    let (root, data) = (place.path("root"), place.path("data"));
    fs::create_dir(&root).expect("a folder");
    // Whoever runs the tests gives up what root may beyond others, so that this folder cannot be written.
    fs::set_permissions(&root, fs::Permissions::from_mode(0o555)).expect("set");
    let data_text = data.display().to_string();
    let mut node = place.serve_shut_in(&root, &[("HUBBUB_DATA_FOLDER", &data_text), ("TMPDIR", "/nowhere")]);
    let serving = node.wait_for("serving");
    assert_eq!(http(address(&serving, "ops"), "GET /readyz", "").0, 200);
    assert_eq!(fs::read_dir(&root).expect("a folder").count(), 0);
    for name in ["", "hubbub.db", "token-secret", "tls/key.pem"] {
        let mode = fs::metadata(data.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")).permissions().mode();
        assert_eq!(mode & 0o077, 0, "`{name}` is for others too");
    }
    node.signal(Signal::TERM);
    let (code, log) = node.end();
    assert_eq!(code, Some(0), "{log}");
}
