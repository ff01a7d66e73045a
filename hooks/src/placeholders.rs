//! Placeholders of a masked view that were pasted into an original: where one stands, a secret
//! was meant, and nobody is told that it is not there.
//!
//! By form only. Whether it stands for a secret that exists is not asked, since the answer would
//! let one be guessed. One that stood in a parent's version of the file is no news. Files that
//! are too large to be read whole, and messages, are not looked at: nothing is lost by those.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use refwarden_gitio::history::{Change, NewCommit};
use refwarden_gitio::objects::{Kind, ReadObjects};
use refwarden_gitio::{Git, ObjectEnv, Repository};
use refwarden_model::{Code, Oid, bytes};
use refwarden_view::placeholder::form;

use crate::fault::Fault;
use crate::incoming::Incoming;
use crate::scanning::Report;

/// `refwarden.property` by which an administrator lets them in.
const ALLOWED: (&str, &str) = ("placeholders", "allowed");

/// Files above this are not looked at, in bytes.
const WHOLE_MAX: u64 = 4 << 20;

/// Refuses a push that brings a placeholder which no parent has at the same path.
pub fn refuse_new(
    repository: &Repository,
    incoming: &Incoming,
    reader: &mut dyn ReadObjects,
    report: &Report,
) -> Result<(), Fault> {
    let (key, value) = ALLOWED;
    if report.placeholders.is_empty()
        || repository.properties.get(key).map(String::as_str) == Some(value)
    {
        return Ok(());
    }
    for commit in &incoming.history.commits {
        let listed = incoming.history.changes.get(&commit.oid);
        for change in listed.into_iter().flat_map(|listed| &listed.changes) {
            if report.placeholders.contains(&change.new_oid)
                && let Some(line) = first_new(repository, incoming, reader, commit, change)?
            {
                let text = format!(
                    "commit {}, {}:{line}: a placeholder of a masked view",
                    commit.oid.short(),
                    bytes::escape(&change.path)
                );
                let fault = Fault::new(Code::Placeholder, text);
                return Err(fault.hint("take the line back; push from the clone that it is from"));
            }
        }
    }
    Ok(())
}

/// The first line with a placeholder that no parent has at this path, counted from 1.
fn first_new(
    repository: &Repository,
    incoming: &Incoming,
    reader: &mut dyn ReadObjects,
    commit: &NewCommit,
    change: &Change,
) -> Result<Option<usize>, Fault> {
    let mut before = HashSet::new();
    for parent in &commit.parents {
        if let Some(blob) = blob_at(repository, &incoming.objects, *parent, &change.path)? {
            let lines = placeholders(reader, blob)?;
            before.extend(lines.into_iter().map(|(_, placeholder)| placeholder));
        }
    }
    let mut now = placeholders(reader, change.new_oid)?.into_iter();
    let new = now.find(|(_, placeholder)| !before.contains(placeholder));
    Ok(new.map(|(line, _)| line))
}

/// The file that a commit has at a path.
pub fn blob_at(
    repository: &Repository,
    objects: &ObjectEnv,
    commit: Oid,
    path: &[u8],
) -> Result<Option<Oid>, Fault> {
    let git = Git::new(&repository.gitdir, objects, "ls-tree");
    let git = git.env("GIT_LITERAL_PATHSPECS", "1");
    let git = git.args(["-z", "--full-tree", &commit.to_string(), "--"]);
    let listed = git.arg(OsStr::from_bytes(path)).output(b"")?;
    // `<mode> <type> <name>\t<path>` (git-ls-tree(1)).
    let mut words = listed.split(|byte| matches!(byte, b' ' | b'\t'));
    let is_blob = words.nth(1) == Some(b"blob");
    let oid = words.next().filter(|_| is_blob);
    Ok(oid.and_then(|oid| Oid::parse(oid).ok()))
}

/// What has the form of a placeholder in a file, with its line.
fn placeholders(reader: &mut dyn ReadObjects, blob: Oid) -> Result<Vec<(usize, Vec<u8>)>, Fault> {
    let (header, whole) = reader.load(blob, WHOLE_MAX, &mut |_, _| {})?;
    let bytes = whole
        .filter(|_| header.kind == Kind::Blob)
        .unwrap_or_default();
    let mut found = Vec::new();
    for (number, mut line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        while let Some(span) = form(line) {
            found.push((number, line.get(span.clone()).unwrap_or_default().to_vec()));
            line = line.get(span.end..).unwrap_or_default();
        }
    }
    Ok(found)
}
