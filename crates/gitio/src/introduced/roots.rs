//! What refs name, and what tags name without a commit in between.

use std::io::{BufRead, BufReader};

use refwarden_model::{ObjectFormat, Oid};

use super::{Census, IntroducedError, Place};
use crate::command::{Git, GitError, ObjectEnv};
use crate::objects::{CatFile, Kind, ReadObjects};
use crate::settings::Repository;

/// Largest tag or tree that is read, in bytes. Git's own trees of this size would have 500 000
/// names.
const LOAD_MAX: u64 = 32 << 20;

/// Every ref's object and name.
pub(super) fn refs(repository: &Repository) -> Result<Vec<(Kind, Oid, Vec<u8>)>, GitError> {
    let none = ObjectEnv::repository_only();
    let git = Git::new(&repository.gitdir, &none, "for-each-ref");
    let mut process = git
        .arg("--format=%(objecttype) %(objectname) %(refname)")
        .spawn()?;
    drop(process.stdin()?);
    let mut reader = BufReader::with_capacity(64 * 1024, process.stdout()?);
    let mut found = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line);
        if read.map_err(|e| process.io(e))? == 0 {
            break;
        }
        let mut words = line.trim_ascii_end().splitn(3, |&byte| byte == b' ');
        let kind = words.next().and_then(Kind::parse);
        let oid = words.next().and_then(|id| Oid::parse(id).ok());
        let (Some(kind), Some(oid), Some(name)) = (kind, oid, words.next()) else {
            return Err(process.unexpected("a ref"));
        };
        found.push((kind, oid, name.to_vec()));
    }
    process.finish()?;
    Ok(found)
}

/// Takes in a tag, and all that it names but commits, which `rev-list` finds.
pub(super) fn follow(
    census: &mut Census<'_>,
    reader: &mut CatFile<'_>,
    from: Oid,
) -> Result<(), IntroducedError> {
    let mut oid = from;
    loop {
        match reader.header(oid)?.kind {
            Kind::Commit => return Ok(()),
            Kind::Tag => {
                if !census.tags.insert(oid) {
                    return Ok(());
                }
                census.found.tags.push(oid);
                let bytes = load(reader, oid)?;
                oid = target(&bytes).ok_or(IntroducedError::Broken(oid))?;
            }
            Kind::Tree => return tree(census, reader, oid),
            Kind::Blob => {
                let place = Place {
                    commit: None,
                    path: None,
                    before: Vec::new(),
                    again: false,
                };
                return census.blob(oid, place);
            }
        }
    }
}

fn tree(
    census: &mut Census<'_>,
    reader: &mut CatFile<'_>,
    root: Oid,
) -> Result<(), IntroducedError> {
    let mut open = vec![(root, Vec::new())];
    while let Some((oid, above)) = open.pop() {
        let bytes = load(reader, oid)?;
        let entries = entries(&bytes, oid.format()).ok_or(IntroducedError::Broken(oid))?;
        for (mode, name, oid) in entries {
            let path = [above.as_slice(), name].concat();
            match mode {
                b"40000" | b"040000" => open.push((oid, [&path, &b"/"[..]].concat())),
                b"160000" => {
                    census.path(&path)?;
                }
                _ => {
                    let path = Some(census.path(&path)?);
                    let place = Place {
                        commit: None,
                        path,
                        before: Vec::new(),
                        again: false,
                    };
                    census.blob(oid, place)?;
                }
            }
        }
    }
    Ok(())
}

fn load(reader: &mut CatFile<'_>, oid: Oid) -> Result<Vec<u8>, IntroducedError> {
    let (_, bytes) = reader.load(oid, LOAD_MAX, &mut |_, _| {})?;
    bytes.ok_or(IntroducedError::Broken(oid))
}

/// What a tag names: its first line (git-mktag(1)).
fn target(tag: &[u8]) -> Option<Oid> {
    let line = tag.split(|&byte| byte == b'\n').next()?;
    Oid::parse(line.strip_prefix(b"object ")?).ok()
}

type TreeEntry<'t> = (&'t [u8], &'t [u8], Oid);

/// Mode, name and object of each entry.
fn entries(tree: &[u8], format: ObjectFormat) -> Option<Vec<TreeEntry<'_>>> {
    let mut found = Vec::new();
    let mut rest = tree;
    while !rest.is_empty() {
        let space = memchr::memchr(b' ', rest)?;
        let nul = memchr::memchr(0, rest)?;
        let end = nul + 1 + format.raw_len();
        let oid = Oid::from_raw(rest.get(nul + 1..end)?).ok()?;
        found.push((rest.get(..space)?, rest.get(space + 1..nul)?, oid));
        rest = rest.get(end..)?;
    }
    Some(found)
}
