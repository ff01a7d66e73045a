//! Which run of receive-pack a hook belongs to: its parent process, as the kernel names it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use refwarden_wire::hook::Correlation;

use crate::fault::Fault;

/// The process that runs the hook.
pub struct Parent {
    /// Its name on this machine, for ever.
    pub correlation: Correlation,
    /// Whether it is `git receive-pack`.
    pub is_receive_pack: bool,
}

impl Parent {
    /// Looks at this process's parent (proc(5)).
    pub fn of_this_process() -> Result<Self, Fault> {
        let parent = rustix::process::getppid()
            .map(rustix::process::Pid::as_raw_nonzero)
            .and_then(|pid| u32::try_from(pid.get()).ok())
            .ok_or_else(|| Fault::hook("the hook's parent process is gone"))?;
        let command = std::fs::read(format!("/proc/{parent}/cmdline"));
        let command = command.map_err(untold)?;
        Ok(Self {
            is_receive_pack: is_receive_pack(&command),
            correlation: of(parent)?,
        })
    }
}

/// The process that has started another one's parent.
pub struct Starter {
    /// Its name on this machine, for ever.
    pub correlation: Correlation,
    /// Its command line, without the program.
    pub arguments: Vec<OsString>,
    /// A path to the directory that it works in.
    pub directory: PathBuf,
}

impl Parent {
    /// The process that has started this parent, where it runs a program of this name (proc(5));
    /// none also where that cannot be told.
    pub fn starter(&self, program: &str) -> Option<Starter> {
        let stat = std::fs::read(format!("/proc/{}/stat", self.correlation.pid)).ok()?;
        let after = stat.iter().rposition(|&byte| byte == b')')?;
        let rest = std::str::from_utf8(stat.get(after + 1..)?).ok()?;
        let pid: u32 = rest.split_ascii_whitespace().nth(1)?.parse().ok()?;
        let correlation = of(pid).ok()?;
        let process = PathBuf::from(format!("/proc/{pid}"));
        let runs = std::fs::read_link(process.join("exe")).ok()?;
        let name = runs.file_name()?.to_str()?;
        // An update of the program, while this one ran.
        let name = name.strip_suffix(" (deleted)").unwrap_or(name);
        let line = std::fs::read(process.join("cmdline")).ok()?;
        let words = line.split(|&byte| byte == 0).skip(1);
        (name == program).then(|| Starter {
            correlation,
            arguments: words.map(|it| OsStr::from_bytes(it).to_owned()).collect(),
            directory: process.join("cwd"),
        })
    }
}

/// This process's own name on this machine, for ever.
pub fn of_this_process() -> Result<Correlation, Fault> {
    of(std::process::id())
}

fn of(pid: u32) -> Result<Correlation, Fault> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).map_err(untold)?;
    let start_ticks = start_ticks(&stat)
        .ok_or_else(|| Fault::hook("the process that runs the hook cannot be told"))?;
    let namespace = std::fs::metadata("/proc/self/ns/pid").map_err(untold)?;
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(untold)?;
    Ok(Correlation {
        boot_id: boot_id.trim().to_owned(),
        pid_namespace: std::os::unix::fs::MetadataExt::ino(&namespace),
        pid,
        start_ticks,
    })
}

fn untold(_: std::io::Error) -> Fault {
    Fault::hook("the process that runs the hook cannot be told")
}

/// Whether a run of receive-pack can still move refs. What cannot be told is taken to run: a
/// process of another pid namespace cannot be seen from here.
pub fn may_run(run: &Correlation) -> bool {
    let Ok(boot_id) = std::fs::read_to_string("/proc/sys/kernel/random/boot_id") else {
        return true;
    };
    if boot_id.trim() != run.boot_id {
        return false;
    }
    let Ok(namespace) = std::fs::metadata("/proc/self/ns/pid") else {
        return true;
    };
    if std::os::unix::fs::MetadataExt::ino(&namespace) != run.pid_namespace {
        return true;
    }
    match std::fs::read(format!("/proc/{}/stat", run.pid)) {
        Ok(stat) => start_ticks(&stat) == Some(run.start_ticks) && !is_zombie(&stat),
        Err(error) => {
            error.kind() != std::io::ErrorKind::NotFound && error.raw_os_error() != Some(ESRCH)
        }
    }
}

/// What reading a process's file says when it ends meanwhile.
const ESRCH: i32 = 3;

/// Whether field 3 of `/proc/<pid>/stat` says that the process has ended.
fn is_zombie(stat: &[u8]) -> bool {
    let after = stat.iter().rposition(|&byte| byte == b')');
    let state = after.and_then(|after| stat.get(after + 2));
    matches!(state, Some(b'Z' | b'X'))
}

/// Field 22 of `/proc/<pid>/stat`. The second field is a name in parentheses that may hold
/// anything, parentheses included, so counting starts after the last one.
fn start_ticks(stat: &[u8]) -> Option<u64> {
    let after = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(after + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// `git-receive-pack …`, or `git [options] receive-pack …`.
fn is_receive_pack(cmdline: &[u8]) -> bool {
    let mut words = cmdline.split(|&byte| byte == 0);
    let program = words.next().unwrap_or_default();
    let name = program.rsplit(|&byte| byte == b'/').next();
    match name {
        Some(b"git-receive-pack") => true,
        Some(b"git") => {
            let mut takes_value = false;
            let subcommand = words.find(|word| {
                let is_value = std::mem::replace(&mut takes_value, matches!(*word, b"-c" | b"-C"));
                !is_value && !word.starts_with(b"-")
            });
            subcommand == Some(b"receive-pack")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receive_pack_is_told_from_other_commands() {
        for (command, expected) in [
            (&b"git-receive-pack\0/r.git\0"[..], true),
            (b"/usr/lib/git-core/git-receive-pack\0/r.git\0", true),
            (b"git\0receive-pack\0/r.git\0", true),
            (b"/usr/bin/git\0-c\0a.b=c\0receive-pack\0/r.git\0", true),
            (b"git\0-c\0receive-pack\0update-ref\0", false),
            (b"git\0update-ref\0receive-pack\0", false),
            (b"git\0pack-refs\0", false),
            (b"sh\0-c\0git receive-pack\0", false),
            (b"", false),
        ] {
            assert_eq!(is_receive_pack(command), expected);
        }
    }

    #[test]
    fn a_start_time_is_found_behind_any_name() {
        let stat = b"12 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_ticks(stat), Some(4711));
        assert_eq!(start_ticks(b"12 (x"), None);
    }
}
