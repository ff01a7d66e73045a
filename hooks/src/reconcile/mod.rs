//! The reconciler: holds every ref, HEAD and symbolic ref of a repository against the ledger, and
//! tells the service what it cannot know by itself.
//!
//! In this order: reports that wait in the spool are sent, those of fetches too; ref updates whose receive-pack has
//! died are settled by their refs; what then differs from the ledger is reported as out of band,
//! with its objects. It never moves a ref. A push in flight is not out of band: refs that a push
//! is about to move are skipped, and the service leaves alone what has changed since the state
//! that was compared.

mod compare;
mod guard;
mod idle;
mod locks;
mod objects;

use std::path::{Path, PathBuf};

use refwarden_gitio::{Refs, Repository};
use refwarden_wire::reconcile::{
    Ended, GivenUp, LEDGER, LedgerIn, LedgerOut, Prepared, RECONCILE, ReconcileIn, ReconcileOut,
};

use crate::client::Client;
use crate::correlation::may_run;
use crate::fault::Fault;
use crate::host::Host;
use crate::rules::Rules;
use crate::spool::{AT_LEISURE, Spool};

/// Looks at a repository in one run at most: settling updates makes another look necessary, and
/// so does a report that was full.
const LOOKS: usize = 8;

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// The repository's name.
    pub name: String,
    /// Updates of dead pushes that were settled.
    pub settled: u64,
    /// Moves that were recorded as out of band.
    pub recorded: u64,
    /// What weakens the guard, one sentence each.
    pub defects: Vec<String>,
}

/// What a look finds, without anything being recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// The repository's name.
    pub name: String,
    /// Refs, HEAD and symbolic refs that are not where the ledger has them.
    pub differs: Vec<String>,
    /// Updates of dead pushes that are not settled.
    pub unsettled: usize,
    /// Bytes that wait in the spool.
    pub spooled: u64,
    /// What weakens the guard, one sentence each.
    pub defects: Vec<String>,
    /// Why the service could not be asked.
    pub unreachable: Option<String>,
    /// Why the rules that the policy names cannot be scanned with.
    pub rules: Option<String>,
}

/// Whether a path is a repository under guard.
pub fn is_guarded(path: &Path) -> bool {
    Repository::open(path).is_ok_and(|found| found.id.is_some() && found.hook_config.is_some())
}

/// Every repository under guard in a directory, or in directories in it.
pub fn find(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        if directory.join("HEAD").is_file() && directory.join("objects").is_dir() {
            if is_guarded(&directory) {
                found.push(directory);
            }
            continue;
        }
        let entries = std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten();
        open.extend(
            entries
                .map(|entry| entry.path())
                .filter(|path| path.is_dir()),
        );
    }
    found.sort();
    found
}

/// Reconciles a repository.
///
/// # Errors
/// One sentence: what could not be done, without anything secret.
pub fn reconcile(path: &Path) -> Result<Reconciled, String> {
    run(path).map_err(|fault| crate::report::in_words(&fault))
}

/// Looks at a repository without recording anything.
///
/// # Errors
/// One sentence: what could not be done, without anything secret.
pub fn examine(path: &Path) -> Result<Examined, String> {
    look(path).map_err(|fault| crate::report::in_words(&fault))
}

fn open(path: &Path) -> Result<Host, Fault> {
    Host::of(Repository::open(path)?)
}

fn ledger(client: &Client, host: &Host) -> Result<LedgerOut, Fault> {
    let asked = LedgerIn {
        repository: host.id,
    };
    Ok(client.call(LEDGER, &asked)?)
}

fn run(path: &Path) -> Result<Reconciled, Fault> {
    let host = open(path)?;
    let client = Client::new(&host)?;
    let spool = Spool::of(&host);
    spool.drain(&client, AT_LEISURE)?;
    let unsent = crate::fetch::send(&host.config.spool_dir).err();
    let mut out = Reconciled {
        name: host.repository.name.clone().unwrap_or_default(),
        ..Reconciled::default()
    };
    for _ in 0..LOOKS {
        let known = ledger(&client, &host)?;
        let dead = dead(&known.prepared);
        let given_up = self::dead(&known.released);
        locks::release(&host.repository, &dead, &given_up);
        let ended = ended(&host.repository, &dead)?;
        let mut defects = guard::defects(&host, &spool);
        if let Some(fault) = &unsent {
            let why = crate::report::in_words(fault);
            defects.push(format!("fetches wait to be recorded: {why}"));
        }
        let mut report = ReconcileIn {
            repository: host.id,
            seq: known.seq,
            changes: Vec::new(),
            gaps: Vec::new(),
            defects: Vec::new(),
            ended,
            given_up: given_up.into_iter().map(self::given_up).collect(),
        };
        let mut pack = None;
        // What settling changes is compared in the next look.
        if report.ended.is_empty() {
            match Refs::new(&host.repository).all() {
                Ok(live) => {
                    report.changes = compare::changes(&known, &live);
                    report.gaps.clone_from(&known.gaps);
                    let gathered = objects::gather(&host.repository, &known, &report, &live);
                    defects.extend(gathered.defect);
                    pack = gathered.pack;
                }
                Err(error) => defects.push(format!("not every ref can be read: {error}")),
            }
        }
        defects.sort();
        report.defects.clone_from(&defects);
        let json = serde_json::to_vec(&report)
            .map_err(|_| Fault::hook("what was found has no JSON form"))?;
        let more = !report.ended.is_empty() || compare::is_full(&report);
        let answer: ReconcileOut = client.framed(RECONCILE, &json, pack)?;
        out.settled += answer.settled;
        out.recorded += answer.recorded;
        out.defects = defects;
        if !more {
            break;
        }
    }
    Ok(out)
}

/// Updates that nobody will settle any more: their receive-pack has ended.
fn dead(updates: &[Prepared]) -> Vec<&Prepared> {
    let updates = updates.iter();
    updates.filter(|one| !may_run(&one.correlation)).collect()
}

fn given_up(update: &Prepared) -> GivenUp {
    GivenUp {
        push_id: update.push_id,
        target: update.target.clone(),
    }
}

/// Where the refs of dead pushes are. Read after the deaths are known: nothing moves them since.
fn ended(repository: &Repository, dead: &[&Prepared]) -> Result<Vec<Ended>, Fault> {
    let names: Vec<_> = dead.iter().map(|one| one.target.clone()).collect();
    let resolved = Refs::new(repository).resolve(&names)?;
    let ended = dead.iter().zip(resolved).map(|(one, found)| Ended {
        push_id: one.push_id,
        target: one.target.clone(),
        value: found.value,
    });
    Ok(ended.collect())
}

fn look(path: &Path) -> Result<Examined, Fault> {
    let host = open(path)?;
    let spool = Spool::of(&host);
    let mut out = Examined {
        name: host.repository.name.clone().unwrap_or_default(),
        spooled: spool.bytes(),
        defects: guard::defects(&host, &spool),
        ..Examined::default()
    };
    let asked = Client::new(&host).and_then(|client| {
        let known = ledger(&client, &host)?;
        Ok((known, Rules::examine(&client)))
    });
    let known = match asked {
        Ok((known, rules)) => {
            out.rules = rules.err().map(|fault| crate::report::in_words(&fault));
            known
        }
        Err(fault) => {
            out.unreachable = Some(crate::report::in_words(&fault));
            return Ok(out);
        }
    };
    out.unsettled = dead(&known.prepared).len();
    let live = Refs::new(&host.repository).all()?;
    let mut changes = compare::changes(&known, &live);
    changes.extend(known.gaps.into_iter().map(|gap| gap.change));
    let value = |value: &Option<refwarden_model::ByteText>| {
        value
            .as_ref()
            .map_or_else(|| "absent".to_owned(), ToString::to_string)
    };
    let describe = |change: &refwarden_wire::reconcile::Change| {
        let (ledger, live) = (value(&change.old), value(&change.new));
        format!("{} is {live}, and {ledger} in the ledger", change.name)
    };
    out.differs = changes.iter().map(describe).collect();
    Ok(out)
}
