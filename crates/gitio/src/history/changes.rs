//! Reads `git diff-tree --stdin -z --raw -p`: per commit its id, the raw entries, then patches
//! in the same order (git-diff-tree(1), "Raw output format" and "Generating patch text").
//!
//! Lines of a patch are counted by the hunks' own headers, since a file's content may look like
//! anything.

use std::collections::HashMap;
use std::io::{Read, Write};

use refwarden_model::{ObjectFormat, Oid};

use super::{Limits, NewCommit, PATCH_BLOB_MAX};
use crate::command::{Git, GitError, ObjectEnv, Process};
use crate::objects::empty_tree;
use crate::settings::Repository;

/// What a commit changes against its first parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitChanges {
    /// Changed files, by path.
    pub changes: Vec<Change>,
    /// How many there are; more than `changes.len()` where the list was cut.
    pub total: u64,
}

/// One changed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its path.
    pub path: Vec<u8>,
    /// Mode before, octal; `000000` when it did not exist.
    pub old_mode: String,
    /// Mode after.
    pub new_mode: String,
    /// Object before; zero when it did not exist.
    pub old_oid: Oid,
    /// Object after.
    pub new_oid: Oid,
    /// `A`, `M`, `D` or `T`.
    pub status: char,
    /// Lines added; none for a binary file.
    pub added: Option<u64>,
    /// Lines removed; none for a binary file.
    pub deleted: Option<u64>,
    /// The hunks.
    pub patch: Vec<u8>,
    /// Whether `patch` was cut.
    pub patch_cut: bool,
}

pub(super) fn start(repository: &Repository, objects: &ObjectEnv) -> Result<Process, GitError> {
    // The empty tree: attributes of a pushed tree must not hide a file's patch.
    Git::new(&repository.gitdir, objects, "diff-tree")
        .env("GIT_ATTR_SOURCE", empty_tree(repository.object_format))
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "core.bigFileThreshold")
        .env("GIT_CONFIG_VALUE_0", PATCH_BLOB_MAX.to_string())
        .args(["--stdin", "--root", "-r", "-z", "--raw", "-p"])
        .args(["--no-renames", "--no-ext-diff", "--no-textconv"])
        .args(["--full-index", "--no-abbrev", "--no-color"])
        .args(["--submodule=short", "--ignore-submodules=none"])
        .spawn()
}

pub(super) fn read(
    mut process: Process,
    commits: &[NewCommit],
    limits: &Limits,
) -> Result<HashMap<Oid, CommitChanges>, GitError> {
    let stdin = process.stdin()?;
    let stdout = process.stdout()?;
    let parsed = std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut stdin = std::io::BufWriter::new(stdin);
            for commit in commits {
                // With a parent on the line, a merge is compared with that parent alone.
                let written = match commit.parents.first() {
                    Some(parent) => writeln!(stdin, "{} {parent}", commit.oid),
                    None => writeln!(stdin, "{}", commit.oid),
                };
                if written.is_err() {
                    return;
                }
            }
            let _ = stdin.flush();
        });
        Parser::new(stdout, limits).all()
    });
    let changes = parsed.map_err(|problem| match problem {
        Problem::Io(error) => process.io(error),
        Problem::Unexpected(what) => process.unexpected(what),
    })?;
    process.finish()?;
    Ok(changes)
}

enum Problem {
    Io(std::io::Error),
    Unexpected(&'static str),
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Longest id, path or header line, in bytes.
const TOKEN_MAX: usize = 1 << 20;

struct Parser<'l, R> {
    reader: R,
    buffer: Vec<u8>,
    at: usize,
    limits: &'l Limits,
    changes_left: usize,
    patches_left: usize,
}

impl<'l, R: Read> Parser<'l, R> {
    fn new(reader: R, limits: &'l Limits) -> Self {
        Self {
            reader,
            buffer: Vec::with_capacity(128 * 1024),
            at: 0,
            limits,
            changes_left: limits.changes,
            patches_left: limits.patches,
        }
    }

    fn all(&mut self) -> Result<HashMap<Oid, CommitChanges>, Problem> {
        let mut found = HashMap::new();
        while !self.peek(1)?.is_empty() {
            let id = self.token(0)?;
            let oid = Oid::parse(&id).map_err(|_| Problem::Unexpected("a commit's id"))?;
            let changes = self.commit()?;
            found.insert(oid, changes);
        }
        Ok(found)
    }

    fn commit(&mut self) -> Result<CommitChanges, Problem> {
        let mut found = CommitChanges::default();
        while self.peek(1)? == b":" {
            let header = self.token(0)?;
            let path = self.token(0)?;
            found.total += 1;
            if found.changes.len() < self.limits.changes_per_commit && self.changes_left > 0 {
                self.changes_left -= 1;
                let change = parse_raw(&header, path);
                found
                    .changes
                    .push(change.ok_or(Problem::Unexpected("a raw entry"))?);
            }
        }
        if self.peek(1)? != b"\0" {
            return Ok(found);
        }
        self.at += 1;
        let mut index = 0;
        let mut second = false;
        while self.peek(11)? == b"diff --git " {
            let mut none = None;
            let change = found.changes.get_mut(index);
            let is_pair = change.as_ref().is_some_and(|change| change.status == 'T');
            self.file(change.unwrap_or_else(|| none.insert(nothing())))?;
            // A change of type is shown as a deletion and a creation.
            second = is_pair && !second;
            if !second {
                index += 1;
            }
        }
        if index < found.changes.len() {
            return Err(Problem::Unexpected("a patch for each raw entry"));
        }
        Ok(found)
    }

    /// One `diff --git` section.
    fn file(&mut self, change: &mut Change) -> Result<(), Problem> {
        self.token(b'\n')?;
        loop {
            let ahead = self.peek(8)?;
            let is_commit = ahead.iter().all(u8::is_ascii_hexdigit);
            if is_commit || ahead == b"diff --g" {
                return Ok(());
            }
            let line = self.token(b'\n')?;
            if line.starts_with(b"@@ ") {
                let hunk = hunk_lengths(&line).ok_or(Problem::Unexpected("a hunk's header"))?;
                self.keep(change, &line);
                self.keep(change, b"\n");
                self.hunk(hunk, change)?;
            } else if line.starts_with(b"Binary files ") {
                (change.added, change.deleted) = (None, None);
            }
        }
    }

    fn hunk(&mut self, lengths: (u64, u64), change: &mut Change) -> Result<(), Problem> {
        let (mut old, mut new) = lengths;
        let torn = Problem::Unexpected("a hunk's line");
        loop {
            let sign = self.peek(1)?.first().copied();
            match sign {
                Some(b'\\') => {}
                _ if old == 0 && new == 0 => return Ok(()),
                Some(b' ') if old > 0 && new > 0 => {
                    old -= 1;
                    new -= 1;
                }
                Some(b'-') if old > 0 => {
                    old -= 1;
                    change.deleted = change.deleted.map(|count| count + 1);
                }
                Some(b'+') if new > 0 => {
                    new -= 1;
                    change.added = change.added.map(|count| count + 1);
                }
                _ => return Err(torn),
            }
            self.line(change)?;
        }
    }

    /// Takes a line of any length, piece by piece.
    fn line(&mut self, change: &mut Change) -> Result<(), Problem> {
        loop {
            if self.peek(1)?.is_empty() {
                return Err(Problem::Unexpected("the end of a line"));
            }
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let (length, ended) = match memchr::memchr(b'\n', rest) {
                Some(end) => (end + 1, true),
                None => (rest.len(), false),
            };
            let piece = rest.get(..length).unwrap_or_default();
            keep_piece(change, piece, self.limits.patch, &mut self.patches_left);
            self.at += length;
            if ended {
                return Ok(());
            }
        }
    }

    fn keep(&mut self, change: &mut Change, piece: &[u8]) {
        keep_piece(change, piece, self.limits.patch, &mut self.patches_left);
    }

    /// Up to `count` bytes that come next; fewer at the end.
    fn peek(&mut self, count: usize) -> Result<&[u8], Problem> {
        while self.buffer.len() - self.at < count {
            if self.more()? == 0 {
                break;
            }
        }
        let end = self.buffer.len().min(self.at + count);
        Ok(self.buffer.get(self.at..end).unwrap_or_default())
    }

    /// What comes before the next `end`, which is taken too.
    fn token(&mut self, end: u8) -> Result<Vec<u8>, Problem> {
        let mut searched = 0;
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let unsearched = rest.get(searched..).unwrap_or_default();
            if let Some(found) = memchr::memchr(end, unsearched) {
                let token = rest.get(..searched + found).unwrap_or_default().to_vec();
                self.at += token.len() + 1;
                return Ok(token);
            }
            searched = rest.len();
            if searched > TOKEN_MAX {
                return Err(Problem::Unexpected("a shorter line"));
            }
            if self.more()? == 0 {
                return Err(Problem::Unexpected("the rest of a line"));
            }
        }
    }

    fn more(&mut self) -> Result<usize, Problem> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let held = self.buffer.len();
        self.buffer.resize(held + 64 * 1024, 0);
        let room = self.buffer.get_mut(held..).unwrap_or_default();
        let read = loop {
            match self.reader.read(room) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer
            .truncate(held + read.as_ref().copied().unwrap_or(0));
        Ok(read?)
    }
}

fn keep_piece(change: &mut Change, piece: &[u8], limit: usize, left: &mut usize) {
    let room = (*left).min(limit.saturating_sub(change.patch.len()));
    if change.patch_cut || piece.len() > room {
        change.patch_cut = true;
        return;
    }
    change.patch.extend_from_slice(piece);
    *left -= piece.len();
}

/// `:100644 100755 <old> <new> M`
fn parse_raw(header: &[u8], path: Vec<u8>) -> Option<Change> {
    let text = std::str::from_utf8(header.strip_prefix(b":")?).ok()?;
    let mut words = text.split(' ');
    Some(Change {
        path,
        old_mode: words.next()?.to_owned(),
        new_mode: words.next()?.to_owned(),
        old_oid: words.next()?.parse().ok()?,
        new_oid: words.next()?.parse().ok()?,
        status: words.next()?.chars().next()?,
        added: Some(0),
        deleted: Some(0),
        patch: Vec::new(),
        patch_cut: false,
    })
}

/// Takes the patch of a change beyond the list's bound.
fn nothing() -> Change {
    Change {
        path: Vec::new(),
        old_mode: String::new(),
        new_mode: String::new(),
        old_oid: ObjectFormat::Sha1.zero(),
        new_oid: ObjectFormat::Sha1.zero(),
        status: 'M',
        added: None,
        deleted: None,
        patch: Vec::new(),
        patch_cut: true,
    }
}

/// The two lengths in `@@ -1,2 +3,4 @@`; a length that is left out is 1.
fn hunk_lengths(line: &[u8]) -> Option<(u64, u64)> {
    let end = memchr::memmem::find(line, b" @@")?;
    let text = std::str::from_utf8(line.get(4..end)?).ok()?;
    let (old, new) = text.split_once(" +")?;
    let length = |range: &str| match range.split_once(',') {
        Some((_, length)) => length.parse().ok(),
        None => Some(1),
    };
    Some((length(old)?, length(new)?))
}
