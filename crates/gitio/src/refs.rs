//! Current values of refs.
//!
//! The files backend is read here, in the order in which git reads it (loose file, then
//! `packed-refs`), because a hook cannot afford a process for it. Any other backend is asked
//! through git. Nothing is cached: a hook wants to know what is true now.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use refwarden_model::{ObjectFormat, Oid, RefName};

use crate::command::{Git, GitError, ObjectEnv};
use crate::settings::{RefStorage, Repository};

/// Symbolic refs that may follow one another (`SYMREF_MAXDEPTH` in git's refs.h).
const MAX_DEPTH: usize = 5;

/// Names passed to one `git for-each-ref`; with more, all refs are listed.
const MAX_ARGUMENTS: usize = 200;

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefValue {
    /// Nothing.
    Missing,
    /// An object id.
    Direct(Oid),
    /// The name of another ref.
    Symbolic(RefName),
}

/// A name followed to the ref that would really move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The last ref of the chain; the name itself when it is not symbolic.
    pub target: RefName,
    /// Its value; zero when it does not exist.
    pub value: Oid,
}

/// Every ref of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllRefs {
    /// HEAD; never [`RefValue::Missing`].
    pub head: RefValue,
    /// Refs that are not symbolic, by name.
    pub refs: Vec<(RefName, Oid)>,
    /// Symbolic refs but HEAD, by name, with what they name.
    pub symrefs: Vec<(RefName, RefName)>,
}

/// Why refs could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefsError {
    /// A file could not be read.
    #[error("refs cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// Git could not list them.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A ref's content is neither an id nor a name.
    #[error("the ref {0} is broken")]
    Broken(String),
    /// More than five symbolic refs follow one another.
    #[error("the symbolic ref {0} leads nowhere")]
    TooDeep(RefName),
}

/// Reads a repository's refs.
pub struct Refs<'a> {
    repository: &'a Repository,
}

impl<'a> Refs<'a> {
    /// The refs of a repository.
    pub fn new(repository: &'a Repository) -> Self {
        Self { repository }
    }

    /// What stands under each name now, one answer per name, in order.
    pub fn read(&self, names: &[RefName]) -> Result<Vec<RefValue>, RefsError> {
        match self.repository.ref_storage {
            RefStorage::Files => self.read_files(names),
            RefStorage::Reftable => names_by_git(self.repository, names),
        }
    }

    /// Follows each name to its end, one answer per name, in order.
    pub fn resolve(&self, names: &[RefName]) -> Result<Vec<Resolved>, RefsError> {
        let zero = self.repository.object_format.zero();
        let mut targets = names.to_vec();
        let mut done: Vec<Option<Oid>> = vec![None; names.len()];
        for _ in 0..=MAX_DEPTH {
            let open: Vec<usize> = (0..names.len())
                .filter(|&index| done.get(index) == Some(&None))
                .collect();
            if open.is_empty() {
                break;
            }
            let asked: Vec<RefName> = open
                .iter()
                .filter_map(|&index| targets.get(index).cloned())
                .collect();
            for (&index, value) in open.iter().zip(self.read(&asked)?) {
                let (Some(slot), Some(target)) = (done.get_mut(index), targets.get_mut(index))
                else {
                    continue;
                };
                match value {
                    RefValue::Missing => *slot = Some(zero),
                    RefValue::Direct(oid) => *slot = Some(oid),
                    RefValue::Symbolic(next) => *target = next,
                }
            }
        }
        let pairs = targets.into_iter().zip(done).zip(names);
        pairs
            .map(|((target, value), name)| match value {
                Some(value) => Ok(Resolved { target, value }),
                None => Err(RefsError::TooDeep(name.clone())),
            })
            .collect()
    }

    /// The value that `packed-refs` holds for a name, whatever a loose file says. None on other
    /// backends, which have no such file.
    pub fn packed_value(&self, name: &RefName) -> Result<Option<Oid>, RefsError> {
        if self.repository.ref_storage != RefStorage::Files {
            return Ok(None);
        }
        Ok(self
            .packed(|found| found == name.as_bytes())?
            .pop()
            .map(|(_, oid)| oid))
    }

    /// Every ref, HEAD and symbolic ones included.
    pub fn all(&self) -> Result<AllRefs, RefsError> {
        let head_name = RefName::parse(b"HEAD").map_err(|_| RefsError::Broken("HEAD".into()))?;
        let head = self.read(std::slice::from_ref(&head_name))?.pop();
        let head = head
            .filter(|value| *value != RefValue::Missing)
            .ok_or_else(|| RefsError::Broken("HEAD".into()))?;
        let values = match self.repository.ref_storage {
            RefStorage::Files => self.list_files()?,
            RefStorage::Reftable => list_by_git(self.repository, &[])?,
        };
        let mut all = AllRefs {
            head,
            refs: Vec::new(),
            symrefs: Vec::new(),
        };
        for (name, value) in values {
            match value {
                RefValue::Missing => {}
                RefValue::Direct(oid) => all.refs.push((name, oid)),
                RefValue::Symbolic(target) => all.symrefs.push((name, target)),
            }
        }
        all.refs.sort();
        all.symrefs.sort();
        Ok(all)
    }

    fn read_files(&self, names: &[RefName]) -> Result<Vec<RefValue>, RefsError> {
        let mut values = Vec::with_capacity(names.len());
        let mut unfound: HashMap<&[u8], Vec<usize>> = HashMap::new();
        for (index, name) in names.iter().enumerate() {
            let value = self.loose(name)?;
            if value == RefValue::Missing {
                unfound.entry(name.as_bytes()).or_default().push(index);
            }
            values.push(value);
        }
        if unfound.is_empty() {
            return Ok(values);
        }
        for (name, oid) in self.packed(|name| unfound.contains_key(name))? {
            for &index in unfound.get(name.as_slice()).into_iter().flatten() {
                if let Some(value) = values.get_mut(index) {
                    *value = RefValue::Direct(oid);
                }
            }
        }
        Ok(values)
    }

    fn path(&self, name: &RefName) -> PathBuf {
        // A parsed name has no `..`, no empty component and no leading slash.
        self.repository
            .gitdir
            .join(OsStr::from_bytes(name.as_bytes()))
    }

    fn loose(&self, name: &RefName) -> Result<RefValue, RefsError> {
        let path = self.path(name);
        // Ancient symbolic refs are links to `refs/…` (gitrepository-layout(5), HEAD).
        if let Ok(link) = std::fs::read_link(&path)
            && let Ok(target) = RefName::parse(link.as_os_str().as_bytes())
        {
            return Ok(RefValue::Symbolic(target));
        }
        match std::fs::read(&path) {
            Ok(content) => parse_loose(name, &content, self.repository.object_format),
            // A file stands where a directory is wanted, or the reverse: no such loose ref.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory
                ) =>
            {
                Ok(RefValue::Missing)
            }
            // A component longer than the file system takes exists nowhere.
            Err(error) if error.kind() == ErrorKind::InvalidFilename => Ok(RefValue::Missing),
            Err(error) => Err(error.into()),
        }
    }

    /// The lines of `packed-refs` whose name is wanted. Read as a stream: a repository with a
    /// million refs has a file of 70 MB.
    fn packed(&self, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<(Vec<u8>, Oid)>, RefsError> {
        let file = match std::fs::File::open(self.repository.gitdir.join("packed-refs")) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let digits = self.repository.object_format.raw_len() * 2;
        let mut reader = BufReader::with_capacity(64 * 1024, file);
        let mut line = Vec::new();
        let mut found = Vec::new();
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(found);
            }
            let broken = || RefsError::Broken("packed-refs".into());
            let text = line.strip_suffix(b"\n").ok_or_else(broken)?;
            if matches!(text.first(), Some(b'#' | b'^')) {
                continue;
            }
            let (id, rest) = text.split_at_checked(digits).ok_or_else(broken)?;
            let name = rest.strip_prefix(b" ").ok_or_else(broken)?;
            if wanted(name) {
                found.push((name.to_vec(), Oid::parse(id).map_err(|_| broken())?));
            }
        }
    }

    fn list_files(&self) -> Result<Vec<(RefName, RefValue)>, RefsError> {
        let mut values = HashMap::new();
        let mut open = vec![b"refs".to_vec()];
        while let Some(directory) = open.pop() {
            let path = self.repository.gitdir.join(OsStr::from_bytes(&directory));
            let entries = match std::fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            for entry in entries {
                let entry = entry?;
                let name = [&directory, &b"/"[..], entry.file_name().as_bytes()].concat();
                if entry.file_type()?.is_dir() {
                    open.push(name);
                } else if !name.ends_with(b".lock") {
                    let name = parse_name(&name)?;
                    let value = self.loose(&name)?;
                    values.insert(name, value);
                }
            }
        }
        // Read last, so that a ref that is packed meanwhile is seen in one place at least.
        for (name, oid) in self.packed(|_| true)? {
            let slot = values
                .entry(parse_name(&name)?)
                .or_insert(RefValue::Missing);
            if *slot == RefValue::Missing {
                *slot = RefValue::Direct(oid);
            }
        }
        Ok(values.into_iter().collect())
    }
}

fn parse_loose(
    name: &RefName,
    content: &[u8],
    format: ObjectFormat,
) -> Result<RefValue, RefsError> {
    let broken = || RefsError::Broken(name.to_string());
    if let Some(rest) = content.strip_prefix(b"ref:") {
        let target = RefName::parse(rest.trim_ascii()).map_err(|_| broken())?;
        return Ok(RefValue::Symbolic(target));
    }
    let oid = Oid::parse(content.trim_ascii_end()).map_err(|_| broken())?;
    if oid.format() == format {
        Ok(RefValue::Direct(oid))
    } else {
        Err(broken())
    }
}

fn parse_name(name: &[u8]) -> Result<RefName, RefsError> {
    RefName::parse(name).map_err(|error| RefsError::Broken(error.name))
}

fn names_by_git(repository: &Repository, names: &[RefName]) -> Result<Vec<RefValue>, RefsError> {
    let patterns = if names.len() > MAX_ARGUMENTS {
        &[]
    } else {
        names
    };
    let mut known: HashMap<RefName, RefValue> =
        list_by_git(repository, patterns)?.into_iter().collect();
    let mut values = Vec::with_capacity(names.len());
    for name in names {
        let value = match known.get(name) {
            Some(value) => value.clone(),
            // HEAD and dangling symbolic refs are in no list.
            None => symbolic_by_git(repository, name)?,
        };
        known.insert(name.clone(), value.clone());
        values.push(value);
    }
    Ok(values)
}

fn list_by_git(
    repository: &Repository,
    patterns: &[RefName],
) -> Result<Vec<(RefName, RefValue)>, RefsError> {
    let listing = Git::new(
        &repository.gitdir,
        &ObjectEnv::repository_only(),
        "for-each-ref",
    )
    .arg("--format=%(objectname) %(refname)%00%(symref)%00")
    .args(
        patterns
            .iter()
            .map(|name| OsStr::from_bytes(name.as_bytes())),
    )
    .output(b"")?;
    let mut found = Vec::new();
    for line in listing.split_inclusive(|&byte| byte == b'\n') {
        let broken = || RefsError::Broken("for-each-ref".into());
        let mut fields = line.split(|&byte| byte == 0);
        let (Some(head), Some(symref)) = (fields.next(), fields.next()) else {
            return Err(broken());
        };
        let space = memchr::memchr(b' ', head).ok_or_else(broken)?;
        let (id, name) = head.split_at(space);
        let name = parse_name(name.strip_prefix(b" ").unwrap_or_default())?;
        let value = if symref.is_empty() {
            RefValue::Direct(Oid::parse(id).map_err(|_| broken())?)
        } else {
            RefValue::Symbolic(parse_name(symref)?)
        };
        found.push((name, value));
    }
    Ok(found)
}

fn symbolic_by_git(repository: &Repository, name: &RefName) -> Result<RefValue, RefsError> {
    let objects = ObjectEnv::repository_only();
    let shown = OsStr::from_bytes(name.as_bytes());
    let symbolic = Git::new(&repository.gitdir, &objects, "symbolic-ref")
        .args(["-q", "--no-recurse"])
        .arg(shown);
    match symbolic.output(b"") {
        Ok(target) => return Ok(RefValue::Symbolic(parse_name(target.trim_ascii_end())?)),
        // Status 1: "the requested name is not a symbolic ref" (git-symbolic-ref(1), -q).
        Err(GitError::Failed { status, .. }) if status.code() == Some(1) => {}
        Err(error) => return Err(error.into()),
    }
    let verify = Git::new(&repository.gitdir, &objects, "rev-parse")
        .args(["-q", "--verify", "--end-of-options"])
        .arg(shown);
    match verify.output(b"") {
        Ok(id) => match Oid::parse(id.trim_ascii_end()) {
            Ok(oid) => Ok(RefValue::Direct(oid)),
            Err(_) => Err(RefsError::Broken(name.to_string())),
        },
        Err(GitError::Failed { status, .. }) if status.code() == Some(1) => Ok(RefValue::Missing),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;

    fn name(bytes: &[u8]) -> RefName {
        RefName::parse(bytes).unwrap()
    }

    #[test]
    fn values_are_those_that_git_sees() {
        for (format, storage) in [
            (ObjectFormat::Sha1, "files"),
            (ObjectFormat::Sha256, "files"),
            (ObjectFormat::Sha1, "reftable"),
        ] {
            let sandbox = Sandbox::new(format, storage);
            let one = sandbox.commit("refs/heads/main", &[("a", b"1")]);
            let odd = b"refs/heads/x\xff$(id)";
            let update = sandbox.git("update-ref").arg(OsStr::from_bytes(odd));
            update.arg(one.to_string()).output(b"").unwrap();
            sandbox.git("pack-refs").arg("--all").output(b"").unwrap();
            let two = sandbox.commit("refs/heads/main", &[("a", b"2")]);
            for link in [
                ["refs/heads/alias", "refs/heads/main"],
                ["refs/heads/alias2", "refs/heads/alias"],
                ["refs/heads/dangling", "refs/heads/none"],
            ] {
                sandbox.git("symbolic-ref").args(link).output(b"").unwrap();
            }
            let repository = sandbox.repository();
            let refs = Refs::new(&repository);
            let names = [
                name(b"refs/heads/main"),
                name(odd),
                name(b"refs/heads/alias2"),
                name(b"refs/heads/dangling"),
                name(b"refs/heads/none"),
                name(b"refs/heads/main/below"),
                name(b"refs/heads"),
                name(b"HEAD"),
            ];
            let resolved: Vec<_> = refs
                .resolve(&names)
                .unwrap()
                .into_iter()
                .map(|resolved| (resolved.target, resolved.value))
                .collect();
            let zero = format.zero();
            let expected = [
                (names[0].clone(), two),
                (names[1].clone(), one),
                (names[0].clone(), two),
                (names[4].clone(), zero),
                (names[4].clone(), zero),
                (names[5].clone(), zero),
                (names[6].clone(), zero),
                (names[0].clone(), two),
            ];
            assert_eq!(resolved, expected, "{format:?} {storage}");
            let packed = refs.packed_value(&names[0]).unwrap();
            assert_eq!(packed, (storage == "files").then_some(one));
            let all = refs.all().unwrap();
            assert_eq!(all.head, RefValue::Symbolic(names[0].clone()));
            let direct = [(names[0].clone(), two), (names[1].clone(), one)];
            assert_eq!(all.refs, direct);
            assert!(
                all.symrefs
                    .contains(&(name(b"refs/heads/alias"), names[0].clone()))
            );
        }
    }

    #[test]
    fn broken_refs_are_errors() {
        let sandbox = Sandbox::new(ObjectFormat::Sha1, "files");
        let repository = sandbox.repository();
        let refs = Refs::new(&repository);
        let path = sandbox.gitdir().join("refs/heads/x");
        for content in [&b""[..], b"abc\n", b"ref: ../x\n", &[b'0'; 64]] {
            std::fs::write(&path, content).unwrap();
            assert!(refs.read(&[name(b"refs/heads/x")]).is_err());
        }
        std::fs::write(&path, "ref: refs/heads/x\n").unwrap();
        assert!(refs.resolve(&[name(b"refs/heads/x")]).is_err());
    }
}
