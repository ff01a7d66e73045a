//! Scans everything that a push brings: every object that was sent or becomes reachable, ref
//! names, push options.

use std::collections::HashMap;

use refwarden_gitio::objects::{Kind, ReadObjects, tree_names};
use refwarden_model::Oid;
use refwarden_model::facts::Place;
use refwarden_scan::{Finding, Scanner, Stream};

use crate::fault::Fault;
use crate::incoming::Occurrence;

/// Objects above this are scanned piece by piece, in bytes.
const WHOLE_MAX: u64 = 4 << 20;

/// Trees above this are refused, in bytes; git's own files of this size would be 500 000 names.
const TREE_MAX: u64 = 32 << 20;

/// Findings that are kept; the rest is counted.
const FINDINGS_MAX: usize = 10_000;

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

/// Everything that was found.
#[derive(Default)]
pub struct Report {
    /// The findings, [`FINDINGS_MAX`] at most.
    pub found: Vec<Found>,
    /// How many there were.
    pub total: u64,
    /// Objects that were scanned.
    pub objects: u64,
    /// What policy asks about those of them that are files.
    pub contents: HashMap<Oid, Content>,
}

impl Report {
    /// Whether some findings were not kept, so that their secrets are not known.
    pub fn is_cut(&self) -> bool {
        self.total > self.found.len() as u64
    }

    fn add(
        &mut self,
        findings: Vec<Finding>,
        place: Place,
        object: Option<Oid>,
        path: Option<&[u8]>,
    ) {
        self.total += findings.len() as u64;
        let room = FINDINGS_MAX - self.found.len().min(FINDINGS_MAX);
        let kept = findings.into_iter().take(room).map(|finding| Found {
            finding,
            place,
            object,
            path: path.map(<[u8]>::to_vec),
        });
        self.found.extend(kept);
    }

    /// Scans a ref name.
    pub fn ref_name(&mut self, scanner: &Scanner<'_>, name: &[u8]) {
        self.add(scanner.scan(name, None), Place::RefName, None, Some(name));
    }

    /// Scans a push option.
    pub fn push_option(&mut self, scanner: &Scanner<'_>, option: &[u8]) {
        self.add(scanner.scan(option, None), Place::PushOption, None, None);
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
        let mut streams: Vec<Stream<'_>> = Vec::new();
        let mut content = None;
        let (header, whole) = reader.load(oid, WHOLE_MAX, &mut |header, piece| {
            content.get_or_insert_with(|| Content::of(header.size, piece));
            if streams.is_empty() {
                streams = paths.iter().map(|path| scanner.stream(*path)).collect();
            }
            for stream in &mut streams {
                stream.push(piece);
            }
        })?;
        if header.kind == Kind::Tree {
            return self.tree(scanner, reader, oid, whole);
        }
        if header.kind == Kind::Blob {
            let beginning = whole.as_deref().unwrap_or_default();
            let content = content.unwrap_or_else(|| Content::of(header.size, beginning));
            self.contents.insert(oid, content);
        }
        let mut seen = Vec::new();
        for (index, path) in paths.iter().enumerate() {
            let mut findings = match (&whole, streams.is_empty()) {
                (Some(bytes), _) => scanner.scan(bytes, *path),
                (None, false) => streams.remove(0).finish(),
                (None, true) => Vec::new(),
            };
            findings.retain(|finding| {
                let key = (finding.rule_id.clone(), finding.span.clone());
                let is_new = !seen.contains(&key);
                if is_new && index + 1 < paths.len() {
                    seen.push(key);
                }
                is_new
            });
            let place = match header.kind {
                Kind::Commit => Place::Commit,
                Kind::Tag => Place::Tag,
                Kind::Blob | Kind::Tree => Place::Blob,
            };
            self.add(findings, place, Some(oid), *path);
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
        let text = names.join(&b'\n');
        for mut finding in scanner.scan(&text, None) {
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
            self.add(vec![finding], Place::Path, Some(oid), name.copied());
        }
        Ok(())
    }
}
