//! Reads `--raw -z` records of diff-tree and diff-index (git-diff-tree(1), "Raw output format"
//! and "Diff format for merges").

use std::io::BufRead;

use refwarden_model::Oid;

use crate::command::{GitError, Process};

/// A path, and what comes to stand there.
pub(super) struct Entry {
    /// Mode, octal; `000000` for what is deleted.
    pub mode: String,
    /// Object; zero for what is deleted.
    pub oid: Oid,
    /// What stood there in each parent that had something.
    pub before: Vec<Oid>,
    /// The path.
    pub path: Vec<u8>,
}

pub(super) enum Record {
    /// The entries that follow are this commit's.
    Commit(Oid),
    Entry(Entry),
}

/// The next record; none at the end.
pub(super) fn next(
    reader: &mut impl BufRead,
    process: &Process,
) -> Result<Option<Record>, GitError> {
    let mut header = Vec::new();
    if !token(reader, process, &mut header)? {
        return Ok(None);
    }
    if header.first() != Some(&b':') {
        let oid = Oid::parse(&header).map_err(|_| process.unexpected("a commit's id"))?;
        return Ok(Some(Record::Commit(oid)));
    }
    let mut path = Vec::new();
    if !token(reader, process, &mut path)? {
        return Err(process.unexpected("a path"));
    }
    let entry = parse(&header, path).ok_or_else(|| process.unexpected("a raw entry"))?;
    Ok(Some(Record::Entry(entry)))
}

fn token(
    reader: &mut impl BufRead,
    process: &Process,
    into: &mut Vec<u8>,
) -> Result<bool, GitError> {
    let read = reader.read_until(0, into).map_err(|e| process.io(e))?;
    if read == 0 {
        return Ok(false);
    }
    if into.pop() == Some(0) {
        Ok(true)
    } else {
        Err(process.unexpected("the rest of a record"))
    }
}

/// `:<mode> <mode> <oid> <oid> <status>`, or as many colons, old modes and old oids as a merge
/// has parents.
fn parse(header: &[u8], path: Vec<u8>) -> Option<Entry> {
    let text = std::str::from_utf8(header).ok()?;
    let rest = text.trim_start_matches(':');
    let parents = text.len() - rest.len();
    let mut words = rest.split(' ');
    let mode = words.by_ref().nth(parents)?.to_owned();
    let mut before = Vec::new();
    for _ in 0..parents {
        let oid: Oid = words.next()?.parse().ok()?;
        if oid != oid.format().zero() && !before.contains(&oid) {
            before.push(oid);
        }
    }
    let oid = words.next()?.parse().ok()?;
    Some(Entry {
        mode,
        oid,
        before,
        path,
    })
}
