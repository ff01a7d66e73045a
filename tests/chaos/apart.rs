//! Namespaces of its own for mounts and for the network (namespaces(7)): what is mounted and unplugged
//! here is nobody else's, and is gone with the last process.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// Set in the environment of the program that runs in them.
const INSIDE: &str = "REFWARDEN_CHAOS_APART";

/// Begins this program anew in namespaces of its own, and does not return then.
///
/// # Errors
/// Why it cannot. It goes on where it is, without what needs them.
pub fn enter() -> Result<(), String> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        return Err("needs root".to_owned());
    }
    let tried = apart()
        .args(["ip", "link", "show", "lo"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !tried.is_ok_and(|status| status.success()) {
        return Err("needs root with the right to mount, unshare and ip".to_owned());
    }
    let error = apart()
        // The loopback interface of a new namespace is down.
        .args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(format!("needs unshare: {error}"))
}

fn apart() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--propagation", "private"]);
    command
}
