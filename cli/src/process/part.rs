//! The service, the proxy and the reconciler: started detached with a log, watched until ready, stopped.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::ProcessId;
use crate::failure::{Context as _, Failure, Outcome};
use crate::layout::DataDir;
use crate::output::printable;

/// How long a part may take to finish what it is doing when it is told to stop.
const STOP: Duration = Duration::from_secs(15);

/// One of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `refwarden-service`.
    Service,
    /// `refwarden-proxy`.
    Proxy,
    /// `refwarden reconcile`.
    Reconciler,
}

impl Part {
    /// All, in the order in which they start.
    pub const ALL: [Self; 3] = [Self::Service, Self::Proxy, Self::Reconciler];

    /// Its word, as in `log/service.log`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Proxy => "proxy",
            Self::Reconciler => "reconciler",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Service => "refwarden-service",
            Self::Proxy => "refwarden-proxy",
            Self::Reconciler => "refwarden",
        }
    }

    /// The process, if it runs.
    pub fn running(self, dir: &DataDir) -> Option<ProcessId> {
        ProcessId::running(&dir.pid_file(self.name()))
    }

    /// Starts it, in a process group of its own so that a Ctrl-C reaches only its starter.
    /// `every` is the reconciler's, in seconds.
    pub fn start(self, dir: &DataDir, every: u64) -> Outcome<Started> {
        let program = beside(self.program())?;
        let log = Log::open(dir.log(self.name()))?;
        let (out, err) = log.both()?;
        let mut command = Command::new(&program);
        match self {
            Self::Service | Self::Proxy => command.arg("--config").arg(dir.config_file()),
            Self::Reconciler => command
                .arg("reconcile")
                .arg("--data-dir")
                .arg(dir.root())
                .args(["--every", &format!("{every}s")]),
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .context(|| format!("{} cannot be started", program.display()))?;
        if let Some(process) = ProcessId::of(child.id()) {
            process.record(&dir.pid_file(self.name()))?;
        }
        Ok(Started {
            part: self,
            child,
            log,
        })
    }

    /// Stops it; says whether it ran. `reap` collects it where it is a child.
    pub fn stop(self, dir: &DataDir, reap: impl FnMut()) -> bool {
        let file = dir.pid_file(self.name());
        let process = ProcessId::running(&file);
        if let Some(process) = process {
            let mut reap = reap;
            process.signal(Signal::TERM);
            if !process.wait_gone(STOP, &mut reap) {
                eprintln!("the {} does not stop; killing it", self.name());
                process.signal(Signal::KILL);
                process.wait_gone(STOP, &mut reap);
            }
        }
        let _ = std::fs::remove_file(file);
        process.is_some()
    }
}

/// A part that was started here.
pub struct Started {
    part: Part,
    child: Child,
    log: Log,
}

impl Started {
    /// How it has ended, if it has. Collects it, so that it does not stay a zombie.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until `url` answers 2xx, or the part ends, or time is up.
    pub fn wait_ready(&mut self, url: &str, limit: Duration) -> Outcome<()> {
        let client = reqwest::blocking::Client::builder()
            .timeout(Duration::from_secs(2))
            .no_proxy()
            .build()
            .context(|| "no HTTP client can be made".to_owned())?;
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Err(self.died(&format!("it ended with {status}")));
            }
            let last = match client.get(url).send() {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => format!("{url} answers {}", answer.status()),
                Err(error) => format!("{url}: {error}"),
            };
            if start.elapsed() >= limit {
                let why = format!("not ready after {} s; {last}", limit.as_secs());
                return Err(self.died(&why));
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The failure of a part that ended or does not answer, with what it logged.
    pub fn died(&self, why: &str) -> Failure {
        Failure::new(format!("the {} does not run: {why}", self.part.name()))
            .why(self.log.told())
            .next("mend what the log names, then run refwarden up again")
    }
}

/// A log that a program appends to, and where its lines begin: those of earlier starts name mistakes
/// that were mended since.
pub struct Log {
    path: PathBuf,
    file: File,
    from: u64,
}

impl Log {
    /// Opens it, for its owner only.
    pub fn open(path: PathBuf) -> Outcome<Self> {
        let problem = || format!("{} cannot be opened", path.display());
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .context(problem)?;
        let from = file.metadata().context(problem)?.len();
        Ok(Self { path, file, from })
    }

    /// For standard output and standard error.
    pub fn both(&self) -> Outcome<(File, File)> {
        let again = || self.file.try_clone();
        let both = again().and_then(|one| Ok((one, again()?)));
        both.context(|| format!("{} cannot be opened twice", self.path.display()))
    }

    /// What was written since it was opened: errors alone where there are some.
    pub fn told(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(&self.path)?;
            let length = file.metadata()?.len();
            let from = self.from.max(length.saturating_sub(READ));
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_else(|error| error.to_string());
        let mut lines = cause(&text);
        lines.retain(|line| !line.trim().is_empty());
        let path = self.path.display();
        if lines.is_empty() {
            return format!("{path} says nothing about it");
        }
        let skipped = lines.len().saturating_sub(LINES);
        let lines: Vec<String> = lines
            .iter()
            .skip(skipped)
            .map(|line| format!("  {}", printable(&line.replace('\t', "  "))))
            .collect();
        format!("from {path}:\n{}", lines.join("\n"))
    }
}

/// Lines of a log that are shown, at most.
const LINES: usize = 20;
/// Bytes of a log that are looked at, at most.
const READ: u64 = 16 << 10;

/// The errors in a log, with the lines that belong to each; all lines where nothing is one.
fn cause(text: &str) -> Vec<&str> {
    let mut in_error = false;
    let errors = text.lines().filter(|line| {
        // "2026-01-31T12:00:00Z ERROR …": a line without such a word goes on with the one before.
        match line.split_whitespace().nth(1) {
            Some("ERROR") => in_error = true,
            Some("WARN" | "INFO" | "DEBUG" | "TRACE") => in_error = false,
            _ => {}
        }
        in_error
    });
    let errors: Vec<&str> = errors.collect();
    if errors.is_empty() {
        return text.lines().collect();
    }
    errors
}

/// A program that stands beside this one.
pub fn beside(name: &str) -> Outcome<PathBuf> {
    let here = std::env::current_exe()
        .and_then(|path| path.canonicalize())
        .context(|| "the path of this program is not known".to_owned())?;
    let path = here.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::new(format!("{} is missing", path.display()))
        .why("the programs of Refwarden stand in one directory")
        .next("build or install all of them: make build"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_the_errors_are_the_cause() {
        let log = "2026-01-31T12:00:00Z  INFO start: begins\n\
                   2026-01-31T12:00:01Z ERROR start: refwarden.toml is not accepted:\n\
                   line 3: no such key\n\
                   2026-01-31T12:00:02Z  INFO start: ends\n";
        let expected = [
            "2026-01-31T12:00:01Z ERROR start: refwarden.toml is not accepted:",
            "line 3: no such key",
        ];
        assert_eq!(cause(log), expected);
        assert_eq!(
            cause("thread panicked\nat x\n"),
            ["thread panicked", "at x"]
        );
    }

    #[test]
    fn what_earlier_starts_wrote_is_not_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("service.log");
        std::fs::write(&path, "1 ERROR an old mistake\n").unwrap();
        let log = Log::open(path).unwrap();
        assert!(log.told().ends_with("says nothing about it"));
        let (mut out, _) = log.both().unwrap();
        std::io::Write::write_all(&mut out, b"2 ERROR the new one\n").unwrap();
        let told = log.told();
        assert!(
            told.ends_with("service.log:\n  2 ERROR the new one"),
            "{told}"
        );
    }
}
