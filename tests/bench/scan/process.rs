//! Runs a program on one core and looks at what it uses.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Ticks in a second as `/proc` has them (`USER_HZ`): 100 on every machine that Refwarden runs on.
const TICKS: u64 = 100;

/// What a run took.
pub struct Usage {
    /// From start to end.
    pub wall: Duration,
    /// User and system time, of all its processes.
    pub processor: Duration,
    /// Largest resident set of the program itself, in KiB, looked at every few milliseconds.
    pub peak: u64,
}

/// Puts a program on one core.
pub fn on_one_core(program: &std::path::Path) -> Command {
    let mut command = Command::new("taskset");
    command
        .args(["-c", "0"])
        .arg(program)
        .env("GOMAXPROCS", "1");
    command
}

/// Runs it to its end, which must be with one of `codes`. What it prints is dropped.
pub fn run(mut command: Command, codes: &[i32]) -> Usage {
    let before = processor_of_children();
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let status_file = format!("/proc/{}/status", child.id());
    let (over, ended) = std::sync::mpsc::channel::<()>();
    let watcher = std::thread::spawn(move || {
        let mut peak = 0;
        while ended.recv_timeout(Duration::from_millis(3)).is_err() {
            let status = std::fs::read_to_string(&status_file).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let seen = line.and_then(|it| it.trim().trim_end_matches(" kB").parse().ok());
            peak = peak.max(seen.unwrap_or(0));
        }
        peak
    });
    let status = child.wait().unwrap();
    let wall = begun.elapsed();
    over.send(()).unwrap();
    let peak = watcher.join().unwrap();
    let code = status.code();
    assert!(
        code.is_some_and(|code| codes.contains(&code)),
        "{command:?} ended with {status}"
    );
    Usage {
        wall,
        processor: processor_of_children().saturating_sub(before),
        peak,
    }
}

/// Runs it to its end, which must be with one of `codes`, and yields what it printed.
pub fn output(mut command: Command, codes: &[i32]) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let code = output.status.code();
    assert!(
        code.is_some_and(|code| codes.contains(&code)),
        "{command:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// User and system time of all ended children and theirs: `cutime` and `cstime` of
/// `/proc/self/stat` (`proc_pid_stat`(5)).
fn processor_of_children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name before may hold anything but ends with the last parenthesis.
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = rest
        .split(' ')
        .skip(13)
        .take(2)
        .map(|it| it.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}
