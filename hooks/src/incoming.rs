//! What a push brings: the quarantine's objects, and what the new values make reachable.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use refwarden_gitio::history::{self, Change, History, Limits};
use refwarden_gitio::objects::{self, ReadObjects};
use refwarden_gitio::pack::{self, Selection};
use refwarden_gitio::{ObjectEnv, Quarantine, RefStorage, Refs, Repository};
use refwarden_model::{Oid, RefName};

use crate::fault::Fault;
use crate::updates::Update;

/// Packs above this are read through a process, so that this one's memory stays small.
const MAPPED_PACK_MAX: u64 = 32 << 20;

/// Objects of a push whose history is tried to be read within this process.
const PLAIN_MAX: usize = 1000;

/// A pack to send, and its length where it is known beforehand.
pub type Pack = (Option<Box<dyn Read + Send>>, Option<u64>);

/// A file as a new commit has it.
pub struct Occurrence<'h> {
    /// The commit.
    pub commit: Oid,
    /// The change that brought it there.
    pub change: &'h Change,
}

/// Everything that a push brings.
pub struct Incoming {
    /// Where its objects are read.
    pub objects: ObjectEnv,
    /// The objects that were sent.
    pub quarantine: Quarantine,
    /// The objects that become reachable; `history.objects` are those that were not sent.
    pub history: History,
    sent: Vec<Oid>,
}

impl Incoming {
    /// Reads the quarantine and the history of the new values.
    pub fn read(repository: &Repository, updates: &[Update]) -> Result<Self, Fault> {
        let zero = repository.object_format.zero();
        let tips: HashSet<Oid> = updates.iter().map(|update| update.new).collect();
        let tips: Vec<Oid> = tips.into_iter().filter(|tip| *tip != zero).collect();
        let objects = ObjectEnv::from_env();
        let quarantine = match Quarantine::from_env(repository.object_format)? {
            Some(quarantine) => quarantine,
            None if tips.is_empty() => Quarantine::default(),
            None => return Err(Fault::unscanned("git gave the hook no quarantine")),
        };
        let mut sent = quarantine.objects.clone();
        sent.sort_unstable();
        let is_sent = |oid| sent.binary_search(&oid).is_ok();
        let limits = Limits::default();
        let plain = match tips.as_slice() {
            [tip] if sent.len() <= PLAIN_MAX => {
                let standing = standing(repository, updates)?;
                history::read_line(repository, &objects, *tip, &standing, is_sent, &limits)
            }
            _ => None,
        };
        let mut history = match plain {
            Some(history) => history,
            None => history::read(repository, &objects, &tips, &limits, |oid| !is_sent(oid))?,
        };
        history.objects.sort_unstable();
        Ok(Self {
            objects,
            quarantine,
            history,
            sent,
        })
    }

    /// Whether an object was sent, or becomes reachable without having been sent.
    pub fn holds(&self, oid: Oid) -> bool {
        self.sent.binary_search(&oid).is_ok() || self.history.objects.binary_search(&oid).is_ok()
    }

    /// Each object once, those that were sent in the order of their pack.
    pub fn all(&self) -> impl Iterator<Item = Oid> {
        let sent = self.quarantine.objects.iter();
        sent.chain(&self.history.objects).copied()
    }

    /// A reader of its objects and the repository's.
    pub fn reader<'a>(&'a self, repository: &'a Repository) -> Box<dyn ReadObjects + 'a> {
        let is_large = self.quarantine.pack_bytes() > MAPPED_PACK_MAX;
        objects::open(repository, &self.objects, is_large)
    }

    /// Where each file's content comes in, in the order of commits.
    pub fn occurrences(&self) -> HashMap<Oid, Vec<Occurrence<'_>>> {
        let mut found: HashMap<Oid, Vec<Occurrence<'_>>> = HashMap::new();
        for commit in &self.history.commits {
            let changes = self.history.changes.get(&commit.oid);
            for change in changes.into_iter().flat_map(|listed| &listed.changes) {
                let list = found.entry(change.new_oid).or_default();
                list.push(Occurrence {
                    commit: commit.oid,
                    change,
                });
            }
        }
        found
    }

    /// Whether a list of the history was cut, so that what is not in it may still be there.
    pub fn is_cut(&self) -> bool {
        let listed = self.history.commits.len() as u64;
        let mut changes = self.history.changes.values();
        listed < self.history.commits_total
            || changes.any(|listed| (listed.changes.len() as u64) < listed.total)
    }

    /// The pack to send: as it was received where it holds everything. An object that was not
    /// sent but becomes reachable is in no earlier record for certain, and goes along.
    pub fn pack(&self, repository: &Repository) -> Result<Pack, Fault> {
        let extra = &self.history.objects;
        match self.quarantine.packs.as_slice() {
            [one] if self.quarantine.loose == 0 && extra.is_empty() => {
                let file = std::fs::File::open(&one.path);
                let file = file.map_err(|_| Fault::unscanned("the pack cannot be read"))?;
                Ok((Some(Box::new(file)), Some(one.bytes)))
            }
            _ if self.sent.is_empty() && extra.is_empty() => Ok((None, Some(0))),
            _ => {
                let wanted = Selection::Objects(self.all().collect());
                let stream = pack::stream(repository, &self.objects, wanted)?;
                Ok((Some(Box::new(stream)), None))
            }
        }
    }
}

/// Where refs stand that new history most likely starts from: those that are to move, and HEAD.
fn standing(repository: &Repository, updates: &[Update]) -> Result<Vec<Oid>, Fault> {
    if repository.ref_storage != RefStorage::Files {
        return Ok(Vec::new());
    }
    let head = RefName::parse(b"HEAD").map_err(|_| Fault::hook("HEAD is no name"))?;
    let names = updates.iter().map(|update| update.name.clone());
    let names: Vec<RefName> = names.chain([head]).collect();
    let resolved = Refs::new(repository).resolve(&names)?;
    let values = resolved.into_iter().map(|resolved| resolved.value);
    Ok(values.filter(|value| !value.is_zero()).collect())
}
