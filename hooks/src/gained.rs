//! Commits that a ref gains although the repository held them already: another ref brought
//! them. Policy judges them with the rest, so that nothing passes by way of a detour.

use refwarden_gitio::Repository;
use refwarden_gitio::history::{self, History, Limits};
use refwarden_gitio::objects::ReadObjects;
use refwarden_model::Oid;
use refwarden_model::facts::{RefFacts, UpdateKind};
use refwarden_scan::Scanner;

use crate::fault::Fault;
use crate::incoming::Incoming;
use crate::known::Former;

/// Updates for which they are looked up. Of further ones policy learns how many commits they
/// gain and not which, and counts that against the push.
const UPDATES_MAX: usize = 20;

/// Commits that are listed for one update.
const COMMITS_MAX: usize = 2_000;

/// Looks them up. For a ref that is created, `default` is where the default branch stands: what
/// that one reaches is no news anywhere.
pub fn known(
    repository: &Repository,
    incoming: &Incoming,
    updates: &[RefFacts],
    default: Option<Oid>,
) -> Result<History, Fault> {
    let new = &incoming.history.commits;
    let mut found = History::default();
    if (new.len() as u64) < incoming.history.commits_total {
        return Ok(found);
    }
    let limits = Limits {
        commits: COMMITS_MAX,
        // The record of the push that brought them has their patches.
        patch: 0,
        patches: 0,
        ..Limits::default()
    };
    let is_new = |oid: Oid| new.iter().any(|commit| commit.oid == oid);
    let brings = |update: &&RefFacts| {
        let is_commit = update.new_type.as_deref() == Some("commit");
        is_commit && !matches!(update.kind, UpdateKind::Delete | UpdateKind::NoOp)
    };
    for update in updates.iter().filter(brings).take(UPDATES_MAX) {
        let old = if update.actual_old.is_zero() {
            default
        } else {
            Some(update.actual_old)
        };
        let Some(old) = old.filter(|old| !old.is_zero()) else {
            continue;
        };
        if old == update.new || history::gained_within(new, Some(old), update.new).is_some() {
            continue;
        }
        let gained = history::between(
            repository,
            &incoming.objects,
            update.new,
            &[old],
            &limits,
            |oid| is_new(oid) || found.commits.iter().any(|commit| commit.oid == oid),
        )?;
        found.commits_total += gained.commits_total;
        found.commits.extend(gained.commits);
        found.changes.extend(gained.changes);
    }
    Ok(found)
}

/// Adds the secrets that they hold to those that are masked.
pub fn scan(
    known: &History,
    scanner: &Scanner<'_>,
    reader: &mut dyn ReadObjects,
    former: &mut Former,
) -> Result<(), Fault> {
    for commit in &known.commits {
        let (_, bytes) = reader.load(commit.oid, 16 << 20, &mut |_, _| {})?;
        let mut findings = scanner.scan(&bytes.unwrap_or_default(), None);
        let changes = known.changes.get(&commit.oid);
        let paths: Vec<&[u8]> = changes
            .into_iter()
            .flat_map(|listed| &listed.changes)
            .map(|change| change.path.as_slice())
            .collect();
        findings.extend(scanner.scan(&paths.join(&b'\n'), None));
        former.insert(commit.oid, findings);
    }
    Ok(())
}
