//! Which findings are no news: the same secret stands already in the former version of the file,
//! or, where no new commit puts it anywhere, in what the repository had reachable. Also the
//! secrets of former versions, which patches show.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use refwarden_gitio::history::{Change, CommitChanges, reachable};
use refwarden_gitio::objects::ReadObjects;
use refwarden_gitio::{Git, ObjectEnv, Repository};
use refwarden_model::Oid;
use refwarden_model::facts::{Place, RefFacts};
use refwarden_scan::{Finding, Fingerprint, Limits, Scanner};

use crate::fault::Fault;
use crate::incoming::Incoming;
use crate::moved::Placements;
use crate::scanning::Found;

/// How long the repository's history is searched for the objects of findings. What is not found
/// by then counts as new.
const SEARCH_TIME: Duration = Duration::from_secs(2);

/// Former versions above this are not scanned; they have no patch either.
const FORMER_MAX: u64 = 4 << 20;

/// Commits whose file names are compared.
const TIPS_MAX: usize = 8;

/// Findings in former versions of files that the push changes, by object.
pub type Former = HashMap<Oid, Vec<Finding>>;

/// Scans the former version of every file whose patch or whose findings depend on it.
pub fn former(
    incoming: &Incoming,
    scanner: &Scanner<'_>,
    reader: &mut dyn ReadObjects,
    found: &[Found],
) -> Result<Former, Fault> {
    let with_findings: HashSet<Oid> = found.iter().filter_map(|found| found.object).collect();
    let mut former = Former::new();
    for change in changes(incoming) {
        let is_shown = !change.patch.is_empty() || with_findings.contains(&change.new_oid);
        let is_file = !change.old_oid.is_zero() && change.old_mode != "160000";
        let oid = change.old_oid;
        if !is_shown || !is_file || former.contains_key(&oid) || incoming.holds(oid) {
            continue;
        }
        let (_, whole) = reader.load(oid, FORMER_MAX, &mut |_, _| {})?;
        let limits = Limits::default();
        let findings = whole.map(|bytes| {
            scanner
                .inspect(&bytes, Some(&change.path), &limits)
                .findings
        });
        former.insert(oid, findings.unwrap_or_default());
    }
    former.extend(names_that_go(incoming, scanner));
    Ok(former)
}

/// Secrets in names of files that are taken away, by commit: no new tree has those names, and the record
/// of the change does.
fn names_that_go(incoming: &Incoming, scanner: &Scanner<'_>) -> Former {
    let in_commit = |(commit, listed): (&Oid, &CommitChanges)| {
        let gone = listed.changes.iter().filter(|it| it.new_oid.is_zero());
        let names: Vec<&[u8]> = gone.map(|it| it.path.as_slice()).collect();
        if names.is_empty() {
            return None;
        }
        let findings = scanner.scan(&names.join(&b'\n'), None);
        (!findings.is_empty()).then_some((*commit, findings))
    };
    let changes = incoming.history.changes.iter();
    changes.filter_map(in_commit).collect()
}

/// Says for each finding whether it is no news.
pub fn pre_existing(
    repository: &Repository,
    incoming: &Incoming,
    found: &[Found],
    placements: &Placements<'_>,
    former: &Former,
    updates: &[RefFacts],
) -> Result<Vec<bool>, Fault> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: BTreeSet<Oid> = found.iter().filter_map(|found| found.object).collect();
    let reached = reachable(repository, &wanted, Instant::now() + SEARCH_TIME)?;
    let inherited = inherited(incoming, found, placements, former, &reached);
    let names = former_names(repository, incoming, found)?;
    let is_known = |found: &Found| {
        let Some(object) = found.object else {
            // A ref that stands already may be deleted, whatever its name holds.
            let name = found.path.as_deref();
            return updates.iter().any(|update| {
                Some(update.ref_name.as_bytes()) == name && !update.actual_old.is_zero()
            });
        };
        let fingerprint = &found.finding.fingerprint;
        let from_parent = inherited.get(&object);
        let secret = found.finding.standing().expose();
        // What a new commit puts somewhere has to have stood there before.
        let is_put = found.place == Place::Blob && placements.puts(object);
        !is_put && reached.contains(&object)
            || from_parent.is_some_and(|known| known.contains(fingerprint))
            || found.place == Place::Path && names.iter().any(|listing| contains(listing, secret))
    };
    Ok(found.iter().map(is_known).collect())
}

/// For each content that a new commit puts somewhere, the secrets that every former version of it
/// held, by path. A former version that is new itself passes on only what it inherited.
fn inherited(
    incoming: &Incoming,
    found: &[Found],
    placements: &Placements<'_>,
    former: &Former,
    reached: &BTreeSet<Oid>,
) -> HashMap<Oid, BTreeSet<Fingerprint>> {
    let mut inherited: HashMap<Oid, BTreeSet<Fingerprint>> = HashMap::new();
    if incoming.is_cut() {
        return inherited;
    }
    let mut new: HashMap<Oid, BTreeSet<Fingerprint>> = HashMap::new();
    for found in found {
        if let (Some(object), Place::Blob) = (found.object, found.place) {
            let prints = new.entry(object).or_default();
            prints.insert(found.finding.fingerprint);
        }
    }
    let is_placed = |change: &&Change| new.contains_key(&change.new_oid) && placements.has(change);
    for change in changes(incoming).filter(is_placed) {
        let old = change.old_oid;
        let before = if reached.contains(&old) {
            new.get(&old).cloned().unwrap_or_default()
        } else if let Some(findings) = former.get(&old) {
            findings.iter().map(|finding| finding.fingerprint).collect()
        } else {
            inherited.get(&old).cloned().unwrap_or_default()
        };
        inherited
            .entry(change.new_oid)
            .and_modify(|known| known.retain(|print| before.contains(print)))
            .or_insert(before);
    }
    inherited
}

/// All paths below the commits that the new history starts from, where a finding is in a path.
fn former_names(
    repository: &Repository,
    incoming: &Incoming,
    found: &[Found],
) -> Result<Vec<Vec<u8>>, Fault> {
    if found.iter().all(|found| found.place != Place::Path) {
        return Ok(Vec::new());
    }
    let commits = &incoming.history.commits;
    let new: HashSet<Oid> = commits.iter().map(|commit| commit.oid).collect();
    let parents = commits.iter().flat_map(|commit| &commit.parents);
    let bases: BTreeSet<&Oid> = parents.filter(|parent| !new.contains(parent)).collect();
    let mut listings = Vec::new();
    for base in bases.into_iter().take(TIPS_MAX) {
        let git = Git::new(&repository.gitdir, &ObjectEnv::repository_only(), "ls-tree");
        let git = git.args(["-r", "-z", "--name-only", &base.to_string()]);
        listings.push(git.output(b"")?);
    }
    Ok(listings)
}

fn changes(incoming: &Incoming) -> impl Iterator<Item = &Change> {
    let history = &incoming.history;
    history.commits.iter().flat_map(|commit| {
        let listed = history.changes.get(&commit.oid);
        listed.into_iter().flat_map(|listed| &listed.changes)
    })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}
