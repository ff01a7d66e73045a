//! Histories, ranges and the index.

mod earlier;
mod packed;
mod select;

use std::collections::HashSet;
use std::path::Path;

use refwarden_gitio::introduced::{Introduced, Place as Coming};
use refwarden_gitio::{GitError, Repository};
use refwarden_model::Oid;
use refwarden_scan::{Finding, Inspection, Scanner};

use super::engine::{self, Engine};
use super::found::{Place, Spot};
use super::names::Names;
use super::objects::{self, Read};
use super::tally::STOPPED;
use super::tally::Tally;
use super::{What, crew};
use crate::args::Scan;
use crate::failure::Outcome;
use crate::progress;

/// Objects that one git reads at least: to start it takes as long as to read some hundred.
const SHARE_MIN: usize = 2_000;

/// Shares for each thread: more would part deltas from their bases, fewer leave threads idle.
const SHARES: usize = 4;

/// Scans what the arguments select in a repository.
pub fn scan(
    engine: &Engine,
    args: &Scan,
    what: What,
    jobs: usize,
    mut tally: Tally,
) -> Outcome<Tally> {
    // A place that is to be ignored says nothing of the others.
    let all_places = what != What::History || tally.ignores_places();
    let matters = |path: &[u8]| all_places || engine.ruleset().may_depend_on(path);
    let (checkout, introduced) = select::select(args, what, &matters)?;
    let scan = History::new(engine, &checkout.repository, &introduced, all_places);
    scan.names(&mut tally);
    scan.objects(jobs, &mut tally)?;
    if what != What::History {
        earlier::mark(&scan, &mut tally)?;
    }
    tally.fold_versions();
    Ok(tally)
}

/// Scans every object that a repository has, those that nothing reaches any more too, and names.
pub fn scan_whole(engine: &Engine, path: &Path, jobs: usize, mut tally: Tally) -> Outcome<Tally> {
    let matters = |path: &[u8]| engine.ruleset().may_depend_on(path);
    let (checkout, introduced) = select::whole(path, &matters)?;
    let scan = History::new(engine, &checkout.repository, &introduced, false);
    scan.names(&mut tally);
    scan.objects(jobs, &mut tally)?;
    Ok(tally)
}

/// What is read of an object.
#[derive(Clone, Copy)]
enum Item {
    Commit(usize),
    Tag,
    Blob(usize),
}

/// A scan of what comes in.
struct History<'h> {
    repository: &'h Repository,
    engine: &'h Engine,
    found: &'h Introduced,
    /// Whether each place of a blob has findings of its own.
    all_places: bool,
    /// By path: whether a rule with a path condition is meant for it.
    special: Vec<bool>,
}

impl<'h> History<'h> {
    fn new(
        engine: &'h Engine,
        repository: &'h Repository,
        found: &'h Introduced,
        all_places: bool,
    ) -> Self {
        let rules = engine.ruleset();
        let paths = found.paths.iter();
        Self {
            repository,
            engine,
            found,
            all_places,
            special: paths.map(|it| rules.may_depend_on(it)).collect(),
        }
    }
}

impl History<'_> {
    /// Scans paths and ref names.
    fn names(&self, tally: &mut Tally) {
        let scanner = self.engine.scanner();
        let refs = self.found.refs.iter().map(|name| name.as_slice().into());
        let paths = self.found.paths.iter().cloned();
        let mut scan = |place, all: &mut dyn Iterator<Item = _>| {
            let mut names = Names::new(place);
            for name in all {
                if names.add(name, 0) {
                    names.scan(&scanner, tally);
                }
            }
            names.scan(&scanner, tally);
        };
        scan(Place::RefName, &mut { refs });
        scan(Place::Path, &mut { paths });
    }

    /// Scans every object.
    fn objects(&self, jobs: usize, tally: &mut Tally) -> Outcome<()> {
        let Introduced {
            commits,
            tags,
            blobs,
            ..
        } = self.found;
        let commit_items = commits.iter().enumerate();
        let commit_items = commit_items.map(|(index, &oid)| (oid, Item::Commit(index)));
        let tag_items = tags.iter().map(|&oid| (oid, Item::Tag));
        let blob_items = blobs.iter().enumerate();
        let blob_items = blob_items.map(|(index, blob)| (blob.oid, Item::Blob(index)));
        let items = commit_items.chain(tag_items).chain(blob_items);
        let (oids, items): (Vec<Oid>, Vec<Item>) = items.unzip();
        let bar = progress::count("scanning", oids.len() as u64);
        let left = packed::scan(self, &oids, &items, jobs, tally, &|| bar.inc(1));
        let share = left.len().div_ceil(jobs.max(1) * SHARES).max(SHARE_MIN);
        let share = if jobs == 1 { left.len().max(1) } else { share };
        crew::work(jobs, left.chunks(share), tally, |share, tally| {
            let scanner = self.engine.scanner();
            let pick = |&index: &usize| Some((*oids.get(index)?, *items.get(index)?));
            let (oids, items): (Vec<Oid>, Vec<Item>) = share.iter().filter_map(pick).unzip();
            let read = self.share(&scanner, &oids, &items, tally, &mut || bar.inc(1));
            if let Err(error) = read {
                tally.fault(nothing(), error); // git itself cannot be run
            }
        })?;
        bar.finish_and_clear();
        Ok(())
    }

    /// Scans objects as git reads them.
    fn share(
        &self,
        scanner: &Scanner<'_>,
        oids: &[Oid],
        items: &[Item],
        tally: &mut Tally,
        progress: &mut dyn FnMut(),
    ) -> Result<(), GitError> {
        let paths = |index: usize| match items.get(index) {
            Some(Item::Blob(blob)) => self.places(*blob).map(|it| self.path(it)).collect(),
            _ => vec![None],
        };
        let mut current = None;
        let mut take = |index: usize, read: Read<'_>| {
            let (Some(&oid), Some(&item)) = (oids.get(index), items.get(index)) else {
                return;
            };
            if matches!(read, Read::Object(_) | Read::Failed(_)) {
                progress();
            }
            let (_, one) = match &mut current {
                Some((at, one)) if *at == index => (*at, one),
                _ => {
                    let (at, one) = current.insert((index, self.take(scanner, oid, item)));
                    (*at, one)
                }
            };
            one(tally, read);
        };
        objects::scan(self.repository, scanner, oids, paths, &mut take)
    }

    /// Takes in what comes of one object.
    fn take<'t>(
        &'t self,
        scanner: &'t Scanner<'_>,
        oid: Oid,
        item: Item,
    ) -> impl FnMut(&mut Tally, Read<'_>) + 't {
        // Rules found at which offsets, under another path of the same blob.
        let (mut seen, mut told) = (HashSet::new(), HashSet::new());
        move |tally, read| match read {
            Read::Object(header) => {
                tally.bytes += header.size;
                match item {
                    Item::Commit(_) => tally.commits += 1,
                    Item::Tag => tally.tags += 1,
                    Item::Blob(_) => tally.files += 1,
                }
            }
            Read::Inspected(number, mut inspection, bytes) => {
                if !self.all_places {
                    let all = inspection.findings.len();
                    inspection.findings.retain(|it| {
                        seen.insert((it.rule_id.clone(), it.via.clone(), it.span.clone()))
                    });
                    inspection.total -= (all - inspection.findings.len()) as u64;
                    let unread = &mut inspection.unread;
                    unread.retain(|it| told.insert((it.reason, it.via.clone())));
                }
                let spot = self.spot(oid, item, number);
                if let Some(bytes) = bytes {
                    acquit(scanner, &mut inspection, &spot, bytes);
                }
                tally.inspected(scanner, inspection, &spot, bytes);
            }
            Read::Stopped => tally.fault(self.spot(oid, item, 0), STOPPED),
            Read::Failed(error) => tally.fault(self.spot(oid, item, 0), error),
        }
    }

    /// What is found under two paths of one class is the same; and the path.
    fn class(&self, place: &Coming) -> (Option<u32>, Option<&[u8]>) {
        let is_special = |index: u32| self.special.get(index as usize) == Some(&true);
        let class = place.path.filter(|index| is_special(*index));
        (class, self.path(place))
    }

    fn places(&self, blob: usize) -> impl Iterator<Item = &Coming> {
        let blob = self.found.blobs.get(blob);
        blob.into_iter()
            .flat_map(|blob| std::iter::once(&blob.first).chain(&blob.more))
    }

    fn path(&self, place: &Coming) -> Option<&[u8]> {
        let path = self.found.paths.get(place.path? as usize)?;
        Some(path)
    }

    fn spot(&self, oid: Oid, item: Item, number: usize) -> Spot {
        let spot = Spot {
            object: Some(oid),
            ..nothing()
        };
        match item {
            Item::Commit(index) => Spot {
                place: Place::Commit,
                commit: Some(oid),
                order: u32::try_from(index).unwrap_or(u32::MAX),
                ..spot
            },
            Item::Tag => Spot {
                place: Place::Tag,
                ..spot
            },
            Item::Blob(blob) => {
                let coming = self.places(blob).nth(number);
                let commit = coming.and_then(|it| it.commit);
                let path = coming.and_then(|it| self.path(it)).map(Into::into);
                Spot {
                    path,
                    commit: commit.and_then(|it| self.found.commits.get(it as usize).copied()),
                    again: coming.is_some_and(|it| it.again),
                    order: commit.unwrap_or(0),
                    origin: Some((blob, number)),
                    ..spot
                }
            }
        }
    }
}

/// Leaves out what allow-lists acquit in this commit. Where others bring in the same, too, no list
/// of commits speaks for those that it does not name.
fn acquit(scanner: &Scanner<'_>, inspection: &mut Inspection, spot: &Spot, bytes: &[u8]) {
    let commit = spot.commit.filter(|_| !spot.again);
    let Some(commit) = commit.filter(|_| scanner.ruleset().names_commits()) else {
        return;
    };
    let scanner = scanner.for_commit(&commit.to_string());
    let path = spot.path.as_deref();
    let left = match spot.place {
        Place::Blob => engine::inspect(&scanner, bytes, path),
        _ => objects::text(&scanner, bytes, None),
    };
    let all = inspection.findings.len();
    let key = |it: &Finding| (it.rule_id.clone(), it.via.clone(), it.span.clone());
    let left: HashSet<_> = left.findings.iter().map(key).collect();
    inspection.findings.retain(|it| left.contains(&key(it)));
    inspection.total -= (all - inspection.findings.len()) as u64;
}

fn nothing() -> Spot {
    Spot {
        place: Place::Blob,
        path: None,
        object: None,
        commit: None,
        again: false,
        order: 0,
        origin: None,
    }
}
