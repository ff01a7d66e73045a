//! Objects that stand in packs. Each is resolved once, from what it is based on, and of a file
//! only what differs from there is searched.

use std::sync::Arc;

use refwarden_gitio::objects::{
    Base, Header, Kind, Packs, Place as Stands, Resolved, Walk, copied, walk,
};
use refwarden_model::Oid;
use refwarden_scan::{Finding, Inspection, Kept, Keywords, Replaced, Scanner, Version};

use super::{History, Item};
use crate::commands::scan::engine::{self, WHOLE_MAX};
use crate::commands::scan::objects::{Read, give, text};
use crate::commands::scan::tally::Tally;

/// What is kept of the versions that one object comes from, in bytes.
const HELD_MAX: usize = 64 << 20;

/// Scans those objects that can be read in packs, on so many threads, and answers the indexes of
/// the others.
pub fn scan(
    history: &History<'_>,
    oids: &[Oid],
    items: &[Item],
    jobs: usize,
    tally: &mut Tally,
    progress: &(dyn Fn() + Sync),
) -> Vec<usize> {
    let packs = Packs::open(history.repository);
    let known = packs.objects();
    let mut numbers: Vec<Vec<u32>> = (0..packs.count())
        .map(|pack| vec![0; packs.len_of(u32::try_from(pack).unwrap_or(u32::MAX))])
        .collect();
    let mut others = Vec::new();
    for (index, oid) in oids.iter().enumerate() {
        let found = known.binary_search_by_key(oid, |(oid, _)| *oid);
        let place = found.ok().and_then(|at| known.get(at)).map(|it| it.1);
        let slot = place.and_then(|it| {
            numbers
                .get_mut(it.pack as usize)?
                .get_mut(it.entry as usize)
        });
        match (slot, u32::try_from(index + 1)) {
            (Some(slot), Ok(number)) => *slot = number,
            _ => others.push(index),
        }
    }
    drop(known);
    let index = |place: Stands| {
        let number = *numbers
            .get(place.pack as usize)?
            .get(place.entry as usize)?;
        number.checked_sub(1).map(|index| index as usize)
    };
    let what = Walk {
        kinds: &[Kind::Commit, Kind::Blob, Kind::Tag],
        wanted: &|place| index(place).is_some(),
        whole_max: WHOLE_MAX,
        workers: jobs,
    };
    let own = &*tally;
    let (workers, left) = walk(
        &packs,
        &what,
        || Worker {
            history,
            scanner: history.engine.scanner(),
            tally: own.sibling(),
            versions: Vec::new(),
            held: 0,
        },
        |worker, resolved| {
            let index = index(resolved.place);
            let which = index.and_then(|at| Some((*oids.get(at)?, *items.get(at)?)));
            if let Some((oid, item)) = which {
                worker.see(oid, item, resolved);
                progress();
            }
        },
    );
    let tallies: Vec<Tally> = workers.into_iter().map(|worker| worker.tally).collect();
    for other in tallies {
        tally.absorb(other);
    }
    others.extend(left.into_iter().filter_map(index));
    others
}

/// What is known of a file's version, for those that are based on it.
struct Known {
    place: Stands,
    keywords: Keywords,
    /// What was found as it stands, under the paths at which it does.
    found: Vec<(Option<u32>, Arc<[Finding]>)>,
    size: usize,
}

struct Worker<'h> {
    history: &'h History<'h>,
    scanner: Scanner<'h>,
    tally: Tally,
    /// Versions of which each is based on the one before.
    versions: Vec<Known>,
    /// Their size.
    held: usize,
}

/// A version of a file, and what is known of the one that it is based on.
struct Change<'c> {
    old: Version<'c>,
    found: &'c [(Option<u32>, Arc<[Finding]>)],
    new: Version<'c>,
    changes: &'c [Replaced],
}

impl Worker<'_> {
    fn see(&mut self, oid: Oid, item: Item, it: &Resolved<'_>) {
        let mut take = self.history.take(&self.scanner, oid, item);
        take(
            &mut self.tally,
            Read::Object(Header {
                kind: it.kind,
                size: it.bytes.len() as u64,
            }),
        );
        let (Item::Blob(blob), Kind::Blob) = (item, it.kind) else {
            let inspection = text(&self.scanner, it.bytes, None);
            return give(0, inspection, Some(it.bytes), &mut |read| {
                take(&mut self.tally, read);
            });
        };
        let at = it.base.and_then(|base| {
            let mut versions = self.versions.iter();
            versions.rposition(|known| known.place == base.place)
        });
        for gone in self.versions.drain(at.map_or(0, |at| at + 1)..) {
            self.held -= gone.size;
        }
        let old = self.versions.last();
        let changes = old.zip(it.base).map(|(_, base)| changes(&base, it.bytes));
        let keywords = match (old, &changes) {
            (Some(old), Some(changes)) => {
                self.scanner
                    .keywords_after(it.bytes, &old.keywords, changes)
            }
            _ if it.is_base => self.scanner.keywords(it.bytes),
            _ => None,
        };
        let change = match (old, it.base, &keywords, &changes) {
            (Some(old), Some(base), Some(keywords), Some(changes)) => Some(Change {
                old: Version {
                    bytes: base.bytes,
                    keywords: &old.keywords,
                },
                found: &old.found,
                new: Version {
                    bytes: it.bytes,
                    keywords,
                },
                changes,
            }),
            _ => None,
        };
        let mut found: Vec<(Option<u32>, Arc<[Finding]>)> = Vec::new();
        let mut whole: Vec<(Option<u32>, Inspection)> = Vec::new();
        for (number, place) in self.history.places(blob).enumerate() {
            let (class, path) = self.history.class(place);
            // Where no condition holds, none has to be asked again.
            let path = path.filter(|_| class.is_some());
            let known = whole.iter().position(|(other, _)| *other == class);
            let at = known.unwrap_or_else(|| {
                let first = whole.first().map(|(_, first)| first);
                let inspection = self.inspect(it.bytes, class, path, change.as_ref(), first);
                if inspection.unread.is_empty() {
                    found.push((class, inspection.findings.as_slice().into()));
                }
                whole.push((class, inspection));
                whole.len() - 1
            });
            if known.is_some() && !self.history.all_places {
                continue;
            }
            let inspection = whole.get(at).map(|(_, it)| it.clone());
            give(
                number,
                inspection.unwrap_or_default(),
                Some(it.bytes),
                &mut |read| take(&mut self.tally, read),
            );
        }
        drop(take);
        if let Some(keywords) = keywords.filter(|_| it.is_base) {
            let findings: usize = found.iter().map(|(_, all)| all.len()).sum();
            let size = keywords.size() + findings * size_of::<Finding>();
            if self.held + size <= HELD_MAX {
                self.held += size;
                self.versions.push(Known {
                    place: it.place,
                    keywords,
                    found,
                    size,
                });
            }
        }
    }

    /// What is found in a version under one path. `first`: under another.
    fn inspect(
        &self,
        bytes: &[u8],
        class: Option<u32>,
        path: Option<&[u8]>,
        change: Option<&Change<'_>>,
        first: Option<&Inspection>,
    ) -> Inspection {
        let before = change.and_then(|change| {
            let known = change.found.iter().find(|(other, _)| *other == class);
            known.map(|(_, found)| (change, found))
        });
        match (before, first) {
            (Some((change, found)), _) => {
                let Change { old, new, .. } = *change;
                self.scanner
                    .scan_delta(new, path, old, found, change.changes)
            }
            (None, None) => engine::inspect(&self.scanner, bytes, path),
            (None, Some(first)) => engine::inspect_again(&self.scanner, bytes, path, first),
        }
    }
}

fn changes(base: &Base<'_>, bytes: &[u8]) -> Vec<Replaced> {
    let parts = copied(base.delta).unwrap_or_default();
    let kept = parts.into_iter().map(|part| Kept {
        old: part.base,
        new: part.at,
        length: part.length,
    });
    let kept: Vec<Kept> = kept.collect();
    Replaced::around(&kept, base.bytes.len(), bytes.len())
}
