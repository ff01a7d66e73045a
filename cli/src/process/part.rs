//! The service, the proxy and the reconciler: started detached with a log, watched until ready, stopped.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::ProcessId;
use crate::failure::{Context as _, Failure, Outcome};
use crate::layout::DataDir;

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
    pub fn start(self, dir: &DataDir, every: u64) -> Outcome<Child> {
        let program = beside(self.program())?;
        let log = open_log(&dir.log(self.name()))?;
        let both = log.try_clone();
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
            .stdout(both.context(|| "the log cannot be opened twice".to_owned())?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context(|| format!("{} cannot be started", program.display()))?;
        if let Some(process) = ProcessId::of(child.id()) {
            process.record(&dir.pid_file(self.name()))?;
        }
        Ok(child)
    }

    /// Waits until `url` answers 2xx, or the part ends, or time is up.
    pub fn wait_ready(
        self,
        dir: &DataDir,
        child: &mut Child,
        url: &str,
        limit: Duration,
    ) -> Outcome<()> {
        let client = reqwest::blocking::Client::builder()
            .timeout(Duration::from_secs(2))
            .no_proxy()
            .build()
            .context(|| "no HTTP client can be made".to_owned())?;
        let start = Instant::now();
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(self.died(dir, &format!("it ended with {status}")));
            }
            let last = match client.get(url).send() {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => format!("{url} answers {}", answer.status()),
                Err(error) => format!("{url}: {error}"),
            };
            if start.elapsed() >= limit {
                let why = format!("not ready after {} s; {last}", limit.as_secs());
                return Err(self.died(dir, &why));
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The failure of a part that ended or does not answer, with the end of its log.
    pub fn died(self, dir: &DataDir, why: &str) -> Failure {
        let log = dir.log(self.name());
        Failure::new(format!("the {} does not run: {why}", self.name()))
            .why(format!("the end of {}:\n{}", log.display(), tail(&log, 20)))
            .next("mend what the log names, then run refwarden up again")
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

/// Opens a log to append to, for its owner only.
pub fn open_log(path: &Path) -> Outcome<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .context(|| format!("{} cannot be opened", path.display()))
}

/// The last lines of a file.
pub fn tail(path: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(16 << 10)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_else(|error| error.to_string());
    let all: Vec<&str> = text.lines().collect();
    let from = all.len().saturating_sub(lines);
    let kept: Vec<String> = all
        .iter()
        .skip(from)
        .map(|line| format!("  {line}"))
        .collect();
    if kept.is_empty() {
        return "  (it is empty)".to_owned();
    }
    kept.join("\n")
}
