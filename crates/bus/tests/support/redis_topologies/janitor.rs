//! Ends every server that is still there when this process ends, in whatever way it ends.
//!
//! One shell for the whole process: it reads which servers came and went, and acts when its input ends. Must never
//! signal a process that was not named to it, nor one that was taken back.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Deaf to the Ctrl-C or time limit that ends its owner.
const SCRIPT: &str = r#"
    trap '' INT TERM HUP
    pids= folders=
    while read -r what pid folder; do
        case $what in
            came) pids="$pids $pid" folders="$folders $folder" ;;
            went) left=; for each in $pids; do [ "$each" = "$pid" ] || left="$left $each"; done; pids=$left ;;
        esac
    done
    [ -z "$pids" ] || kill -9 $pids 2>/dev/null
    [ -z "$folders" ] || rm -rf $folders
"#;

/// A server was started in this folder, which has no space in its name.
pub(super) fn came(pid: u32, folder: &Path) {
    tell(&format!("came {pid} {}\n", folder.display()));
}

/// A server is about to be ended by its owner.
pub(super) fn went(pid: u32) {
    tell(&format!("went {pid}\n"));
}

fn tell(line: &str) {
    static SHELL: OnceLock<Mutex<Child>> = OnceLock::new();
    let shell = SHELL.get_or_init(|| {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Mutex::new(command.process_group(0).spawn().expect("a shell"))
    });
    let mut shell = shell.lock().unwrap_or_else(PoisonError::into_inner);
    shell.stdin.as_mut().expect("a pipe").write_all(line.as_bytes()).expect("the shell reads");
}
