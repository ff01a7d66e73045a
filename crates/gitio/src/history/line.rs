//! Reads the history of a small push within this process: most pushes bring a few commits in one
//! line on top of a ref, and two processes of git take longer than everything else that is done
//! with those.
//!
//! Whatever is not plainly such a push is left to git, by answering nothing: merges, several
//! tips, tags, submodules, changes of type, large files, objects that were there before or that
//! come from elsewhere in the tree. What is answered is what git would say, patches included
//! (the tests compare the two); which of both reads a commit therefore never shows.

use std::cmp::Ordering;
use std::os::unix::ffi::OsStrExt as _;

use refwarden_model::{ObjectFormat, Oid};

use super::changes::{Change, CommitChanges};
use super::{History, Limits, NewCommit};
use crate::command::ObjectEnv;
use crate::objects::{InProcess, Kind, ReadObjects as _};
use crate::settings::Repository;

/// Commits in the line.
const COMMITS_MAX: usize = 32;

/// Changed files in all commits.
const CHANGES_MAX: usize = 500;

/// Nested folders.
const DEPTH_MAX: usize = 200;

/// One object, in bytes.
const OBJECT_MAX: u64 = 256 << 10;

/// All objects that are read, in bytes.
const BYTES_MAX: u64 = 8 << 20;

/// What is binary to git: a NUL among these first bytes (gitattributes(5), "diff").
const BINARY_SEARCH: usize = 8000;

/// Packs of the repository. To say that a commit is not there, libgit2 opens the index of each,
/// and with more than these git is quicker.
const PACKS_MAX: usize = 32;

const ABSENT: &[u8] = b"000000";

/// Reads what `tip` makes reachable beyond `standing`, which are values of refs. `is_sent` says
/// which objects the push brought. None where git has to be asked, for whatever reason.
pub fn read_line(
    repository: &Repository,
    objects: &ObjectEnv,
    tip: Oid,
    standing: &[Oid],
    is_sent: impl Fn(Oid) -> bool,
    limits: &Limits,
) -> Option<History> {
    if packs(repository)? > PACKS_MAX {
        return None;
    }
    let mut line = Line {
        reader: InProcess::open(repository, objects)?,
        is_sent,
        format: repository.object_format,
        bytes: 0,
        count: 0,
    };
    let commits = line.commits(repository, tip, standing)?;
    let mut history = History::default();
    for commit in commits {
        let changes = line.changes(&commit)?;
        let patches: usize = changes.iter().map(|change| change.patch.len()).sum();
        let largest = changes.iter().map(|change| change.patch.len()).max();
        if changes.len() > limits.changes_per_commit
            || largest.is_some_and(|length| length > limits.patch)
            || patches > limits.patches
        {
            return None;
        }
        if !changes.is_empty() {
            let total = changes.len() as u64;
            let changes = CommitChanges { changes, total };
            history.changes.insert(commit.oid, changes);
        }
        history.commits_total += 1;
        history.commits.push(NewCommit {
            oid: commit.oid,
            parents: commit.parent.into_iter().collect(),
        });
    }
    let listed = history.changes.values().flat_map(|listed| &listed.changes);
    let bytes: usize = listed.map(|change| change.patch.len()).sum();
    let fits = history.commits.len() <= limits.commits
        && line.count <= limits.changes
        && bytes <= limits.patches;
    fits.then_some(history)
}

fn packs(repository: &Repository) -> Option<usize> {
    let entries = std::fs::read_dir(repository.gitdir.join("objects/pack")).ok()?;
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    Some(
        names
            .filter(|name| name.as_bytes().ends_with(b".pack"))
            .count(),
    )
}

/// A commit with one parent or none.
struct Single {
    oid: Oid,
    parent: Option<Oid>,
    tree: Oid,
    parent_tree: Option<Oid>,
}

struct Line<'a, S> {
    reader: InProcess<'a>,
    is_sent: S,
    format: ObjectFormat,
    bytes: u64,
    count: usize,
}

impl<S: Fn(Oid) -> bool> Line<'_, S> {
    /// The new commits, parents first.
    fn commits(
        &mut self,
        repository: &Repository,
        tip: Oid,
        standing: &[Oid],
    ) -> Option<Vec<Single>> {
        let stored = ObjectEnv::repository_only();
        let stored = InProcess::open(repository, &stored)?;
        let mut found: Vec<Single> = Vec::new();
        let mut next = Some(tip);
        while let Some(oid) = next.filter(|oid| !standing.contains(oid)) {
            // One that the repository held before may be reachable, from whatever ref.
            if found.len() == COMMITS_MAX || !(self.is_sent)(oid) || stored.holds(oid) {
                return None;
            }
            let (tree, parents) = self.commit(oid)?;
            if let Some(child) = found.last_mut() {
                child.parent_tree = Some(tree);
            }
            let parent = match parents.as_slice() {
                [] => None,
                [one] => Some(*one),
                _ => return None,
            };
            found.push(Single {
                oid,
                parent,
                tree,
                parent_tree: None,
            });
            next = parent;
        }
        if let (Some(base), Some(first)) = (next, found.last_mut()) {
            first.parent_tree = Some(self.commit(base)?.0);
        }
        found.reverse();
        Some(found)
    }

    /// A commit's tree and parents, which stand in its first lines in this order: git reads no
    /// others (`parse_commit_buffer` of its `commit.c`).
    fn commit(&mut self, oid: Oid) -> Option<(Oid, Vec<Oid>)> {
        let bytes = self.object(oid, Kind::Commit)?;
        let mut lines = bytes.split(|&byte| byte == b'\n');
        let tree = self.id(lines.next()?.strip_prefix(b"tree ")?)?;
        let mut parents = Vec::new();
        for line in lines {
            match line.strip_prefix(b"parent ") {
                Some(id) => parents.push(self.id(id)?),
                None => return Some((tree, parents)),
            }
        }
        None
    }

    fn id(&self, text: &[u8]) -> Option<Oid> {
        let oid = Oid::parse(text).ok()?;
        (oid.format() == self.format).then_some(oid)
    }

    fn changes(&mut self, commit: &Single) -> Option<Vec<Change>> {
        let mut found = Vec::new();
        self.tree(commit.parent_tree, Some(commit.tree), b"", 0, &mut found)?;
        Some(found)
    }

    /// What differs between two trees, in the order of their entries.
    fn tree(
        &mut self,
        old: Option<Oid>,
        new: Option<Oid>,
        path: &[u8],
        depth: usize,
        found: &mut Vec<Change>,
    ) -> Option<()> {
        if old == new {
            return Some(());
        }
        if depth > DEPTH_MAX || new.is_some_and(|new| !(self.is_sent)(new)) {
            return None;
        }
        let (old, new) = (self.listing(old)?, self.listing(new)?);
        let (old, new) = (self.entries(&old)?, self.entries(&new)?);
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return Some(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.order().cmp(new.order()),
            };
            let before = if order.is_le() { old.next() } else { None };
            let after = if order.is_ge() { new.next() } else { None };
            self.entry(before, after, path, depth, found)?;
        }
    }

    fn entry(
        &mut self,
        old: Option<&Entry<'_>>,
        new: Option<&Entry<'_>>,
        path: &[u8],
        depth: usize,
        found: &mut Vec<Change>,
    ) -> Option<()> {
        let same = |entry: &Entry<'_>| (entry.mode.to_vec(), entry.oid);
        if old.map(same) == new.map(same) {
            return Some(());
        }
        let name = old.or(new)?.name;
        let mut path = path.to_vec();
        path.extend_from_slice(name);
        let is_tree = |entry: Option<&Entry<'_>>| entry.is_some_and(Entry::is_tree);
        if is_tree(old) || is_tree(new) {
            path.push(b'/');
            let (old, new) = (old.map(|entry| entry.oid), new.map(|entry| entry.oid));
            return self.tree(old, new, &path, depth + 1, found);
        }
        self.count += 1;
        if self.count > CHANGES_MAX {
            return None;
        }
        found.push(self.change(old, new, path)?);
        Some(())
    }

    fn change(
        &mut self,
        old: Option<&Entry<'_>>,
        new: Option<&Entry<'_>>,
        path: Vec<u8>,
    ) -> Option<Change> {
        let kind = |entry: Option<&Entry<'_>>| entry.map(Entry::kind);
        let status = match (kind(old), kind(new)) {
            (Some(FileKind::Other), _) | (_, Some(FileKind::Other)) | (None, None) => return None,
            (None, Some(_)) => 'A',
            (Some(_), None) => 'D',
            (Some(old), Some(new)) if old == new => 'M',
            // Git shows a deletion and a creation.
            (Some(_), Some(_)) => return None,
        };
        let same_content = old.map(|entry| entry.oid) == new.map(|entry| entry.oid);
        if new.is_some_and(|new| !same_content && !(self.is_sent)(new.oid)) {
            return None;
        }
        let mode = |entry: Option<&Entry<'_>>| {
            let mode = entry.map_or(ABSENT, |entry| entry.mode);
            std::str::from_utf8(mode).ok().map(str::to_owned)
        };
        let oid = |entry: Option<&Entry<'_>>| entry.map_or(self.format.zero(), |entry| entry.oid);
        let mut change = Change {
            path,
            old_mode: mode(old)?,
            new_mode: mode(new)?,
            old_oid: oid(old),
            new_oid: oid(new),
            status,
            added: Some(0),
            deleted: Some(0),
            patch: Vec::new(),
            patch_cut: false,
        };
        if same_content {
            return Some(change);
        }
        let before = self.content(old)?;
        let after = self.content(new)?;
        if is_binary(&before) || is_binary(&after) {
            (change.added, change.deleted) = (None, None);
        } else {
            hunks(&before, &after, &mut change)?;
        }
        Some(change)
    }

    fn content(&mut self, entry: Option<&Entry<'_>>) -> Option<Vec<u8>> {
        entry.map_or(Some(Vec::new()), |entry| self.object(entry.oid, Kind::Blob))
    }

    fn listing(&mut self, oid: Option<Oid>) -> Option<Vec<u8>> {
        oid.map_or(Some(Vec::new()), |oid| self.object(oid, Kind::Tree))
    }

    fn object(&mut self, oid: Oid, kind: Kind) -> Option<Vec<u8>> {
        let header = self.reader.header(oid).ok()?;
        self.bytes += header.size;
        if header.kind != kind || header.size > OBJECT_MAX || self.bytes > BYTES_MAX {
            return None;
        }
        self.reader.load(oid, OBJECT_MAX, &mut |_, _| {}).ok()?.1
    }

    /// None where the bytes are no tree, or one that git would not write: what is out of order,
    /// or there twice, has no one meaning.
    fn entries<'t>(&self, tree: &'t [u8]) -> Option<Vec<Entry<'t>>> {
        let mut found: Vec<Entry<'_>> = Vec::new();
        let mut rest = tree;
        while !rest.is_empty() {
            let space = memchr::memchr(b' ', rest)?;
            let nul = memchr::memchr(0, rest)?;
            let end = nul + 1 + self.format.raw_len();
            let entry = Entry::new(
                rest.get(..space)?,
                rest.get(space + 1..nul)?,
                Oid::from_raw(rest.get(nul + 1..end)?).ok()?,
            )?;
            let follows = found.last().is_none_or(|last| last.order() < entry.order());
            if !follows {
                return None;
            }
            found.push(entry);
            rest = rest.get(end..)?;
        }
        Some(found)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FileKind {
    File,
    Link,
    Other,
}

/// An entry of a tree.
struct Entry<'t> {
    mode: &'t [u8],
    name: &'t [u8],
    oid: Oid,
    /// The name, with a slash after that of a folder: trees are sorted so.
    order: Vec<u8>,
}

impl<'t> Entry<'t> {
    /// None for a mode that git itself would not write.
    fn new(mode: &'t [u8], name: &'t [u8], oid: Oid) -> Option<Self> {
        let known: [&[u8]; 5] = [b"100644", b"100755", b"120000", b"160000", b"40000"];
        if !known.contains(&mode) {
            return None;
        }
        let mut order = name.to_vec();
        if mode == b"40000" {
            order.push(b'/');
        }
        Some(Self {
            mode,
            name,
            oid,
            order,
        })
    }

    fn order(&self) -> &[u8] {
        &self.order
    }

    fn is_tree(&self) -> bool {
        self.mode == b"40000"
    }

    fn kind(&self) -> FileKind {
        match self.mode {
            b"100644" | b"100755" => FileKind::File,
            b"120000" => FileKind::Link,
            _ => FileKind::Other,
        }
    }
}

fn is_binary(content: &[u8]) -> bool {
    let searched = content.get(..BINARY_SEARCH).unwrap_or(content);
    memchr::memchr(0, searched).is_some()
}

/// Writes the hunks as `git diff-tree -p` does, with its defaults.
fn hunks(before: &[u8], after: &[u8], change: &mut Change) -> Option<()> {
    let mut options = git2::DiffOptions::new();
    options
        .context_lines(3)
        .interhunk_lines(0)
        .indent_heuristic(true)
        .force_text(true);
    let patch = git2::Patch::from_buffers(before, None, after, None, Some(&mut options)).ok()?;
    let (mut added, mut deleted) = (0, 0);
    for hunk in 0..patch.num_hunks() {
        let (header, lines) = patch.hunk(hunk).ok()?;
        // Git cuts the line that it shows after the numbers, then trims it; libgit2 only cuts.
        change.patch.extend(header.header().trim_ascii_end());
        change.patch.push(b'\n');
        for line in 0..lines {
            let line = patch.line_in_hunk(hunk, line).ok()?;
            match line.origin() {
                '+' => added += 1,
                '-' => deleted += 1,
                _ => {}
            }
            if matches!(line.origin(), '+' | '-' | ' ') {
                change.patch.push(u8::try_from(line.origin()).ok()?);
            }
            change.patch.extend_from_slice(line.content());
        }
    }
    (change.added, change.deleted) = (Some(added), Some(deleted));
    Some(())
}

#[cfg(test)]
mod tests;
