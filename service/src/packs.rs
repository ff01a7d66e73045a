//! The pack store: packs exactly as received, in files that begin with their SHA-256; sealed to
//! auditors' recipients where some are configured. They are in a local directory, or in an
//! S3-compatible store, where new ones go once one is configured (`docs/decisions/0034-s3-pack-store.md`).
//!
//! A pack is hashed and sealed while it is written to a temporary file, which is fsynced and
//! renamed into place, or put into that store and read back: what has a name is whole and durable, and
//! no plain byte of a sealed pack ever touches the disk. The store does not know what the ledger
//! holds: `db::packs` does. It is never listed.

mod access;
mod custody;
mod s3;
mod seal;

use std::fs::File;
use std::io::{Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use custody::Custody;
use s3::S3;
use seal::Sink;
pub use seal::{Recipients, Sealed};

/// After this long without a byte, a pack is not being received any more.
const LEFT: std::time::Duration = std::time::Duration::from_hours(24);

/// Where packs are while they are received, below the store.
const INCOMING: &str = "incoming";

/// Where sealed packs are while they are put elsewhere, below the store. What is left of one that was
/// put and not recorded is a note to delete it by.
const OUTGOING: &str = "outgoing";

/// What the location of a pack begins with that is not in the directory.
const ELSEWHERE: &str = "s3:";

/// A directory of packs, and where others are.
#[derive(Clone)]
pub struct PackStore {
    directory: PathBuf,
    elsewhere: Option<S3>,
    recipients: Recipients,
}

/// A stored file, while it is read.
pub struct Opened {
    /// Its length in bytes.
    pub length: u64,
    /// What it holds.
    pub stream: BoxStream<'static, std::io::Result<Bytes>>,
}

/// A pack that is stored. Its file is deleted with the last clone of this, unless it is kept.
#[derive(Clone, Debug)]
pub struct StoredPack {
    /// Hexadecimal SHA-256 of its bytes.
    pub digest: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Where it is, relative to the store; with `s3:` before it, to the bucket.
    pub location: String,
    /// Length of the file in bytes; more than the pack's where it is sealed.
    pub stored_bytes: u64,
    /// How it is sealed, where it is.
    pub sealed: Option<Sealed>,
    custody: Custody,
}

/// A pack that is being received. Dropped unfinished, it leaves nothing behind.
pub struct PackWriter {
    store: PackStore,
    temporary: PathBuf,
    sink: Option<Sink>,
    hasher: Sha256,
    bytes: u64,
}

impl PackStore {
    /// Opens the store that `[packs]` names, beside the directory, which is made.
    ///
    /// # Errors
    /// One sentence, when there is no access key, nobody to seal to, or the directory cannot be made.
    pub fn configured(
        config: &refwarden_config::Packs,
        config_dir: &Path,
        directory: PathBuf,
        recipients: Recipients,
    ) -> Result<Self, String> {
        let elsewhere = S3::open(config, config_dir)?;
        if elsewhere.is_some() && recipients.is_empty() {
            return Err("packs.store: packs leave this machine only sealed".to_owned());
        }
        let cannot = |error| format!("cannot open the pack store: {error}");
        let mut store = Self::open(directory, recipients).map_err(cannot)?;
        if elsewhere.is_some() {
            let outgoing = store.directory.join(OUTGOING);
            std::fs::create_dir_all(&outgoing)
                .map_err(at(&outgoing))
                .map_err(cannot)?;
        }
        store.elsewhere = elsewhere;
        Ok(store)
    }

    /// Opens a directory, making it.
    fn open(directory: PathBuf, recipients: Recipients) -> std::io::Result<Self> {
        let incoming = directory.join(INCOMING);
        std::fs::create_dir_all(&incoming).map_err(at(&incoming))?;
        // Left by a service that was killed. Others on this store may be receiving still.
        for entry in std::fs::read_dir(&incoming)
            .map_err(at(&incoming))?
            .flatten()
        {
            let age = entry.metadata().and_then(|found| found.modified());
            if age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFT)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(Self {
            directory,
            elsewhere: None,
            recipients,
        })
    }

    /// Where new packs go, for people, where that is not the directory.
    pub fn elsewhere(&self) -> Option<&str> {
        self.elsewhere.as_ref().map(S3::place)
    }

    /// Tries what each pack needs, but for what lasts: makes a file, writes to it, gives it a name; and
    /// writes to where new packs go.
    ///
    /// # Errors
    /// What the next pack would fail with.
    pub fn try_out(&self) -> std::io::Result<()> {
        let mut tried = self.writer()?;
        tried.write(b"PACK")?;
        // `finish` would sync it. Nothing of a sealed one need be whole.
        let name = format!(".tried-{}", Uuid::new_v4().simple());
        let named = self.directory.join(name);
        std::fs::rename(&tried.temporary, &named).map_err(at(&named))?;
        std::fs::remove_file(&named).map_err(at(&named))?;
        self.elsewhere.as_ref().map_or(Ok(()), S3::try_out)
    }

    /// Begins to receive a pack.
    ///
    /// # Errors
    /// When the temporary file cannot be made.
    pub fn writer(&self) -> std::io::Result<PackWriter> {
        let temporary = self
            .directory
            .join(INCOMING)
            .join(Uuid::new_v4().to_string());
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(at(&temporary))?;
        let mut writer = PackWriter {
            store: self.clone(),
            temporary,
            sink: None,
            hasher: Sha256::new(),
            bytes: 0,
        };
        writer.sink = Some(self.recipients.sink(file)?);
        Ok(writer)
    }

    /// Deletes a stored pack; one that is gone already is no error. Blocks.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn delete(&self, location: &str) -> std::io::Result<()> {
        if let Some(name) = location.strip_prefix(ELSEWHERE) {
            return self.there(location)?.delete(name);
        }
        match std::fs::remove_file(self.path(location)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Opens a stored pack's file.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub async fn stream(&self, location: &str) -> std::io::Result<Opened> {
        if let Some(name) = location.strip_prefix(ELSEWHERE) {
            let (length, coming) = self.there(location)?.get(name).await?;
            let stream = coming.stream();
            return Ok(Opened { length, stream });
        }
        let file = tokio::fs::File::open(self.path(location)).await?;
        let length = file.metadata().await?.len();
        let stream = ReaderStream::with_capacity(file, 256 << 10).boxed();
        Ok(Opened { length, stream })
    }

    /// The same, for a thread that may block.
    ///
    /// # Errors
    /// As for [`PackStore::stream`].
    pub fn read(&self, location: &str) -> std::io::Result<Box<dyn Read + Send>> {
        if let Some(name) = location.strip_prefix(ELSEWHERE) {
            let (_, coming) = self.there(location)?.read(name)?;
            return Ok(Box::new(coming));
        }
        Ok(Box::new(File::open(self.path(location))?))
    }

    /// Locations of packs that were put elsewhere a day ago or earlier, of which it is not known whether
    /// they were recorded. Whoever knows calls [`PackStore::settle`].
    ///
    /// # Errors
    /// When the notes cannot be read.
    pub fn unsettled(&self) -> std::io::Result<Vec<String>> {
        if self.elsewhere.is_none() {
            return Ok(Vec::new());
        }
        let outgoing = self.directory.join(OUTGOING);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&outgoing).map_err(at(&outgoing))? {
            let entry = entry.map_err(at(&outgoing))?;
            let age = entry.metadata().and_then(|found| found.modified());
            let is_old = age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFT));
            if let Some(name) = entry.file_name().to_str().filter(|_| is_old) {
                found.push(format!("{ELSEWHERE}{}", foldered(name)));
            }
        }
        Ok(found)
    }

    /// Deletes such a pack, unless it was recorded, then forgets of it. Blocks.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn settle(&self, location: &str, is_recorded: bool) -> std::io::Result<()> {
        if !is_recorded {
            self.delete(location)?;
        }
        let name = location.rsplit('/').next().unwrap_or(location);
        let note = self.directory.join(OUTGOING).join(name);
        std::fs::remove_file(&note).map_err(at(&note))
    }

    fn path(&self, location: &str) -> PathBuf {
        self.directory.join(location)
    }

    fn there(&self, location: &str) -> std::io::Result<&S3> {
        self.elsewhere.as_ref().ok_or_else(|| {
            let text = format!("{location}: packs.store names no store in which it could be");
            std::io::Error::new(std::io::ErrorKind::NotFound, text)
        })
    }
}

impl StoredPack {
    /// The ledger names the file: it stays.
    pub fn keep(&self) {
        self.custody.keep();
    }
}

impl PackWriter {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they cannot be written, for example because the disk is full.
    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if let Some(sink) = &mut self.sink {
            sink.write_all(bytes).map_err(at(&self.temporary))?;
        }
        self.hasher.update(bytes);
        self.bytes += u64::try_from(bytes.len()).unwrap_or_default();
        Ok(())
    }

    /// Bytes taken so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the pack durable in a file that begins with its digest.
    ///
    /// # Errors
    /// When it cannot be synced or renamed.
    pub fn finish(mut self) -> std::io::Result<StoredPack> {
        let sink = self.sink.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        let finished = self.store.recipients.finish(sink);
        let (stored_bytes, sealed) = finished.map_err(at(&self.temporary))?;
        let digest = hex::encode(self.hasher.clone().finalize());
        // Each file has a name of its own: the same pack may come twice at once, or come again
        // while retention deletes what held it.
        let own = Uuid::new_v4().simple();
        let kind = if sealed.is_some() { "pack.age" } else { "pack" };
        let name = format!("{digest}.{own}.{kind}");
        let (location, custody) = match (&self.store.elsewhere, &sealed) {
            (Some(elsewhere), Some(sealed)) => {
                self.put(elsewhere, &name, stored_bytes, &sealed.digest)?
            }
            _ => self.name(foldered(&name))?,
        };
        Ok(StoredPack {
            digest,
            bytes: self.bytes,
            location,
            stored_bytes,
            sealed,
            custody,
        })
    }

    /// Gives the file its name in the directory.
    fn name(&self, location: String) -> std::io::Result<(String, Custody)> {
        let path = self.store.path(&location);
        let directory = path.parent().unwrap_or(&self.store.directory);
        if !directory.exists() {
            std::fs::create_dir_all(directory).map_err(at(directory))?;
            sync_directory(&self.store.directory)?;
        }
        std::fs::rename(&self.temporary, &path).map_err(at(&path))?;
        let custody = Custody::of(path.clone());
        sync_directory(directory)?;
        Ok((location, custody))
    }

    /// Puts the file elsewhere. Until it is recorded, a note tells of it that outlives this process.
    fn put(
        &self,
        elsewhere: &S3,
        name: &str,
        stored_bytes: u64,
        sha256: &str,
    ) -> std::io::Result<(String, Custody)> {
        let outgoing = self.store.directory.join(OUTGOING);
        let note = outgoing.join(name);
        std::fs::rename(&self.temporary, &note).map_err(at(&note))?;
        let named = foldered(name);
        if let Err(error) = sync_directory(&outgoing) {
            // Nothing was put.
            let _ = std::fs::remove_file(&note);
            return Err(error);
        }
        if let Err(error) = elsewhere.put(&note, &named, stored_bytes, sha256) {
            // The store may take it yet, from what was sent: so the note stays for a day.
            custody::shorten(&note);
            elsewhere.forget(&named, None);
            return Err(error);
        }
        let custody = Custody::elsewhere(elsewhere.clone(), named.clone(), note);
        Ok((format!("{ELSEWHERE}{named}"), custody))
    }
}

impl Drop for PackWriter {
    fn drop(&mut self) {
        // After `finish` the file has its final name and this removes nothing.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// A file's name below the folder that it belongs to.
fn foldered(name: &str) -> String {
    format!("{}/{name}", name.get(..2).unwrap_or("00"))
}

fn sync_directory(path: &Path) -> std::io::Result<()> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(at(path))
}

/// Names the file or directory that an error is about, for the log.
fn at(path: &Path) -> impl FnOnce(std::io::Error) -> std::io::Error + '_ {
    move |error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn files(directory: &Path, folder: &str) -> usize {
        std::fs::read_dir(directory.join(folder)).map_or(0, Iterator::count)
    }

    #[test]
    fn a_pack_has_a_name_only_when_it_is_whole_and_keeps_it_only_when_it_is_recorded() {
        let directory = tempfile::tempdir().unwrap();
        let store = PackStore::open(directory.path().to_owned(), Recipients::default()).unwrap();
        let mut writer = store.writer().unwrap();
        writer.write(b"PACK").unwrap();
        drop(writer);
        assert_eq!(files(directory.path(), "incoming"), 0);
        let stored = || {
            let mut writer = store.writer().unwrap();
            writer.write(b"PA").unwrap();
            writer.write(b"CK").unwrap();
            writer.finish().unwrap()
        };
        let (kept, other) = (stored(), stored());
        assert_eq!(kept.digest, hex::encode(Sha256::digest(b"PACK")));
        assert_eq!((kept.bytes, kept.stored_bytes), (4, 4));
        let path = store.path(&kept.location);
        assert_eq!(std::fs::read(&path).unwrap(), b"PACK");
        assert_eq!(files(directory.path(), &kept.digest[..2]), 2);
        kept.keep();
        let folder = kept.digest[..2].to_owned();
        drop((kept, other));
        assert_eq!(files(directory.path(), &folder), 1);
        assert!(path.exists());
    }

    #[test]
    fn a_store_that_takes_no_pack_says_so_and_where() {
        let directory = tempfile::tempdir().unwrap();
        let store = PackStore::open(directory.path().to_owned(), Recipients::default()).unwrap();
        store.try_out().unwrap();
        assert_eq!(files(directory.path(), "incoming"), 0);
        assert_eq!(files(directory.path(), "."), 1);
        std::fs::remove_dir(directory.path().join("incoming")).unwrap();
        let error = store.try_out().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        assert!(error.to_string().contains("incoming/"), "{error}");
        // A file where the store should be.
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let opened = PackStore::open(file, Recipients::default());
        assert!(opened.is_err_and(|error| error.to_string().contains("/file/incoming: ")));
    }

    #[test]
    fn what_a_killed_service_left_is_cleared_away_and_what_is_received_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let open = || PackStore::open(directory.path().to_owned(), Recipients::default()).unwrap();
        let store = open();
        let mut writer = store.writer().unwrap();
        writer.write(b"PACK").unwrap();
        let left = directory.path().join("incoming").join("left");
        let file = File::create(&left).unwrap();
        let long_ago = std::time::SystemTime::now() - 2 * LEFT;
        file.set_modified(long_ago).unwrap();
        open();
        assert!(!left.exists());
        assert_eq!(files(directory.path(), "incoming"), 1);
        writer.finish().unwrap();
    }

    #[test]
    fn a_sealed_pack_opens_with_each_identity_and_with_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let identities = [(); 3].map(|()| age::x25519::Identity::generate());
        let config = refwarden_config::Packs {
            recipients: identities[..2]
                .iter()
                .map(|it| it.to_public().to_string())
                .collect(),
            ..refwarden_config::Packs::default()
        };
        let recipients = Recipients::open(&config, directory.path()).unwrap();
        let store = PackStore::open(directory.path().to_owned(), recipients).unwrap();
        // Around the length of age's chunks.
        for length in [0, 1, 65_535, 65_536, 65_537, 200_000] {
            let pack = vec![b'x'; length];
            let mut writer = store.writer().unwrap();
            for part in pack.chunks(1000) {
                writer.write(part).unwrap();
            }
            let stored = writer.finish().unwrap();
            assert_eq!(stored.digest, hex::encode(Sha256::digest(&pack)));
            let sealed = stored.sealed.as_ref().unwrap();
            assert_eq!(sealed.recipients, config.recipients);
            let file = std::fs::read(store.path(&stored.location)).unwrap();
            assert_eq!(sealed.digest, hex::encode(Sha256::digest(&file)));
            assert_eq!(stored.stored_bytes, file.len() as u64);
            assert!(!file.windows(16).any(|part| part == [b'x'; 16]));
            let open = |identity: &age::x25519::Identity| {
                let identity = identity as &dyn age::Identity;
                let decryptor = age::Decryptor::new(&file[..]).unwrap();
                let mut out = Vec::new();
                let mut stream = decryptor.decrypt(std::iter::once(identity)).ok()?;
                stream.read_to_end(&mut out).unwrap();
                Some(out)
            };
            assert_eq!(open(&identities[0]).as_ref(), Some(&pack));
            assert_eq!(open(&identities[1]).as_ref(), Some(&pack));
            assert_eq!(open(&identities[2]), None);
        }
    }
}
