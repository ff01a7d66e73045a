//! Processes as /proc shows them (proc(5)).

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A process below another.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// The name of its program; of git's, the subcommand.
    pub name: String,
    /// Its first argument.
    pub argument: String,
}

/// Sends a signal; whether there was anybody to take it.
pub fn signal(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// Everything below a process, parents before children.
pub fn below(pid: u32) -> Vec<Process> {
    let mut found = Vec::new();
    collect(pid, &mut found);
    found
}

fn collect(pid: u32, found: &mut Vec<Process>) {
    for child in children(pid) {
        found.extend(describe(child));
        collect(child, found);
    }
}

/// The children of a process, of any of its threads.
pub fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    let texts = threads
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    texts
        .flat_map(|text| {
            let pids: Vec<u32> = text
                .split_whitespace()
                .filter_map(|it| it.parse().ok())
                .collect();
            pids
        })
        .collect()
}

fn describe(pid: u32) -> Option<Process> {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = command
        .split(|&byte| byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned());
    let program = words.next()?;
    let mut name = program.rsplit('/').next().unwrap_or_default().to_owned();
    if name == "git" {
        name = words.find(|word| !word.starts_with('-')).unwrap_or(name);
    }
    let name = name.strip_prefix("git-").unwrap_or(&name).to_owned();
    let argument = words.next().unwrap_or_default();
    Some(Process {
        pid,
        name,
        argument,
    })
}

/// The processes that work in a directory, wherever their parents are.
pub fn working_in(directory: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let working = std::fs::read_link(format!("/proc/{pid}/cwd"));
            working.is_ok_and(|working| working.starts_with(directory)) && is_running(*pid)
        })
        .collect()
}

/// Whether a process runs; a zombie does not.
pub fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

/// Waits for a condition; whether it came true in time.
pub fn wait(within: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !condition() {
        if begun.elapsed() > within {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}
