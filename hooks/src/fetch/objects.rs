//! Which objects a fetch was sent.
//!
//! Of a pack that was handed on whole, its index tells exactly: `git index-pack`, which resolves the
//! deltas. A thin pack builds on objects that the client has; they are taken from where the pack
//! came from, and left out again. Of a pack that was stopped, or of which there is no copy, what git
//! was asked is walked once more (`git rev-list --objects`): that is at least what was sent.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use refwarden_gitio::command::{Git, GitError, ObjectEnv};
use refwarden_gitio::packidx;
use refwarden_model::{ObjectFormat, Oid};
use sha2::{Digest as _, Sha256};

use super::asked::Question;

/// Where a pack came from.
pub struct Source<'a> {
    /// The git directory that was served.
    pub gitdir: &'a Path,
    /// Its hash function.
    pub format: ObjectFormat,
    /// A directory for what is made on the way.
    pub work: &'a Path,
}

/// Why objects could not be learned.
#[derive(Debug)]
pub struct Unlearned;

impl From<GitError> for Unlearned {
    fn from(_: GitError) -> Self {
        Self
    }
}

impl From<std::io::Error> for Unlearned {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

/// A copy of a pack, as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Hexadecimal SHA-256.
    pub digest: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Objects that it says it has (gitformat-pack(5)); none where it does not come so far.
    pub objects: Option<u64>,
}

/// Reads a copy once through.
pub fn examine(pack: &Path) -> std::io::Result<Copy> {
    let mut file = File::open(pack)?;
    let mut hasher = Sha256::new();
    let (mut chunk, mut head, mut bytes) = (vec![0; 256 << 10], Vec::new(), 0);
    loop {
        let length = file.read(&mut chunk)?;
        let read = chunk.get(..length).unwrap_or_default();
        if read.is_empty() {
            break;
        }
        head.extend(read.iter().take(12_usize.saturating_sub(head.len())));
        hasher.update(read);
        bytes += u64::try_from(length).unwrap_or_default();
    }
    let count = head
        .last_chunk::<4>()
        .filter(|_| head.len() == 12 && head.starts_with(b"PACK"));
    Ok(Copy {
        digest: hex::encode(hasher.finalize()),
        bytes,
        objects: count.map(|count| u64::from(u32::from_be_bytes(*count))),
    })
}

/// The objects of a whole pack, ascending.
pub fn indexed(source: &Source<'_>, pack: &Path, copy: &Copy) -> Result<Vec<Oid>, Unlearned> {
    let index = match in_place(source, pack) {
        Ok(index) => index,
        Err(_) => completed(source, pack)?,
    };
    let bytes = std::fs::read(&index)?;
    let _ = std::fs::remove_file(&index);
    let entries = packidx::parse(&bytes, source.format).map_err(|_| Unlearned)?;
    // What completes a thin pack stands where the pack's own checksum stood.
    let trailer = u64::try_from(source.format.raw_len()).unwrap_or_default();
    let end = copy.bytes.saturating_sub(trailer);
    let own = entries.into_iter().filter(|entry| entry.offset < end);
    let mut oids: Vec<Oid> = own.map(|entry| entry.oid).collect();
    oids.sort_unstable();
    let count = u64::try_from(oids.len()).unwrap_or_default();
    if copy.objects != Some(count) {
        return Err(Unlearned);
    }
    Ok(oids)
}

/// Indexes a pack that is complete in itself.
fn in_place(source: &Source<'_>, pack: &Path) -> Result<PathBuf, Unlearned> {
    let index = source.work.join("copy.idx");
    let git = Git::new(source.gitdir, &ObjectEnv::repository_only(), "index-pack");
    let git = git.args(["--threads=1", "-o"]).arg(&index).arg(pack);
    git.output(b"")?;
    Ok(index)
}

/// Indexes a thin pack, together with what it builds on.
fn completed(source: &Source<'_>, pack: &Path) -> Result<PathBuf, Unlearned> {
    let objects = source.work.join("objects");
    std::fs::create_dir_all(objects.join("pack"))?;
    let own = source.gitdir.join("objects");
    let env = ObjectEnv::apart(&objects, &[&own]);
    let git = Git::new(source.gitdir, &env, "index-pack");
    let mut process = git.args(["--threads=1", "--stdin", "--fix-thin"]).spawn()?;
    let mut stdin = process.stdin()?;
    // It writes one line at its end, so the pipes cannot block each other.
    std::io::copy(&mut File::open(pack)?, &mut stdin)?;
    drop(stdin);
    let mut said = String::new();
    process.stdout()?.read_to_string(&mut said)?;
    process.finish()?;
    let name = said.split_whitespace().last().ok_or(Unlearned)?;
    let index = objects.join("pack").join(format!("pack-{name}.idx"));
    let _ = std::fs::remove_file(index.with_extension("pack"));
    Ok(index)
}

/// What git was asked, walked again: ascending, and at least what a pack of it holds.
pub fn walked(source: &Source<'_>, question: &Question) -> Result<Vec<Oid>, Unlearned> {
    // What a shallow client has, it has without its history.
    let haves: &[Oid] = match question.shallow.as_slice() {
        [] => &question.haves,
        _ => &[],
    };
    let filter = question.filter.as_deref();
    let mut oids = reachable(source, &question.wants, haves, filter)?;
    if question.with_tags {
        let tags = tags_on(source, &oids)?;
        if !tags.is_empty() {
            oids.extend(reachable(source, &tags, &question.wants, filter)?);
            oids.sort_unstable();
            oids.dedup();
        }
    }
    Ok(oids)
}

/// What is reached from some objects and not from others, ascending.
fn reachable(
    source: &Source<'_>,
    from: &[Oid],
    without: &[Oid],
    filter: Option<&str>,
) -> Result<Vec<Oid>, Unlearned> {
    let mut git = Git::new(source.gitdir, &ObjectEnv::repository_only(), "rev-list").args([
        "--objects",
        "--no-object-names",
        "--stdin",
    ]);
    if let Some(filter) = filter {
        git = git.arg(format!("--filter={filter}"));
    }
    let from = from.iter().map(|oid| format!("{oid}\n"));
    let without = without.iter().map(|oid| format!("^{oid}\n"));
    let input: String = from.chain(without).collect();
    let mut process = git.spawn()?;
    let (mut stdin, stdout) = (process.stdin()?, process.stdout()?);
    let mut oids = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        for line in BufReader::new(stdout).lines() {
            oids.push(Oid::parse(line?.as_bytes()).map_err(|_| Unlearned)?);
        }
        Ok::<(), Unlearned>(())
    })?;
    process.finish()?;
    oids.sort_unstable();
    oids.dedup();
    Ok(oids)
}

/// Annotated tags of objects of a set, which is ascending. Git before 2.45 looks through one tag only,
/// so there a tag of a tag counts in any case.
fn tags_on(source: &Source<'_>, oids: &[Oid]) -> Result<Vec<Oid>, Unlearned> {
    let env = ObjectEnv::repository_only();
    let git = Git::new(source.gitdir, &env, "for-each-ref");
    let format = "--format=%(objectname) %(*objectname) %(*objecttype)";
    let listed = git.args([format, "refs/tags"]).output(b"")?;
    let mut tags = Vec::new();
    for line in listed.split(|&byte| byte == b'\n') {
        let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        let [tag, target, kind] = words.as_slice() else {
            continue;
        };
        // What is no tag object has no target.
        let target = Oid::parse(target).ok();
        let sent = target.is_some_and(|target| oids.binary_search(&target).is_ok());
        if sent || *kind == b"tag" {
            tags.push(Oid::parse(tag).map_err(|_| Unlearned)?);
        }
    }
    Ok(tags)
}
