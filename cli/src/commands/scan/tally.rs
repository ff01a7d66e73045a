//! What is counted while scanning, by each thread for itself, and put together at the end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use refwarden_model::Oid;
use refwarden_scan::gitleaks::Ignore;
use refwarden_scan::{
    Finding, Fingerprint, Inspection, Masker, Reason, Scanner, Secret, Step, Unread,
};

use super::baseline::Baseline;
use super::found::{Found, Place, Spot, Status};

/// Findings that are kept, in all; the rest is counted. About 300 MB.
pub const FOUND_MAX: u64 = 1_000_000;

/// The scanner itself is at fault.
pub const STOPPED: &str = "the scan stopped at a defect";

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
    ignore: Arc<Ignore>,
}

impl Tally {
    /// Begins at zero. What the baseline holds does not count, nor what stands where `ignore` says.
    pub fn new(baseline: Option<Arc<Baseline>>, ignore: Arc<Ignore>) -> Self {
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
            ignore,
        }
    }

    /// Whether it depends on its place whether a finding counts.
    pub fn ignores_places(&self) -> bool {
        !self.ignore.is_empty()
    }

    /// Another one, for another thread, with the same bound.
    pub fn sibling(&self) -> Self {
        Self {
            kept: self.kept.clone(),
            ..Self::new(self.baseline.clone(), self.ignore.clone())
        }
    }

    /// Takes in all that is known of one spot. `bytes` are those that were scanned, if at hand.
    pub fn inspected(
        &mut self,
        scanner: &Scanner<'_>,
        inspection: Inspection,
        spot: &Spot,
        bytes: Option<&[u8]>,
    ) {
        let Inspection {
            findings,
            unread,
            total,
            ..
        } = inspection;
        // The scanner keeps so many of one input and counts the rest.
        self.cut += total.saturating_sub(findings.len() as u64);
        let layers = Layers {
            scanner,
            masker: Masker::new(&findings),
        };
        let told: Vec<Vec<String>> = findings.iter().map(|it| layers.told(&it.via)).collect();
        for (finding, via) in findings.into_iter().zip(told) {
            let bytes = bytes.filter(|_| !finding.is_contained());
            let before = self.found.len();
            self.add(vec![finding], spot, bytes);
            for found in self.found.iter_mut().skip(before) {
                found.via.clone_from(&via);
            }
        }
        // Each reason once, as the hooks tell it.
        let mut parts: BTreeMap<Reason, (Unread, u64)> = BTreeMap::new();
        for one in unread {
            parts.entry(one.reason).or_insert((one, 0)).1 += 1;
        }
        for (one, parts) in parts.into_values() {
            self.not_read(scanner, spot, one.reason, parts, layers.told(&one.via));
        }
    }

    /// Notes what could not be searched. What is made to exhaust the scanner counts.
    fn not_read(
        &mut self,
        scanner: &Scanner<'_>,
        spot: &Spot,
        reason: Reason,
        parts: u64,
        via: Vec<String>,
    ) {
        let place = match (spot.object, &spot.path) {
            (Some(oid), _) => oid.to_string().into_bytes(),
            (None, Some(path)) => path.to_vec(),
            (None, None) => Vec::new(),
        };
        let mut text = format!("unread\0{}\0{}\0", reason.name(), via.concat()).into_bytes();
        text.extend(place);
        let mut found = Found::unread(reason, parts, spot.clone(), scanner.fingerprint(&text));
        found.via = via;
        let baseline = self.baseline.as_ref();
        if baseline.is_some_and(|it| it.holds(&found.fingerprint)) {
            found.status = Status::Known;
        }
        if self.kept.fetch_add(1, Ordering::Relaxed) >= FOUND_MAX {
            self.cut += u64::from(found.status == Status::New);
            return;
        }
        self.found.push(found);
    }

    /// Takes in what was found in one spot. `bytes` are those that were scanned, if at hand.
    pub fn add(&mut self, findings: Vec<Finding>, spot: &Spot, bytes: Option<&[u8]>) {
        for finding in findings {
            if matches!(spot.place, Place::Path | Place::RefName) {
                self.in_names.push(finding.secret.clone());
            }
            let baseline = self.baseline.as_ref();
            let status = if baseline.is_some_and(|it| it.holds(&finding.fingerprint)) {
                Status::Known
            } else if is_ignored(&self.ignore, &finding, spot) {
                Status::Ignored
            } else {
                Status::New
            };
            if self.kept.fetch_add(1, Ordering::Relaxed) >= FOUND_MAX {
                self.cut += u64::from(status == Status::New);
                continue;
            }
            let mut found = Found::new(finding, spot.clone(), bytes);
            found.status = status;
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
            let follows = |it: &&mut Chain| {
                it.status == status || matches!(it.status, Status::New | Status::Ignored)
            };
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

/// Whether a line of the file names this place. Gitleaks calls members of archives so too.
fn is_ignored(ignore: &Ignore, finding: &Finding, spot: &Spot) -> bool {
    let mut path = spot.path.as_deref().unwrap_or_default().to_vec();
    for step in &finding.via {
        if let Step::Member(name) = step {
            path.push(b'!');
            path.extend_from_slice(name);
        }
    }
    let commit = spot.commit.filter(|_| !spot.again);
    let commit = commit.map(|oid| oid.to_string());
    ignore.covers(finding, &path, commit.as_deref()).is_some()
}

/// What findings are sorted by: as they came in, then as they stand.
fn place_of(found: &Found) -> impl Ord + '_ {
    let Found { spot, span, .. } = found;
    let within = (&found.via, span.start, span.end, &found.rule);
    (spot.order, &spot.path, spot.place, spot.object, within)
}

/// Tells the layers around a finding. The names of members are somebody else's words: secrets in
/// them are masked.
struct Layers<'l> {
    scanner: &'l Scanner<'l>,
    masker: Masker,
}

impl Layers<'_> {
    fn told(&self, via: &[Step]) -> Vec<String> {
        via.iter().map(|step| self.step(step)).collect()
    }

    fn step(&self, step: &Step) -> String {
        let Step::Member(name) = step else {
            return step.to_string();
        };
        let own = Masker::new(&self.scanner.scan(name, None));
        let name = own.mask(name);
        Step::Member(self.masker.mask(&name).into()).to_string()
    }
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
