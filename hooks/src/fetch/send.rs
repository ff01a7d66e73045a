//! Tells the service of fetches that are over, one after the other, each until it is on record.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use refwarden_gitio::Repository;
use refwarden_model::{Oid, oidset};
use refwarden_wire::fetch::{
    Certainty, Ended, FETCH_KNOWN, FETCH_OBJECTS, FETCHES, FetchIn, FetchOut, KnownIn, KnownOut,
    OIDS_MAX, ObjectsIn, ObjectsOut, PartIn,
};
use rustix::fs::{FlockOperation, flock};

use super::asked::Question;
use super::directory;
use super::entry::{Begun, Entry, Finished};
use super::objects::{self, Source};
use crate::client::{CallError, Client};
use crate::fault::Fault;
use crate::host::Host;

/// After this long, a note that was never finished was left by a recorder that was killed.
const LEFT: Duration = Duration::from_hours(1);

/// What the service knew when a set was said for the last time, it knows still.
const ROUNDS_MAX: usize = 1000;

/// Sends what a host's spool holds. One sends at a time; who comes second leaves it to the first,
/// which looks again before it ends.
///
/// # Errors
/// Why something is left: it is tried again at the next fetch, and by the reconciler.
pub fn send(spool: &Path) -> Result<(), Fault> {
    let directory = directory(spool);
    let unreadable = |error: std::io::Error| {
        Fault::hook(format!(
            "the spool of fetches cannot be read: {}",
            error.kind()
        ))
    };
    while directory.is_dir() {
        let Some(lock) = lock(&directory).map_err(unreadable)? else {
            return Ok(());
        };
        clear(&directory);
        let mut hosts = Hosts::default();
        for entry in Entry::all(&directory).map_err(unreadable)? {
            if let Some(_held) = entry.hold().map_err(unreadable)? {
                one(&directory, &entry, &mut hosts)?;
            }
        }
        drop(lock);
        let mut left = Entry::all(&directory).map_err(unreadable)?.into_iter();
        // One that ended since the look, whose sender found the lock taken.
        if !left.any(|entry| !hosts.left.contains(&entry.id) && is_over(&entry)) {
            return Ok(());
        }
    }
    Ok(())
}

/// How many fetches wait in a host's spool, and how many were rejected by the service.
pub fn waiting(spool: &Path) -> (usize, usize) {
    let names = std::fs::read_dir(directory(spool))
        .into_iter()
        .flatten()
        .flatten();
    names.fold((0, 0), |(waiting, rejected), name| {
        let path = PathBuf::from(name.file_name());
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("fetch") => (waiting + 1, rejected),
            Some("rejected") => (waiting, rejected + 1),
            _ => (waiting, rejected),
        }
    })
}

/// Takes away what senders and recorders left that were killed.
fn clear(directory: &Path) {
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for path in names.map(|name| name.path()) {
        if path.is_dir() {
            // A sender's, and there is no other now.
            let _ = std::fs::remove_dir_all(path);
        } else if path.extension().is_some_and(|it| it == "making") {
            let made = std::fs::metadata(&path).and_then(|found| found.modified());
            if made.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFT)) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

fn is_over(entry: &Entry) -> bool {
    matches!(entry.hold(), Ok(Some(_)))
}

fn lock(directory: &Path) -> std::io::Result<Option<File>> {
    let path = directory.join("sender.lock");
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        locked => {
            locked?;
            Ok(Some(file))
        }
    }
}

/// How to reach the service for a repository.
#[derive(Default)]
struct Hosts {
    known: HashMap<PathBuf, Option<(Host, Client)>>,
    /// Fetches of repositories that cannot be opened now.
    left: std::collections::HashSet<refwarden_model::FetchId>,
}

impl Hosts {
    fn of(&mut self, gitdir: &Path) -> Option<&(Host, Client)> {
        let open = || {
            let host = Host::of(Repository::open(gitdir).ok()?).ok()?;
            let client = Client::new(&host).ok()?;
            Some((host, client))
        };
        let known = self.known.entry(gitdir.to_owned()).or_insert_with(open);
        known.as_ref()
    }
}

fn one(directory: &Path, entry: &Entry, hosts: &mut Hosts) -> Result<(), Fault> {
    let gone = |error: std::io::Error| {
        Fault::hook(format!(
            "a fetch in the spool cannot be read: {}",
            error.kind()
        ))
    };
    let (begun, input, finished) = match entry.read() {
        Ok(read) => read,
        // Sent by another meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        // A damaged note says nothing any more. It is kept for an administrator.
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            return entry.reject().map_err(gone);
        }
        Err(error) => return Err(gone(error)),
    };
    let Some((host, client)) = hosts.of(&begun.errand.gitdir) else {
        hosts.left.insert(entry.id);
        return Ok(());
    };
    match tell(directory, entry, (begun, &input, finished), host, client) {
        Ok(()) => entry.remove().map_err(gone),
        Err(CallError::Rejected(_)) => entry.reject().map_err(gone),
        Err(CallError::Failed(fault)) => Err(fault),
    }
}

fn tell(
    directory: &Path,
    entry: &Entry,
    (begun, input, finished): (Begun, &[u8], Option<Finished>),
    host: &Host,
    client: &Client,
) -> Result<(), CallError> {
    let arguments: Vec<_> = begun.arguments.iter().map(Into::into).collect();
    let question = Question::read(&arguments, input).unwrap_or_default();
    let copy = match objects::examine(&entry.pack()) {
        Ok(copy) => Some(copy),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            let text = format!("a copy of a pack cannot be read: {}", error.kind());
            return Err(CallError::Failed(Fault::hook(text)));
        }
    };
    // Whole where the recorder saw its end, and this is all that it passed on.
    let whole = finished
        .filter(|finished| finished.copied)
        .and(copy.as_ref())
        .filter(|copy| finished.is_some_and(|it| it.bytes == copy.bytes));
    let mut known = KnownOut {
        objects: None,
        kept: false,
    };
    if let Some(copy) = whole {
        let asked = KnownIn {
            repository: host.id,
            pack_digest: copy.digest.clone(),
        };
        known = client.call(FETCH_KNOWN, &asked)?;
    }
    let learned = match &known.objects {
        Some(objects) => Some((objects.clone(), Certainty::Exact)),
        None => learn(directory, &begun, &question, entry, whole, host, client)?,
    };
    // What could not be learned now may be learned from the pack later.
    let keep = whole.is_some() && (begun.errand.session.keep || learned.is_none());
    let told = FetchIn {
        id: entry.id,
        begun_at: begun.at,
        ended_at: finished.map(|finished| finished.at),
        asked: question.told(begun.protocol, input),
        ended: match finished {
            Some(_) => Ended::Complete,
            None => Ended::Aborted,
        },
        pack_bytes: finished.map_or_else(|| copy.as_ref().map_or(0, |it| it.bytes), |it| it.bytes),
        pack_objects: copy.as_ref().and_then(|copy| copy.objects),
        pack_digest: copy.as_ref().map(|copy| copy.digest.clone()),
        keep,
        objects: learned.as_ref().map(|(objects, _)| objects.clone()),
        certainty: learned.as_ref().map(|(_, certainty)| *certainty),
        session: begun.errand.session,
    };
    let json = serde_json::to_vec(&told);
    let json = json.map_err(|_| CallError::Failed(Fault::hook("a fetch has no JSON form")))?;
    let pack = if keep && !known.kept {
        let opened = File::open(entry.pack());
        let opened = opened.map_err(|_| Fault::hook("a copy of a pack cannot be read"));
        Some(opened.map_err(CallError::Failed)?)
    } else {
        None
    };
    client.framed::<FetchOut>(FETCHES, &json, pack)?;
    Ok(())
}

/// Learns which objects were sent, and has the service know the set.
fn learn(
    directory: &Path,
    begun: &Begun,
    question: &Question,
    entry: &Entry,
    whole: Option<&objects::Copy>,
    host: &Host,
    client: &Client,
) -> Result<Option<(String, Certainty)>, CallError> {
    let broken = |_| CallError::Failed(Fault::hook("the spool of fetches cannot be written"));
    let work = tempfile::tempdir_in(directory).map_err(broken)?;
    let mut learned = None;
    for gitdir in places(begun) {
        let source = Source {
            gitdir: &gitdir,
            format: host.repository.object_format,
            work: work.path(),
        };
        let found = match whole {
            Some(copy) => objects::indexed(&source, &entry.pack(), copy)
                .map(|oids| (oids, Certainty::Exact))
                .or_else(|_| Ok((objects::walked(&source, question)?, Certainty::AtMost))),
            None => objects::walked(&source, question).map(|oids| (oids, Certainty::AtMost)),
        };
        let found: Result<_, objects::Unlearned> = found;
        if let Ok(found) = found {
            learned = Some(found);
            break;
        }
    }
    let Some((oids, certainty)) = learned else {
        return Ok(None);
    };
    Ok(Some((upload(&oids, host, client)?, certainty)))
}

/// Where the objects of a fetch are: where they were then, or in the view's newest generation.
fn places(begun: &Begun) -> Vec<PathBuf> {
    let mut places = vec![begun.served.clone()];
    if begun.errand.session.view.is_some() {
        // CACHE/<repository>/<view>/generations/<n>/shadow.git
        let view = begun.served.ancestors().nth(3);
        let newest = view.map(|view| view.join("current").join("shadow.git"));
        places.extend(newest.filter(|path| path.is_dir()));
    }
    places
}

fn upload(oids: &[Oid], host: &Host, client: &Client) -> Result<String, CallError> {
    let format = host.repository.object_format;
    let parts = oidset::parts(format, oids);
    let mut say = ObjectsIn {
        repository: host.id,
        format,
        parts: parts
            .iter()
            .map(|part| hex::encode(part.digest()))
            .collect(),
        brought: Vec::new(),
    };
    let mut missing: Vec<usize> = if oids.len() <= OIDS_MAX / 10 {
        // Few enough to be brought without being asked for.
        (0..parts.len()).collect()
    } else {
        Vec::new()
    };
    for _ in 0..ROUNDS_MAX {
        let mut count = 0;
        let wanted = missing.iter().filter_map(|&index| parts.get(index));
        let brought = wanted.take_while(|part| {
            count += part.count();
            count <= OIDS_MAX
        });
        say.brought = brought
            .map(|part| PartIn {
                bits: part.bits(),
                prefix: part.prefix(),
                oids: hex::encode(part.oids()),
            })
            .collect();
        let answer: ObjectsOut = client.call(FETCH_OBJECTS, &say)?;
        if let Some(objects) = answer.objects {
            return Ok(objects);
        }
        missing = answer.missing;
    }
    let text = "the service does not take the objects of a fetch";
    Err(CallError::Failed(Fault::hook(text)))
}
