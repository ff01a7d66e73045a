//! The baseline: refs and one pack of everything they reach, streamed to the service.

use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::ProgressBar;
use refwarden_model::{ObjectFormat, Oid, RepositoryId};
use refwarden_wire::hook::{ADOPT, AdoptIn, AdoptOut, FRAMED, Observed, Symref};
use reqwest::StatusCode;
use reqwest::blocking::{Body, Response};
use sha2::{Digest as _, Sha256};

use super::Host;
use crate::api::client;
use crate::failure::{Context as _, Failure, Outcome};
use crate::git::{self, Refs};
use crate::progress;

/// What is recorded.
pub struct Baseline<'a> {
    /// The repository's path.
    pub repository: &'a Path,
    /// Its id.
    pub id: RepositoryId,
    /// Its name.
    pub name: &'a str,
    /// Its hash function.
    pub format: ObjectFormat,
    /// Its refs.
    pub refs: &'a Refs,
}

/// Why a repository is not under guard.
pub enum NotAdopted {
    /// The service has recorded nothing.
    Certainly(Failure),
    /// It may have, and may not.
    Perhaps(Failure),
}

impl From<Failure> for NotAdopted {
    /// Of whatever fails before anything is sent.
    fn from(failure: Failure) -> Self {
        Self::Certainly(failure)
    }
}

impl Baseline<'_> {
    /// Sends it, and checks that what arrived is what left. Memory stays constant.
    pub fn send(&self, host: &Host) -> Result<AdoptOut, NotAdopted> {
        let credential = std::fs::read_to_string(&host.config.credential_file).context(|| {
            let file = host.config.credential_file.display();
            format!("the host credential {file} cannot be read")
        })?;
        let head = serde_json::to_vec(&self.adopt_in())
            .context(|| "the refs have no JSON form".to_owned())?;
        let length = u32::try_from(head.len()).context(|| "there are too many refs".to_owned())?;
        let frame = [&length.to_be_bytes()[..], &head].concat();
        let end = Arc::new(Mutex::new(End::default()));
        let body = match self.pack()? {
            None => Body::from(frame),
            Some(child) => {
                let pack = PackReader::new(child, Arc::clone(&end));
                Body::new(std::io::Cursor::new(frame).chain(pack))
            }
        };
        let url = format!("{}{ADOPT}", host.config.service_url);
        let sent = client::client(Duration::from_hours(24))?
            .post(url)
            .header("content-type", FRAMED)
            .bearer_auth(credential.trim_end())
            .body(body)
            .send();
        let end = end.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = &end.failure {
            // The service takes no part of a pack for the whole.
            let failure = Failure::new("the pack of the baseline cannot be made").why(why);
            return Err(NotAdopted::Certainly(failure));
        }
        let answer = sent.map_err(|error| {
            let was_sent = !error.is_connect();
            let failure = Failure::new("the baseline cannot be sent")
                .why(error)
                .next("see whether the service runs: refwarden status");
            if was_sent {
                NotAdopted::Perhaps(failure)
            } else {
                NotAdopted::Certainly(failure)
            }
        })?;
        if !answer.status().is_success() {
            return Err(refused(answer));
        }
        let out: AdoptOut = answer
            .json()
            .context(|| "the service's answer is not understood".to_owned())
            .map_err(NotAdopted::Perhaps)?;
        if out.pack_digest != end.digest {
            let failure = Failure::new("the baseline did not arrive as it was sent")
                .why("the SHA-256 of the pack differs");
            return Err(NotAdopted::Perhaps(failure));
        }
        Ok(out)
    }

    fn adopt_in(&self) -> AdoptIn {
        let direct = self.refs.direct.iter();
        let symbolic = self.refs.symbolic.iter();
        AdoptIn {
            repository: self.id,
            name: self.name.to_owned(),
            object_format: self.format,
            head: self.refs.head.clone(),
            refs: direct
                .map(|(name, oid)| Observed {
                    target: name.clone(),
                    value: *oid,
                })
                .collect(),
            symrefs: symbolic
                .map(|(name, target)| Symref {
                    name: name.clone(),
                    target: target.clone(),
                })
                .collect(),
            // Not known before the last byte; the digest is compared instead.
            pack_bytes: None,
            hook_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Starts `git pack-objects` for exactly the refs that were listed, whatever is pushed
    /// meanwhile; none for an empty repository.
    fn pack(&self) -> Outcome<Option<Child>> {
        let mut tips: Vec<Oid> = self.refs.direct.iter().map(|(_, oid)| *oid).collect();
        tips.extend(Oid::parse(self.refs.head.as_bytes()));
        if tips.is_empty() {
            return Ok(None);
        }
        let mut command = git::within(self.repository, "pack-objects");
        command
            .args(["--revs", "--stdout", "-q", "--delta-base-offset"])
            .stdin(Stdio::piped());
        let mut child = git::spawn(&mut command)?;
        if let Some(mut stdin) = child.stdin.take() {
            let lines = git::lines(&tips);
            // It reads all of its input before it writes.
            stdin
                .write_all(lines.as_bytes())
                .context(|| "git pack-objects does not read".to_owned())?;
        }
        Ok(Some(child))
    }
}

/// What an answer comes to that is no success.
fn refused(answer: Response) -> NotAdopted {
    let status = answer.status();
    let failure = Failure::refused("the service does not adopt the repository");
    let failure = failure.why(client::describe(answer));
    match status {
        StatusCode::CONFLICT => {
            let next = "give it another name: --name team/app";
            NotAdopted::Certainly(failure.next(next))
        }
        StatusCode::FORBIDDEN => {
            let next = "--as-new gives it an id and a record of its own";
            NotAdopted::Certainly(failure.next(next))
        }
        status if status.is_client_error() => NotAdopted::Certainly(failure),
        _ => NotAdopted::Perhaps(failure),
    }
}

/// What is known when the pack has ended.
#[derive(Default)]
struct End {
    digest: Option<String>,
    failure: Option<String>,
}

/// The output of `git pack-objects`, hashed as it passes. Ends in an error, never early, when
/// git fails, so that the service takes no part of a pack for the whole.
struct PackReader {
    child: Child,
    stdout: Option<ChildStdout>,
    hasher: Sha256,
    bar: ProgressBar,
    end: Arc<Mutex<End>>,
}

impl PackReader {
    fn new(mut child: Child, end: Arc<Mutex<End>>) -> Self {
        Self {
            stdout: child.stdout.take(),
            child,
            hasher: Sha256::new(),
            bar: progress::bytes("baseline", None),
            end,
        }
    }
}

impl Read for PackReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let Some(stdout) = &mut self.stdout else {
            return Ok(0);
        };
        let length = stdout.read(buffer)?;
        if length > 0 {
            self.hasher.update(buffer.get(..length).unwrap_or_default());
            self.bar.inc(u64::try_from(length).unwrap_or_default());
            return Ok(length);
        }
        self.stdout = None;
        self.bar.finish_and_clear();
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.failure = git::ended_badly(&mut self.child);
        if let Some(why) = &end.failure {
            return Err(std::io::Error::other(why.clone()));
        }
        end.digest = Some(hex::encode(self.hasher.clone().finalize()));
        Ok(0)
    }
}

impl Drop for PackReader {
    fn drop(&mut self) {
        // Only where the transfer broke off; a process that has ended is not there to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
