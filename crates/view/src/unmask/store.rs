//! Objects of both sides: what the client sent and what it saw, and what it becomes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use refwarden_gitio::objects::{self, Header, Kind, ObjectError, ReadObjects, Sink};
use refwarden_gitio::{Git, ObjectEnv, Repository};
use refwarden_model::{ObjectFormat, Oid};

use super::UnmaskError;
use crate::build::WHOLE_MAX;
use crate::hash::object_id;
use crate::pack::Spool;

/// New objects of the original, in a temporary file without a name: a push may bring more of
/// them than memory holds.
pub(super) struct Made {
    format: ObjectFormat,
    file: File,
    end: u64,
    places: HashMap<Oid, (Kind, u64, usize)>,
}

impl Made {
    pub(super) fn new(format: ObjectFormat) -> std::io::Result<Self> {
        Ok(Self {
            format,
            file: tempfile::tempfile()?,
            end: 0,
            places: HashMap::new(),
        })
    }

    pub(super) fn add(&mut self, kind: Kind, bytes: &[u8]) -> std::io::Result<Oid> {
        let oid = object_id(self.format, kind, bytes);
        if !self.places.contains_key(&oid) {
            self.file.write_all_at(bytes, self.end)?;
            self.places.insert(oid, (kind, self.end, bytes.len()));
            self.end += bytes.len() as u64;
        }
        Ok(oid)
    }

    fn read(&self, oid: Oid) -> std::io::Result<Option<(Kind, Vec<u8>)>> {
        let Some((kind, at, length)) = self.places.get(&oid) else {
            return Ok(None);
        };
        let mut bytes = vec![0; *length];
        self.file.read_exact_at(&mut bytes, *at)?;
        Ok(Some((*kind, bytes)))
    }

    pub(super) fn oids(&self) -> impl Iterator<Item = Oid> + '_ {
        self.places.keys().copied()
    }

    /// Puts all of them as one pack into a directory of objects.
    pub(super) fn put(&self, shadow: &Repository, objects: &Path) -> Result<(), UnmaskError> {
        std::fs::create_dir_all(objects.join("pack"))?;
        let mut oids: Vec<Oid> = self.oids().collect();
        if oids.is_empty() {
            return Ok(());
        }
        oids.sort_unstable();
        let mut spool = Spool::new(self.format)?;
        for oid in oids {
            if let Some((kind, bytes)) = self.read(oid)? {
                spool.add(kind, &bytes)?;
            }
        }
        let env = ObjectEnv::apart(objects, &[]);
        let git = Git::new(&shadow.gitdir, &env, "index-pack");
        let mut process = git.args(["--stdin"]).spawn()?;
        let mut out = BufWriter::with_capacity(64 * 1024, process.stdin()?);
        spool.write(&mut out)?;
        out.flush()?;
        drop(out);
        process.finish()?;
        Ok(())
    }
}

/// One side's objects.
pub(super) struct Side<'a>(pub(super) Box<dyn ReadObjects + 'a>);

impl<'a> Side<'a> {
    pub(super) fn open(repository: &'a Repository, env: &'a ObjectEnv) -> Self {
        Self(objects::open(repository, env, false))
    }

    /// An object's type and size; none where there is no such object.
    pub(super) fn header(&mut self, oid: Oid) -> Result<Option<Header>, UnmaskError> {
        match self.0.header(oid) {
            Err(ObjectError::Missing(_)) => Ok(None),
            header => Ok(Some(header?)),
        }
    }

    /// An object of no more than [`WHOLE_MAX`] bytes; none where it is missing or larger.
    pub(super) fn load(&mut self, oid: Oid) -> Result<Option<(Kind, Vec<u8>)>, UnmaskError> {
        let header = self.header(oid)?;
        if header.is_none_or(|header| header.size > WHOLE_MAX) {
            return Ok(None);
        }
        let (header, bytes) = self.0.load(oid, WHOLE_MAX, &mut |_, _| {})?;
        Ok(bytes.map(|bytes| (header.kind, bytes)))
    }

    /// A large object, piece by piece.
    pub(super) fn stream(&mut self, oid: Oid, sink: Sink<'_>) -> Result<(), UnmaskError> {
        self.0.load(oid, 0, sink)?;
        Ok(())
    }
}

/// The original's objects, with those that the push adds.
pub(super) struct Original<'a> {
    side: Side<'a>,
    pub(super) made: Made,
}

impl<'a> Original<'a> {
    pub(super) fn open(repository: &'a Repository, env: &'a ObjectEnv) -> std::io::Result<Self> {
        Ok(Self {
            side: Side::open(repository, env),
            made: Made::new(repository.object_format)?,
        })
    }

    pub(super) fn holds(&mut self, oid: Oid) -> Result<bool, UnmaskError> {
        Ok(self.made.places.contains_key(&oid) || self.side.header(oid)?.is_some())
    }

    pub(super) fn load(&mut self, oid: Oid) -> Result<Option<(Kind, Vec<u8>)>, UnmaskError> {
        match self.made.read(oid)? {
            Some(object) => Ok(Some(object)),
            None => self.side.load(oid),
        }
    }
}
