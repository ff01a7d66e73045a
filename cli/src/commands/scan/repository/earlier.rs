//! What stood in the same file before: a secret that was there already is not what a change
//! brings in.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use refwarden_model::Oid;
use refwarden_scan::Fingerprint;

use super::History;
use crate::commands::scan::found::{Place, Spot, Status};
use crate::commands::scan::objects::{self, Read};
use crate::commands::scan::tally::{STOPPED, Tally};
use crate::failure::{Context as _, Outcome};

/// Marks findings that a parent's version of the file has too; only files with findings are
/// looked at. That parent may be part of the range: [`Tally::fold_versions`] then counts the
/// finding with the one that brought the secret in.
pub fn mark(scan: &History<'_>, tally: &mut Tally) -> Outcome<()> {
    // Each earlier version, under each path of it.
    let mut wanted: BTreeMap<Oid, BTreeSet<Option<&[u8]>>> = BTreeMap::new();
    for found in &tally.found {
        if let Some((before, path)) = before(scan, &found.spot) {
            for &oid in before {
                wanted.entry(oid).or_default().insert(path);
            }
        }
    }
    let oids: Vec<Oid> = wanted.keys().copied().collect();
    let mut stood: HashSet<(Oid, Fingerprint)> = HashSet::new();
    let mut faults = Vec::new();
    let scanner = scan.engine.scanner();
    let of = |index: usize| {
        let paths = oids.get(index).and_then(|oid| wanted.get(oid));
        paths.into_iter().flatten().copied().collect()
    };
    let mut take = |index: usize, read: Read<'_>| {
        let Some(&oid) = oids.get(index) else { return };
        match read {
            Read::Object(_) => {}
            Read::Inspected(_, inspection, _) => {
                let findings = inspection.findings.iter();
                stood.extend(findings.map(|it| (oid, it.fingerprint)));
            }
            Read::Failed(error) => faults.push((oid, error.to_string())),
            Read::Stopped => faults.push((oid, STOPPED.to_owned())),
        }
    };
    objects::scan(scan.repository, &scanner, &oids, of, &mut take)
        .context(|| "earlier versions of files cannot be read".to_owned())?;
    for (oid, error) in faults {
        let spot = Spot {
            object: Some(oid),
            ..super::nothing()
        };
        tally.fault(spot, error);
    }
    for found in &mut tally.found {
        let Some((before, _)) = before(scan, &found.spot) else {
            continue;
        };
        let is_old = before
            .iter()
            .any(|&oid| stood.contains(&(oid, found.fingerprint)));
        if is_old && found.status == Status::New {
            found.status = Status::PreExisting;
        }
    }
    Ok(())
}

/// The versions of a file before the one in which something was found, and its path.
fn before<'s>(scan: &'s History<'_>, spot: &Spot) -> Option<(&'s [Oid], Option<&'s [u8]>)> {
    let (blob, number) = spot.origin.filter(|_| spot.place == Place::Blob)?;
    let coming = scan.places(blob).nth(number)?;
    Some((&coming.before, scan.path(coming)))
}
