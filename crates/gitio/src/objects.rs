//! Reads objects with bounded memory.
//!
//! For a few objects two readers: libgit2 within the process for SHA-1 (no process to start, which a hook has no
//! time for), and `git cat-file --batch` for everything libgit2 does not read here: SHA-256,
//! and objects that are too large to hold. For many: [`each`], and [`walk`] for whole packs.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, ChildStdout};

use refwarden_model::{ObjectFormat, Oid};

use crate::command::{Git, GitError, ObjectEnv, Process};
use crate::settings::Repository;

mod delta;
mod each;
mod packs;
mod walk;

pub use delta::{Copied, apply as apply_delta, copied};
pub use each::{Event, each};
pub use packs::{Held, Packs, Place};
pub use walk::{Base, Resolved, Walk, walk};

/// The type of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A commit.
    Commit,
    /// A tree.
    Tree,
    /// A file's content.
    Blob,
    /// An annotated tag.
    Tag,
}

impl Kind {
    /// Git's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }

    pub(crate) fn parse(word: &[u8]) -> Option<Self> {
        [Self::Commit, Self::Tree, Self::Blob, Self::Tag]
            .into_iter()
            .find(|kind| kind.name().as_bytes() == word)
    }
}

/// An object's type and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its type.
    pub kind: Kind,
    /// Its length in bytes.
    pub size: u64,
}

/// Why an object could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// There is no such object.
    #[error("object {0} is missing")]
    Missing(Oid),
    /// libgit2 could not read it.
    #[error("object {oid} cannot be read: {problem}")]
    Unreadable {
        /// The object.
        oid: Oid,
        /// What libgit2 said.
        problem: String,
    },
    /// The process that reads failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// What takes the bytes of a large object, piece by piece.
pub type Sink<'s> = &'s mut dyn FnMut(Header, &[u8]);

/// Reads objects, one after another.
pub trait ReadObjects {
    /// An object's type and size.
    fn header(&mut self, oid: Oid) -> Result<Header, ObjectError>;

    /// Answers the bytes of an object that is no larger than `limit`. A larger one goes to
    /// `sink` in pieces of at most 64 KiB instead, and the answer has no bytes.
    fn load(
        &mut self,
        oid: Oid,
        limit: u64,
        sink: Sink<'_>,
    ) -> Result<(Header, Option<Vec<u8>>), ObjectError>;
}

/// The quickest reader for a repository. With `spare_memory`, the process, since libgit2 maps
/// whole packs into this one.
pub fn open<'a>(
    repository: &'a Repository,
    objects: &'a ObjectEnv,
    spare_memory: bool,
) -> Box<dyn ReadObjects + 'a> {
    if !spare_memory && let Some(reader) = InProcess::open(repository, objects) {
        return Box::new(reader);
    }
    Box::new(CatFile::new(repository, objects))
}

/// Reads through libgit2, and large objects through [`CatFile`].
pub(crate) struct InProcess<'a> {
    database: git2::Odb<'a>,
    large: CatFile<'a>,
}

impl<'a> InProcess<'a> {
    /// None where libgit2 cannot open what git can; the caller then asks git.
    pub(crate) fn open(repository: &'a Repository, objects: &'a ObjectEnv) -> Option<Self> {
        if repository.object_format != ObjectFormat::Sha1 {
            return None;
        }
        // Each object is read once. Bases of deltas have a cache of their own.
        git2::opts::enable_caching(false);
        let database = git2::Odb::new().ok()?;
        let directory = objects.value("GIT_OBJECT_DIRECTORY");
        let own = repository.gitdir.join("objects");
        let directory = directory.unwrap_or(own.as_os_str());
        database.add_disk_alternate(directory.to_str()?).ok()?;
        if let Some(list) = objects.value("GIT_ALTERNATE_OBJECT_DIRECTORIES") {
            for path in list.to_str()?.split(':').filter(|path| !path.is_empty()) {
                // A quoted path (git(1)) may hold a colon. Git knows how to read it.
                if path.starts_with('"') {
                    return None;
                }
                database.add_disk_alternate(path).ok()?;
            }
        }
        Some(Self {
            database,
            large: CatFile::new(repository, objects),
        })
    }

    /// Whether an object is there, as far as packs go that were there at the first question.
    pub(crate) fn holds(&self, oid: Oid) -> bool {
        let flags = git2::OdbLookupFlags::NO_REFRESH;
        git2::Oid::from_bytes(oid.raw()).is_ok_and(|id| self.database.exists_ext(id, flags))
    }
}

fn unreadable(oid: Oid, error: &git2::Error) -> ObjectError {
    if error.code() == git2::ErrorCode::NotFound {
        return ObjectError::Missing(oid);
    }
    ObjectError::Unreadable {
        oid,
        problem: error.message().to_owned(),
    }
}

fn kind_of(oid: Oid, kind: git2::ObjectType) -> Result<Kind, ObjectError> {
    match kind {
        git2::ObjectType::Commit => Ok(Kind::Commit),
        git2::ObjectType::Tree => Ok(Kind::Tree),
        git2::ObjectType::Blob => Ok(Kind::Blob),
        git2::ObjectType::Tag => Ok(Kind::Tag),
        git2::ObjectType::Any => Err(ObjectError::Unreadable {
            oid,
            problem: "unknown type".into(),
        }),
    }
}

impl ReadObjects for InProcess<'_> {
    fn header(&mut self, oid: Oid) -> Result<Header, ObjectError> {
        let id = git2::Oid::from_bytes(oid.raw()).map_err(|e| unreadable(oid, &e))?;
        let header = self.database.read_header(id);
        let (size, kind) = header.map_err(|e| unreadable(oid, &e))?;
        Ok(Header {
            kind: kind_of(oid, kind)?,
            size: size as u64,
        })
    }

    fn load(
        &mut self,
        oid: Oid,
        limit: u64,
        sink: Sink<'_>,
    ) -> Result<(Header, Option<Vec<u8>>), ObjectError> {
        let header = self.header(oid)?;
        if header.size > limit {
            return self.large.load(oid, limit, sink);
        }
        let id = git2::Oid::from_bytes(oid.raw()).map_err(|e| unreadable(oid, &e))?;
        let object = self.database.read(id).map_err(|e| unreadable(oid, &e))?;
        Ok((header, Some(object.data().to_vec())))
    }
}

/// Reads through `git cat-file`, started when first needed.
pub struct CatFile<'a> {
    repository: &'a Repository,
    objects: &'a ObjectEnv,
    content: Option<Batch>,
    check: Option<Batch>,
}

struct Batch {
    process: Process,
    /// None once it was given away.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl<'a> CatFile<'a> {
    /// A reader that has started nothing yet.
    pub fn new(repository: &'a Repository, objects: &'a ObjectEnv) -> Self {
        Self {
            repository,
            objects,
            content: None,
            check: None,
        }
    }

    fn start(&self, option: &str) -> Result<Batch, GitError> {
        start(self.repository, self.objects, &[option])
    }
}

fn start(
    repository: &Repository,
    objects: &ObjectEnv,
    options: &[&str],
) -> Result<Batch, GitError> {
    let git = Git::new(&repository.gitdir, objects, "cat-file").args(options);
    // Blobs above this are written as they are inflated, and not held.
    let git = git
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "core.bigFileThreshold")
        .env("GIT_CONFIG_VALUE_0", "1m");
    let mut process = git.spawn()?;
    Ok(Batch {
        stdin: Some(process.stdin()?),
        stdout: BufReader::with_capacity(64 * 1024, process.stdout()?),
        process,
    })
}

impl Batch {
    fn ask(&mut self, oid: Oid) -> Result<Header, ObjectError> {
        if let Some(stdin) = &mut self.stdin {
            let question = format!("{oid}\n");
            let asked = stdin.write_all(question.as_bytes());
            asked.map_err(|e| self.process.io(e))?;
        }
        self.answer(oid)
    }

    /// The header of an object that was asked for.
    fn answer(&mut self, oid: Oid) -> Result<Header, ObjectError> {
        let mut line = Vec::new();
        let read = self.stdout.by_ref().take(256).read_until(b'\n', &mut line);
        read.map_err(|e| self.process.io(e))?;
        let mut words = line.trim_ascii_end().split(|&byte| byte == b' ');
        let (id, kind, size) = (words.next(), words.next(), words.next());
        if id != Some(oid.to_string().as_bytes()) {
            return Err(self.process.unexpected("an object's id").into());
        }
        if kind == Some(b"missing") {
            return Err(ObjectError::Missing(oid));
        }
        let size = size.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        match (kind.and_then(Kind::parse), size) {
            (Some(kind), Some(size)) => Ok(Header { kind, size }),
            _ => Err(self.process.unexpected("an object's type and size").into()),
        }
    }

    /// Reads `size` bytes and the line feed after them.
    fn content(&mut self, size: u64, mut take: impl FnMut(&[u8])) -> Result<(), GitError> {
        let mut left = size;
        while left > 0 {
            let filled = match self.stdout.fill_buf() {
                Ok([]) => {
                    return Err(self.process.unexpected("more of an object"));
                }
                Ok(bytes) => bytes,
                Err(error) => return Err(self.process.io(error)),
            };
            let length = filled
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            take(filled.get(..length).unwrap_or_default());
            self.stdout.consume(length);
            left -= length as u64;
        }
        let mut end = [0];
        let read = self.stdout.read_exact(&mut end);
        read.map_err(|e| self.process.io(e))?;
        if end == *b"\n" {
            Ok(())
        } else {
            Err(self.process.unexpected("a line feed after an object"))
        }
    }
}

impl ReadObjects for CatFile<'_> {
    fn header(&mut self, oid: Oid) -> Result<Header, ObjectError> {
        let mut batch = match self.check.take() {
            Some(batch) => batch,
            None => self.start("--batch-check")?,
        };
        let header = batch.ask(oid);
        self.check = Some(batch);
        header
    }

    fn load(
        &mut self,
        oid: Oid,
        limit: u64,
        sink: Sink<'_>,
    ) -> Result<(Header, Option<Vec<u8>>), ObjectError> {
        let mut batch = match self.content.take() {
            Some(batch) => batch,
            None => self.start("--batch")?,
        };
        // After any other error the stream is out of step, and the process is dropped.
        let header = match batch.ask(oid) {
            Err(ObjectError::Missing(oid)) => {
                self.content = Some(batch);
                return Err(ObjectError::Missing(oid));
            }
            answer => answer?,
        };
        let whole = if header.size > limit {
            batch.content(header.size, |piece| sink(header, piece))?;
            None
        } else {
            let mut whole = Vec::with_capacity(usize::try_from(header.size).unwrap_or_default());
            batch.content(header.size, |piece| whole.extend_from_slice(piece))?;
            Some(whole)
        };
        self.content = Some(batch);
        Ok((header, whole))
    }
}

/// The entry names of a tree object, in order. None where the bytes are no tree.
pub fn tree_names(tree: &[u8], format: ObjectFormat) -> Option<Vec<&[u8]>> {
    let mut names = Vec::new();
    let mut rest = tree;
    while !rest.is_empty() {
        let space = memchr::memchr(b' ', rest)?;
        let nul = memchr::memchr(0, rest)?;
        names.push(rest.get(space + 1..nul)?);
        rest = rest.get(nul + 1 + format.raw_len()..)?;
    }
    Some(names)
}

/// The tree without entries, which git knows without its being there.
pub(crate) const fn empty_tree(format: ObjectFormat) -> &'static str {
    match format {
        ObjectFormat::Sha1 => "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
        ObjectFormat::Sha256 => "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;

    #[test]
    fn both_readers_read_the_same() {
        for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            let sandbox = Sandbox::new(format, "files");
            let big = vec![b'x'; 300_000];
            let commit = sandbox.commit("refs/heads/main", &[("big", &big), ("e", b"")]);
            let repository = sandbox.repository();
            let objects = ObjectEnv::repository_only();
            let hash = sandbox.git("hash-object").arg("--stdin");
            let blob = Sandbox::oid(hash, &big);
            for spare in [false, true] {
                let mut reader = open(&repository, &objects, spare);
                assert_eq!(reader.header(commit).unwrap().kind, Kind::Commit);
                let mut streamed = Vec::new();
                let mut sink = |_: Header, piece: &[u8]| streamed.extend_from_slice(piece);
                let (header, whole) = reader.load(blob, 1000, &mut sink).unwrap();
                assert_eq!((header.size, whole), (300_000, None));
                assert_eq!(streamed, big);
                let (_, whole) = reader.load(blob, 1 << 20, &mut |_, _| {}).unwrap();
                assert_eq!(whole, Some(big.clone()));
                let missing = Oid::parse("1".repeat(format.raw_len() * 2).as_bytes()).unwrap();
                let error = reader.load(missing, 1, &mut |_, _| {}).unwrap_err();
                assert!(matches!(error, ObjectError::Missing(_)), "{error}");
                let tree = sandbox.git("rev-parse").arg("main^{tree}");
                let tree = Sandbox::oid(tree, b"");
                let (_, tree) = reader.load(tree, 1000, &mut |_, _| {}).unwrap();
                let names = tree_names(tree.as_deref().unwrap(), format);
                assert_eq!(names, Some(vec![&b"big"[..], b"e"]));
            }
        }
        assert_eq!(tree_names(b"100644 x", ObjectFormat::Sha1), None);
    }
}
