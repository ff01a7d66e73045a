//! Which process it is: a process id is used again, a process id with its start time is not.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::Outcome;
use crate::layout::write_file;

/// A process, by id and start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessId {
    /// Its id.
    pub pid: u32,
    /// Its start, in clock ticks since boot (proc(5), stat field 22).
    start_ticks: u64,
}

impl ProcessId {
    /// A process that runs now. A zombie does not.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the command in parentheses, and may itself hold any of them.
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = fields.next()?;
        let start_ticks = fields.nth(18)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some(Self { pid, start_ticks })
    }

    /// Reads a file that [`Self::record`] wrote; none unless that process still runs.
    pub fn running(file: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(file).ok()?;
        let (pid, start_ticks) = text.trim_end().split_once(' ')?;
        let recorded = Self {
            pid: pid.parse().ok()?,
            start_ticks: start_ticks.parse().ok()?,
        };
        recorded.is_running().then_some(recorded)
    }

    /// Writes it down.
    pub fn record(self, file: &Path) -> Outcome<()> {
        write_file(file, 0o644, &format!("{} {}\n", self.pid, self.start_ticks))
    }

    /// Whether it still runs.
    pub fn is_running(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal, if it still runs.
    pub fn signal(self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.is_running()) {
            // It may end between the look and the signal, which is what was wanted.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits until it is gone; false when it is not by then. `reap` collects children.
    pub fn wait_gone(self, limit: Duration, mut reap: impl FnMut()) -> bool {
        let start = Instant::now();
        loop {
            reap();
            if !self.is_running() {
                return true;
            }
            if start.elapsed() >= limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_left_behind_names_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.pid");
        assert_eq!(ProcessId::running(&file), None);
        let me = ProcessId::of(std::process::id()).unwrap();
        me.record(&file).unwrap();
        assert_eq!(ProcessId::running(&file), Some(me));
        std::fs::write(&file, format!("{} 1\n", me.pid)).unwrap();
        assert_eq!(ProcessId::running(&file), None);
        std::fs::write(&file, "nonsense").unwrap();
        assert_eq!(ProcessId::running(&file), None);
    }
}
