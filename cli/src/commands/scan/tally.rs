//! What is counted while scanning, by each thread for itself, and put together at the end.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use refwarden_model::Oid;
use refwarden_scan::{Finding, Fingerprint, Masker, Secret};

use super::baseline::Baseline;
use super::found::{Found, Place, Spot, Status};

/// Findings that are kept, in all; the rest is counted. About 300 MB.
pub const FOUND_MAX: u64 = 1_000_000;

/// Something that could not be read.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What.
    pub spot: Spot,
    /// Why not.
    pub problem: String,
}

/// Counts and findings.
pub struct Tally {
    /// The findings.
    pub found: Vec<Found>,
    /// Findings that were not kept.
    pub cut: u64,
    /// Files, or versions of files.
    pub files: u64,
    /// Commits.
    pub commits: u64,
    /// Tags.
    pub tags: u64,
    /// Bytes of all that was scanned.
    pub bytes: u64,
    /// Sockets, devices and other things that are no files.
    pub skipped: u64,
    /// What could not be read.
    pub faults: Vec<Fault>,
    /// Secrets that stand in paths and names, which are shown.
    in_names: Vec<Secret>,
    /// Findings kept by all threads.
    kept: Arc<AtomicU64>,
    baseline: Option<Arc<Baseline>>,
}

impl Tally {
    /// Begins at zero. What the baseline holds does not count.
    pub fn new(baseline: Option<Arc<Baseline>>) -> Self {
        Self {
            found: Vec::new(),
            cut: 0,
            files: 0,
            commits: 0,
            tags: 0,
            bytes: 0,
            skipped: 0,
            faults: Vec::new(),
            in_names: Vec::new(),
            kept: Arc::new(AtomicU64::new(0)),
            baseline,
        }
    }

    /// Another one, for another thread, with the same bound.
    pub fn sibling(&self) -> Self {
        Self {
            kept: self.kept.clone(),
            ..Self::new(self.baseline.clone())
        }
    }

    /// Takes in what was found in one spot. `bytes` are those that were scanned, if at hand.
    pub fn add(&mut self, findings: Vec<Finding>, spot: &Spot, bytes: Option<&[u8]>) {
        for finding in findings {
            if matches!(spot.place, Place::Path | Place::RefName) {
                self.in_names.push(finding.secret.clone());
            }
            let baseline = self.baseline.as_ref();
            let is_known = baseline.is_some_and(|it| it.holds(&finding.fingerprint));
            if self.kept.fetch_add(1, Ordering::Relaxed) >= FOUND_MAX {
                self.cut += u64::from(!is_known);
                continue;
            }
            let mut found = Found::new(finding, spot.clone(), bytes);
            if is_known {
                found.status = Status::Known;
            }
            self.found.push(found);
        }
    }

    /// Notes what could not be read.
    pub fn fault(&mut self, spot: Spot, problem: impl std::fmt::Display) {
        self.faults.push(Fault {
            spot,
            problem: problem.to_string(),
        });
    }

    /// Takes in what another thread has.
    pub fn absorb(&mut self, other: Self) {
        self.found.extend(other.found);
        self.cut += other.cut;
        self.files += other.files;
        self.commits += other.commits;
        self.tags += other.tags;
        self.bytes += other.bytes;
        self.skipped += other.skipped;
        self.faults.extend(other.faults);
        self.in_names.extend(other.in_names);
    }

    /// How many of the kept findings have a status.
    pub fn count(&self, status: Status) -> u64 {
        let all = self.found.iter();
        all.filter(|found| found.status == status).count() as u64
    }

    /// Leaves, of a secret that stands in several versions of a file, the version that brought it
    /// in, and counts the others. What was there before and is brought in once more stays apart.
    pub fn fold_versions(&mut self) {
        self.sort();
        let mut chains: HashMap<Key, Vec<Chain>> = HashMap::new();
        let mut kept: Vec<Found> = Vec::with_capacity(self.found.len());
        for found in self.found.drain(..) {
            if found.spot.place != Place::Blob {
                kept.push(found);
                continue;
            }
            let (object, status) = (found.spot.object, found.status);
            let key = (
                found.rule.clone(),
                found.fingerprint,
                found.spot.path.clone(),
            );
            let chains = chains.entry(key).or_default();
            let is_same = |it: &Chain| it.status == status && it.first == object;
            let follows = |it: &&mut Chain| it.status == status || it.status == Status::New;
            if chains.iter().any(is_same) {
                kept.push(found);
            } else if let Some(chain) = chains.iter_mut().rfind(follows) {
                if let Some(one) = kept.get_mut(chain.index).filter(|_| chain.last != object) {
                    one.versions += 1;
                }
                chain.last = object;
            } else {
                chains.push(Chain {
                    status,
                    first: object,
                    last: object,
                    index: kept.len(),
                });
                kept.push(found);
            }
        }
        self.found = kept;
    }

    /// Puts everything in order, and takes out of names what must not be shown.
    pub fn conclude(&mut self) {
        self.sort();
        self.faults
            .sort_by(|a, b| (a.spot.order, &a.spot.path).cmp(&(b.spot.order, &b.spot.path)));
        if self.in_names.is_empty() {
            return;
        }
        let masker: Masker = self.in_names.iter().collect();
        let spots = self.found.iter_mut().map(|found| &mut found.spot);
        for spot in spots.chain(self.faults.iter_mut().map(|fault| &mut fault.spot)) {
            if let Some(path) = &spot.path {
                spot.path = Some(masker.mask(path).into());
            }
        }
        self.in_names.clear();
        let mut seen = HashSet::new();
        self.found.retain(|found| {
            let is_name = matches!(found.spot.place, Place::Path | Place::RefName);
            !is_name
                || seen.insert((
                    found.rule.clone(),
                    found.fingerprint,
                    found.spot.path.clone(),
                    found.column,
                ))
        });
    }

    fn sort(&mut self) {
        self.found.sort_by(|a, b| place_of(a).cmp(&place_of(b)));
    }
}

/// What findings are sorted by: as they came in, then as they stand.
fn place_of(found: &Found) -> impl Ord + '_ {
    let Found { spot, span, .. } = found;
    let within = (span.start, span.end, &found.rule);
    (spot.order, &spot.path, spot.place, spot.object, within)
}

/// Versions of a file that hold a secret, from the one that is reported on.
struct Chain {
    status: Status,
    first: Option<Oid>,
    /// The last that was counted.
    last: Option<Oid>,
    /// The finding that is reported.
    index: usize,
}

type Key = (Arc<str>, Fingerprint, Option<Arc<[u8]>>);
