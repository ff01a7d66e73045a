//! What could not be reported at once: one file of JSON lines per repository, each a `SettleIn`.
//! Written durably before the hook ends, sent in order by the next push's hooks and by the
//! reconciler.
//!
//! What the service rejects for good (400, 404, 409 and the like: it knows no such push, or cannot
//! read the report) is kept in a file ending in `.rejected` and never sent again. Nothing depends
//! on it: the reconciler settles the push, or reports the move as out of band, by the ref itself,
//! and names the file as a defect until an administrator has taken it away.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use refwarden_gitio::Refs;
use refwarden_model::RefName;
use refwarden_wire::hook::{Observed, SETTLE, SettleIn, SettleOut};
use rustix::fs::{FlockOperation, flock};

use crate::client::{CallError, Client};
use crate::fault::Fault;
use crate::host::Host;

/// The spool of one repository.
pub struct Spool {
    directory: PathBuf,
    stem: String,
}

/// How long a push waits for older reports to be sent.
pub const IN_A_PUSH: Duration = Duration::from_secs(1);

/// How long the reconciler does, whom nobody waits for.
pub const AT_LEISURE: Duration = Duration::from_secs(10);

/// Where refs are now, each once, a symbolic ref by its target.
pub fn observed(host: &Host, names: &[RefName]) -> Result<Vec<Observed>, Fault> {
    let resolved = Refs::new(&host.repository).resolve(names)?;
    let values: BTreeMap<_, _> = resolved
        .into_iter()
        .map(|resolved| (resolved.target, resolved.value))
        .collect();
    let observed = |(target, value)| Observed { target, value };
    Ok(values.into_iter().map(observed).collect())
}

impl Spool {
    /// The spool of the host's repository.
    pub fn of(host: &Host) -> Self {
        Self {
            directory: host.config.spool_dir.clone(),
            stem: host.id.to_string(),
        }
    }

    /// Sends a report, or keeps it: on disk when this returns. Reports keep their order: where
    /// older ones wait, this one waits behind them.
    pub fn report(&self, client: Option<&Client>, report: &SettleIn) -> Result<(), Fault> {
        let kept = match client.filter(|_| self.is_empty()) {
            None => self.append(report),
            Some(client) => match client.call::<_, SettleOut>(SETTLE, report) {
                Ok(_) => Ok(()),
                Err(CallError::Rejected(_)) => self.reject(report),
                Err(CallError::Failed(_)) => self.append(report),
            },
        };
        kept.map_err(|_| Fault::hook("what became of the push could not be reported"))
    }

    fn append(&self, report: &SettleIn) -> io::Result<()> {
        let mut line = serde_json::to_vec(report)?;
        line.push(b'\n');
        let _lock = self.lock()?;
        self.append_to("jsonl", &line)
    }

    fn reject(&self, report: &SettleIn) -> io::Result<()> {
        let mut line = serde_json::to_vec(report)?;
        line.push(b'\n');
        let _lock = self.lock()?;
        self.append_to("rejected", &line)
    }

    /// Whether there are reports that the service did not take.
    pub fn has_rejected(&self) -> bool {
        std::fs::metadata(self.file("rejected")).is_ok_and(|file| file.len() > 0)
    }

    /// Whether there is something to send.
    pub fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Bytes that wait to be sent.
    pub fn bytes(&self) -> u64 {
        let length = std::fs::metadata(self.file("jsonl")).map(|file| file.len());
        length.unwrap_or(0)
    }

    /// Sends what there is, in order, and stops at the first failure and when time is up.
    pub fn drain(&self, client: &Client, limit: Duration) -> Result<(), Fault> {
        if self.is_empty() {
            return Ok(());
        }
        self.drain_until(client, Instant::now() + limit)
            .map_err(|error| Fault::hook(format!("the spool: {}", error.kind())))
    }

    fn drain_until(&self, client: &Client, deadline: Instant) -> io::Result<()> {
        let _lock = self.lock()?;
        let bytes = match std::fs::read(self.file("jsonl")) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut rest = bytes.as_slice();
        while !rest.is_empty() && Instant::now() < deadline {
            let end = rest.iter().position(|&byte| byte == b'\n');
            let length = end.map_or(rest.len(), |end| end + 1);
            let (line, later) = rest.split_at_checked(length).unwrap_or((rest, b""));
            let left = deadline.saturating_duration_since(Instant::now());
            match client.call_spooled::<SettleOut>(SETTLE, line.to_vec(), left) {
                Ok(_) => {}
                Err(CallError::Rejected(_)) => self.append_to("rejected", line)?,
                Err(CallError::Failed(_)) => break,
            }
            rest = later;
        }
        if rest.len() < bytes.len() {
            self.replace(rest)?;
        }
        Ok(())
    }

    fn replace(&self, rest: &[u8]) -> io::Result<()> {
        let temporary = self.file("jsonl.new");
        let mut file = File::create(&temporary)?;
        file.write_all(rest)?;
        file.sync_all()?;
        std::fs::rename(temporary, self.file("jsonl"))?;
        File::open(&self.directory)?.sync_all()
    }

    fn append_to(&self, extension: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.file(extension);
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        File::open(&self.directory)?.sync_all()
    }

    fn lock(&self) -> io::Result<File> {
        std::fs::create_dir_all(&self.directory)?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.file("lock"))?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", self.stem))
    }
}
