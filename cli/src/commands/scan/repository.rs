//! Histories, ranges and the index.

mod earlier;
mod select;

use std::collections::HashSet;
use std::path::Path;

use refwarden_gitio::introduced::{Introduced, Place as Coming};
use refwarden_gitio::objects::in_pack_order;
use refwarden_gitio::{GitError, Repository};
use refwarden_model::Oid;
use refwarden_scan::Scanner;

use super::engine::Engine;
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
    let (checkout, introduced) = select::select(args, what)?;
    let scan = History {
        repository: &checkout.repository,
        engine,
        found: &introduced,
        all_places: what != What::History,
    };
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
    let (checkout, introduced) = select::whole(path)?;
    let scan = History {
        repository: &checkout.repository,
        engine,
        found: &introduced,
        all_places: false,
    };
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
        let order = in_pack_order(self.repository, &oids);
        let share = order.len().div_ceil(jobs.max(1) * SHARES).max(SHARE_MIN);
        let share = if jobs == 1 { order.len().max(1) } else { share };
        let bar = progress::count("scanning", order.len() as u64);
        crew::work(jobs, order.chunks(share), tally, |share, tally| {
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
        // Rules found at which offsets, under another path of the same blob.
        let mut seen = HashSet::new();
        let mut take = |index: usize, read: Read<'_>| {
            let (Some(&oid), Some(&item)) = (oids.get(index), items.get(index)) else {
                return;
            };
            match read {
                Read::Object(header) => {
                    seen.clear();
                    tally.bytes += header.size;
                    match item {
                        Item::Commit(_) => tally.commits += 1,
                        Item::Tag => tally.tags += 1,
                        Item::Blob(_) => tally.files += 1,
                    }
                    progress();
                }
                Read::Inspected(number, mut inspection, bytes) => {
                    if !self.all_places {
                        inspection.findings.retain(|it| {
                            seen.insert((it.rule_id.clone(), it.via.clone(), it.span.clone()))
                        });
                    }
                    let spot = self.spot(oid, item, number);
                    tally.inspected(scanner, inspection, &spot, bytes);
                }
                Read::Stopped => {
                    tally.fault(self.spot(oid, item, 0), STOPPED);
                }
                Read::Failed(error) => {
                    tally.fault(self.spot(oid, item, 0), error);
                    progress();
                }
            }
        };
        objects::scan(self.repository, scanner, oids, paths, &mut take)
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
                    order: commit.unwrap_or(0),
                    origin: Some((blob, number)),
                    ..spot
                }
            }
        }
    }
}

fn nothing() -> Spot {
    Spot {
        place: Place::Blob,
        path: None,
        object: None,
        commit: None,
        order: 0,
        origin: None,
    }
}
