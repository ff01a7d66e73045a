//! Scans everything that a push brings: every object that was sent or becomes reachable, ref
//! names, push options.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use refwarden_gitio::objects::{Header, Kind, ReadObjects, tree_names};
use refwarden_model::facts::Place;
use refwarden_model::{Code, Oid};
use refwarden_scan::{
    Finding, Fingerprint, Inspection, Large, Limits, PathClasses, Reason, Scanner, Step, gitleaks,
};
use refwarden_view::placeholder::form;

use crate::fault::Fault;
use crate::incoming::Occurrence;
use crate::moved::Placements;

/// Objects above this are scanned piece by piece, in bytes.
const WHOLE_MAX: u64 = 4 << 20;

/// Trees above this are refused, in bytes: more than 100 000 names in one directory.
const TREE_MAX: u64 = 8 << 20;

/// Findings that are kept; the rest is counted.
const FINDINGS_MAX: usize = 10_000;

/// Parts that could not be looked into and are told one by one. Beyond, one for each reason is.
const UNREAD_MAX: usize = 200;

/// Paths of one large file's content for which rules have conditions of their own: it is searched
/// under all of them at once.
const CLASSES_MAX: usize = 64;

/// A finding and where it stands.
pub struct Found {
    /// What was found.
    pub finding: Finding,
    /// In what.
    pub place: Place,
    /// In which object.
    pub object: Option<Oid>,
    /// The file's path, or an entry's name.
    pub path: Option<Vec<u8>>,
    /// Whether its line says `gitleaks:allow`. Only asked of files.
    pub is_commented: bool,
}

/// What policy asks about a file's content.
#[derive(Clone, Copy)]
pub struct Content {
    /// Its length in bytes.
    pub size: u64,
    /// Whether there is a NUL in its first 8000 bytes, by which git tells binary files
    /// (gitattributes(5), "diff").
    pub binary: bool,
    /// Whether it is a Git LFS pointer (git-lfs, docs/spec.md, "The Pointer").
    pub lfs_pointer: bool,
}

impl Content {
    /// `beginning` is all of it, or 8000 bytes at least.
    pub fn of(size: u64, beginning: &[u8]) -> Self {
        let looked_at = beginning.get(..8000).unwrap_or(beginning);
        Self {
            size,
            binary: looked_at.contains(&0),
            lfs_pointer: size <= LFS_POINTER_MAX && beginning.starts_with(LFS_POINTER),
        }
    }
}

/// How a Git LFS pointer begins, and that it is shorter than 1024 bytes.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
/// See [`LFS_POINTER`].
pub const LFS_POINTER_MAX: u64 = 1023;

/// A part of an object that could not be searched for secrets.
pub struct NotRead {
    /// Why.
    pub reason: Reason,
    /// Of the object, the part and the reason.
    pub fingerprint: Fingerprint,
    /// The layers around the first such part, outermost first.
    pub via: Vec<Step>,
    /// The object.
    pub object: Option<Oid>,
    /// Its path.
    pub path: Option<Vec<u8>>,
    /// How many parts there are.
    pub parts: u64,
}

/// Everything that was found.
#[derive(Default)]
pub struct Report {
    /// The findings, [`FINDINGS_MAX`] at most.
    pub found: Vec<Found>,
    /// How many there were.
    pub total: u64,
    /// Objects that were scanned.
    pub objects: u64,
    /// What could not be looked into.
    pub unread: Vec<NotRead>,
    /// What policy asks about those of them that are files.
    pub contents: HashMap<Oid, Content>,
    /// Files in which something has the form of a placeholder of a masked view.
    pub placeholders: BTreeSet<Oid>,
    budget: Option<Budget>,
}

/// How long a scan may take.
#[derive(Clone, Copy)]
struct Budget {
    ends: Instant,
    whole: Duration,
}

impl Budget {
    fn is_over(&self) -> bool {
        Instant::now() >= self.ends
    }

    fn fault(&self) -> Fault {
        let seconds = self.whole.as_secs_f64();
        let text = format!("scanning the push for secrets takes longer than {seconds} s");
        Fault::new(Code::ScanFailed, text).hint(
            "push it in smaller parts; administrators: scan_budget_ms in hook.toml sets the time",
        )
    }
}

impl Report {
    /// An empty one, whose scans may take so long together.
    pub fn within(time: Duration) -> Self {
        let now = Instant::now();
        let budget = now
            .checked_add(time)
            .map(|ends| Budget { ends, whole: time });
        Self {
            budget,
            ..Self::default()
        }
    }

    /// Whether some findings were not kept, so that their secrets are not known.
    pub fn is_cut(&self) -> bool {
        self.total > self.found.len() as u64
    }

    fn add(
        &mut self,
        findings: &[Finding],
        total: u64,
        place: Place,
        (object, path): (Option<Oid>, Option<&[u8]>),
        whole: Option<&[u8]>,
    ) {
        self.total += total;
        let room = FINDINGS_MAX - self.found.len().min(FINDINGS_MAX);
        let kept = findings.iter().take(room).map(|finding| Found {
            is_commented: place == Place::Blob && is_commented(finding, whole),
            finding: finding.clone(),
            place,
            object,
            path: path.map(<[u8]>::to_vec),
        });
        self.found.extend(kept);
    }

    /// Notes what could not be looked into: for each place of an object, each reason once.
    fn not_read(
        &mut self,
        scanner: &Scanner<'_>,
        inspected: &Inspection,
        object: Option<Oid>,
        path: Option<&[u8]>,
    ) {
        for unread in &inspected.unread {
            let reason = unread.reason;
            let is_full = self.unread.len() >= UNREAD_MAX;
            let mut find = |object: Option<Oid>, path: Option<&[u8]>| {
                let is_same = |known: &&mut NotRead| {
                    (known.reason, known.object, known.path.as_deref()) == (reason, object, path)
                };
                let known = self.unread.iter_mut().rev().find(is_same);
                known.map(|known| known.parts += 1).is_some()
            };
            if find(object, path) {
                continue;
            }
            // Those beyond the bound stand nowhere, so that nothing that is bound to a place
            // lets them pass.
            if is_full && find(None, None) {
                continue;
            }
            let (object, path) = if is_full {
                (None, None)
            } else {
                (object, path)
            };
            let place = object.map(|oid| oid.to_string()).unwrap_or_default();
            let layers: String = unread.via.iter().map(ToString::to_string).collect();
            let text = format!("unread\0{}\0{place}\0{layers}", reason.name());
            self.unread.push(NotRead {
                reason,
                fingerprint: scanner.fingerprint(text.as_bytes()),
                via: unread.via.clone(),
                object,
                path: path.map(<[u8]>::to_vec),
                parts: 1,
            });
        }
    }

    /// Scans a ref name.
    pub fn ref_name(&mut self, scanner: &Scanner<'_>, name: &[u8]) {
        let findings = scanner.scan(name, None);
        let total = findings.len() as u64;
        self.add(&findings, total, Place::RefName, (None, Some(name)), None);
    }

    /// Scans a push option.
    pub fn push_option(&mut self, scanner: &Scanner<'_>, option: &[u8]) {
        let findings = scanner.scan(option, None);
        let total = findings.len() as u64;
        self.add(&findings, total, Place::PushOption, (None, None), None);
    }

    /// Scans an object. What is found in a file is told under every path at which it comes in: what
    /// lets it pass at one says nothing of the others.
    pub fn object(
        &mut self,
        scanner: &Scanner<'_>,
        reader: &mut dyn ReadObjects,
        oid: Oid,
        occurrences: &HashMap<Oid, Vec<Occurrence<'_>>>,
        placements: &Placements<'_>,
    ) -> Result<(), Fault> {
        self.objects += 1;
        let own = commit_of(scanner, oid, occurrences);
        let own = own.map(|commit| scanner.for_commit(&commit.to_string()));
        let scanner = own.as_ref().unwrap_or(scanner);
        let paths = paths(occurrences.get(&oid).map_or(&[], Vec::as_slice), placements);
        let classes = PathClasses::of(scanner.ruleset(), &paths);
        let Loaded {
            header,
            whole,
            content,
            inspections,
        } = load(scanner, reader, oid, &classes.paths, self.budget)?;
        if header.kind == Kind::Tree {
            return self.tree(scanner, reader, oid, whole);
        }
        if let Some(content) = content.filter(|_| header.kind == Kind::Blob) {
            self.contents.insert(oid, content);
            if whole.as_deref().is_some_and(|bytes| form(bytes).is_some()) {
                self.placeholders.insert(oid);
            }
        }
        let place = match header.kind {
            Kind::Commit => Place::Commit,
            Kind::Tag => Place::Tag,
            Kind::Blob | Kind::Tree => Place::Blob,
        };
        for (path, class) in paths.iter().zip(&classes.of) {
            let Some(inspected) = inspections.get(*class) else {
                continue;
            };
            self.not_read(scanner, inspected, Some(oid), *path);
            let object = (Some(oid), *path);
            self.add(
                &inspected.findings,
                inspected.total,
                place,
                object,
                whole.as_deref(),
            );
        }
        Ok(())
    }

    /// Scans a tree's entry names, one per line.
    fn tree(
        &mut self,
        scanner: &Scanner<'_>,
        reader: &mut dyn ReadObjects,
        oid: Oid,
        whole: Option<Vec<u8>>,
    ) -> Result<(), Fault> {
        let bytes = match whole {
            Some(bytes) => bytes,
            None => reader
                .load(oid, TREE_MAX, &mut |_, _| {})?
                .1
                .ok_or_else(|| Fault::unscanned(format!("tree {oid} is too large")))?,
        };
        let names = tree_names(&bytes, oid.format());
        let names = names.ok_or_else(|| Fault::unscanned(format!("tree {oid} is broken")))?;
        let mut stream = scanner.stream(None);
        for name in &names {
            stream.push(name);
            stream.push(b"\n");
        }
        let inspected = stream.inspect();
        self.not_read(scanner, &inspected, Some(oid), None);
        for mut finding in inspected.findings {
            let at = usize::try_from(finding.span.start).unwrap_or(usize::MAX);
            let mut start = 0;
            let name = names.iter().find(|name| {
                let is_here = at <= start + name.len();
                if !is_here {
                    start += name.len() + 1;
                }
                is_here
            });
            finding.line = 1;
            finding.column = (at - start.min(at)) as u64 + 1;
            let place = (Some(oid), name.copied());
            self.add(&[finding], 1, Place::Path, place, None);
        }
        Ok(())
    }
}

/// Each path at which a content comes in, once: those at which new commits put it, less what merges
/// have from a parent; or, where they put it nowhere, all that are known.
fn paths<'h>(occurrences: &[Occurrence<'h>], placements: &Placements<'_>) -> Vec<Option<&'h [u8]>> {
    let is_put = |it: &&Occurrence<'_>| placements.has(it.change);
    let is_any_put = occurrences.iter().any(|it| is_put(&it));
    let mut seen = HashSet::new();
    let put = occurrences.iter().filter(|it| !is_any_put || is_put(it));
    let paths = put.map(|it| it.change.path.as_slice());
    let paths: Vec<Option<&[u8]>> = paths.filter(|path| seen.insert(*path)).map(Some).collect();
    if paths.is_empty() { vec![None] } else { paths }
}

/// The commit that an object belongs to, where rules ask: itself, or the one that brings it in.
/// None where several do, so that no list of commits speaks for those that it does not name.
fn commit_of(
    scanner: &Scanner<'_>,
    oid: Oid,
    occurrences: &HashMap<Oid, Vec<Occurrence<'_>>>,
) -> Option<Oid> {
    if !scanner.ruleset().names_commits() {
        return None;
    }
    let mut commits = occurrences.get(&oid).into_iter().flatten();
    let Some(first) = commits.next() else {
        return Some(oid);
    };
    let is_same = |other: &Occurrence<'_>| other.commit == first.commit;
    commits.all(is_same).then_some(first.commit)
}

/// Whether a comment in its line speaks for a finding. `whole` is the file, where it is held.
fn is_commented(finding: &Finding, whole: Option<&[u8]>) -> bool {
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    let says = |bytes: &[u8]| {
        let span = at(finding.span.start)..at(finding.span.end);
        !finding.is_contained() && gitleaks::is_commented(bytes, span)
    };
    finding.allow_comment || whole.is_some_and(says)
}

/// An object that was read and searched.
struct Loaded {
    header: Header,
    /// All of it, where it is small.
    whole: Option<Vec<u8>>,
    content: Option<Content>,
    /// By path. What is in a container has its own paths, and is the same under all.
    inspections: Vec<Inspection>,
}

fn load(
    scanner: &Scanner<'_>,
    reader: &mut dyn ReadObjects,
    oid: Oid,
    paths: &[Option<&[u8]>],
    budget: Option<Budget>,
) -> Result<Loaded, Fault> {
    let is_over = || budget.filter(Budget::is_over).map(|budget| budget.fault());
    if let Some(fault) = is_over() {
        return Err(fault);
    }
    let mut stopped = None;
    let many = || {
        let text = format!("the large file {oid} stands at too many paths that rules ask about");
        Fault::unscanned(text)
    };
    std::thread::scope(|scope| {
        let mut large: Option<(Content, Large<'_, '_>)> = None;
        let (header, whole) = reader.load(oid, WHOLE_MAX, &mut |header, piece| {
            if paths.len() > CLASSES_MAX {
                stopped.get_or_insert_with(many);
                return;
            }
            let (_, large) = large.get_or_insert_with(|| {
                let beginning = (header.kind == Kind::Blob).then_some(piece);
                let content = Content::of(header.size, piece);
                (
                    content,
                    Large::start(scope, scanner, paths, header.size, beginning),
                )
            });
            if stopped.is_none() {
                stopped = is_over();
            }
            // What comes after the time is over is read past.
            if stopped.is_none() {
                large.push(piece);
            }
        })?;
        if let Some(fault) = stopped {
            return Err(fault);
        }
        if let Some((content, large)) = large {
            let inspections = large.finish(scanner);
            return Ok(Loaded {
                header,
                whole: None,
                content: Some(content),
                inspections: inspections
                    .ok_or_else(|| Fault::hook("the scan stopped at a defect"))?,
            });
        }
        let bytes = whole.as_deref().unwrap_or_default();
        let inspections = match header.kind {
            Kind::Tree => Vec::new(),
            _ => inspections(scanner, bytes, paths, is_over)?,
        };
        Ok(Loaded {
            header,
            content: Some(Content::of(header.size, bytes)),
            whole,
            inspections,
        })
    })
}

fn inspections(
    scanner: &Scanner<'_>,
    bytes: &[u8],
    paths: &[Option<&[u8]>],
    is_over: impl Fn() -> Option<Fault>,
) -> Result<Vec<Inspection>, Fault> {
    let limits = Limits::default();
    let mut inspections: Vec<Inspection> = Vec::with_capacity(paths.len());
    for path in paths {
        let Some(first) = inspections.first() else {
            inspections.push(scanner.inspect(bytes, *path, &limits));
            continue;
        };
        if let Some(fault) = is_over() {
            return Err(fault);
        }
        let inspection = scanner.inspect_again(bytes, *path, first, &limits);
        inspections.push(inspection);
    }
    Ok(inspections)
}
