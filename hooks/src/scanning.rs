//! Scans everything that a push brings: every object that was sent or becomes reachable, ref
//! names, push options.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use refwarden_gitio::objects::{Header, Kind, ReadObjects, tree_names};
use refwarden_model::facts::Place;
use refwarden_model::{Code, Oid};
use refwarden_scan::{
    Finding, Fingerprint, Inspection, Large, Limits, Reason, Scanner, Step, gitleaks,
};
use refwarden_view::placeholder::form;

use crate::fault::Fault;
use crate::incoming::Occurrence;

/// Objects above this are scanned piece by piece, in bytes.
const WHOLE_MAX: u64 = 4 << 20;

/// Trees above this are refused, in bytes: more than 100 000 names in one directory.
const TREE_MAX: u64 = 8 << 20;

/// Findings that are kept; the rest is counted.
const FINDINGS_MAX: usize = 10_000;

/// Parts that could not be looked into and are told one by one. Beyond, one for each reason is.
const UNREAD_MAX: usize = 200;

/// Paths of one file's content that are tried.
const PATHS_MAX: usize = 8;

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
    unread_total: usize,
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
        findings: Vec<Finding>,
        total: u64,
        place: Place,
        (object, path): (Option<Oid>, Option<&[u8]>),
        whole: Option<&[u8]>,
    ) {
        self.total += total;
        let room = FINDINGS_MAX - self.found.len().min(FINDINGS_MAX);
        let kept = findings.into_iter().take(room).map(|finding| Found {
            is_commented: place == Place::Blob && is_commented(&finding, whole),
            finding,
            place,
            object,
            path: path.map(<[u8]>::to_vec),
        });
        self.found.extend(kept);
    }

    /// Notes what could not be looked into: for an object, each reason once.
    fn not_read(
        &mut self,
        scanner: &Scanner<'_>,
        inspected: &Inspection,
        object: Option<Oid>,
        path: Option<&[u8]>,
    ) {
        for unread in &inspected.unread {
            let reason = unread.reason;
            let is_same = |known: &&mut NotRead| {
                known.reason == reason
                    && (known.object == object || self.unread_total >= UNREAD_MAX)
            };
            if let Some(known) = self.unread.iter_mut().rev().find(is_same) {
                known.parts += 1;
                continue;
            }
            self.unread_total += 1;
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
        self.add(findings, total, Place::RefName, (None, Some(name)), None);
    }

    /// Scans a push option.
    pub fn push_option(&mut self, scanner: &Scanner<'_>, option: &[u8]) {
        let findings = scanner.scan(option, None);
        let total = findings.len() as u64;
        self.add(findings, total, Place::PushOption, (None, None), None);
    }

    /// Scans an object, under every path at which it comes in.
    pub fn object(
        &mut self,
        scanner: &Scanner<'_>,
        reader: &mut dyn ReadObjects,
        oid: Oid,
        occurrences: &HashMap<Oid, Vec<Occurrence<'_>>>,
    ) -> Result<(), Fault> {
        self.objects += 1;
        let own = commit_of(scanner, oid, occurrences);
        let own = own.map(|commit| scanner.for_commit(&commit.to_string()));
        let scanner = own.as_ref().unwrap_or(scanner);
        let mut paths: Vec<Option<&[u8]>> = Vec::new();
        for occurrence in occurrences.get(&oid).into_iter().flatten() {
            let path = Some(occurrence.change.path.as_slice());
            if paths.len() < PATHS_MAX && !paths.contains(&path) {
                paths.push(path);
            }
        }
        if paths.is_empty() {
            paths.push(None);
        }
        let Loaded {
            header,
            whole,
            content,
            inspections,
        } = load(scanner, reader, oid, &paths, self.budget)?;
        if header.kind == Kind::Tree {
            return self.tree(scanner, reader, oid, whole);
        }
        if let Some(content) = content.filter(|_| header.kind == Kind::Blob) {
            self.contents.insert(oid, content);
            if whole.as_deref().is_some_and(|bytes| form(bytes).is_some()) {
                self.placeholders.insert(oid);
            }
        }
        let mut seen = Vec::new();
        for (index, (path, inspected)) in paths.iter().zip(inspections).enumerate() {
            self.not_read(scanner, &inspected, Some(oid), *path);
            let (mut findings, mut total) = (inspected.findings, inspected.total);
            let listed = findings.len() as u64;
            findings.retain(|finding| {
                let key = (
                    finding.rule_id.clone(),
                    finding.via.clone(),
                    finding.span.clone(),
                );
                let is_new = !seen.contains(&key);
                if is_new && index + 1 < paths.len() {
                    seen.push(key);
                }
                is_new
            });
            total -= listed - findings.len() as u64;
            let place = match header.kind {
                Kind::Commit => Place::Commit,
                Kind::Tag => Place::Tag,
                Kind::Blob | Kind::Tree => Place::Blob,
            };
            self.add(findings, total, place, (Some(oid), *path), whole.as_deref());
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
            self.add(vec![finding], 1, Place::Path, place, None);
        }
        Ok(())
    }
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
    /// By path. Containers were looked into under the first one: what is in them has its own
    /// paths.
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
    std::thread::scope(|scope| {
        let mut large: Option<(Content, Large<'_, '_>)> = None;
        let (header, whole) = reader.load(oid, WHOLE_MAX, &mut |header, piece| {
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
            _ => inspections(scanner, bytes, paths),
        };
        Ok(Loaded {
            header,
            content: Some(Content::of(header.size, bytes)),
            whole,
            inspections,
        })
    })
}

fn inspections(scanner: &Scanner<'_>, bytes: &[u8], paths: &[Option<&[u8]>]) -> Vec<Inspection> {
    let limits = Limits::default();
    let inspect = |(index, path): (usize, Option<&[u8]>)| {
        if index == 0 {
            return scanner.inspect(bytes, path, &limits);
        }
        let mut stream = scanner.stream(path);
        stream.push(bytes);
        stream.inspect()
    };
    paths.iter().copied().enumerate().map(inspect).collect()
}
