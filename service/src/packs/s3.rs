//! Packs in an S3-compatible store: put, get and delete by name.
//!
//! A deadline stands over each call as a whole, redirects are not followed, proxies of the environment are
//! not used, and of an answer that is no pack little is read. What was put is read back before anybody
//! relies on it. Nothing here lists, renames or decrypts, and nothing of an access key is said.

use std::io::{Error, ErrorKind, Read, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use object_store::aws::AmazonS3;
use object_store::path::Path as Key;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use refwarden_config::Packs;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{timeout, timeout_at};

use super::access;

/// What putting and reading back may take, whatever the length: less than a hook waits for a verdict
/// (`timeout_ms`, 4 s unless changed), with some left for the verdict.
const PUT: Duration = Duration::from_millis(2500);
/// Bytes that must be put and read back in a second beyond that. Hooks allow for half as many.
const BYTES_PER_SECOND: u64 = 4 << 20;
/// What trying it out may take: less than `/readyz` does.
const TRY: Duration = Duration::from_millis(1500);
/// How long a store that took something is believed to take more.
const TRIED: Duration = Duration::from_secs(5);
/// What a deletion may take.
const DELETE: Duration = Duration::from_secs(10);
/// How long a pack may let wait for its first byte, and for each further part.
const READ: Duration = Duration::from_secs(30);
/// Longer files are put in parts, one at a time, each held in memory. At least 5 MiB (Amazon S3 User
/// Guide, "Multipart upload limits").
const PART: u64 = 8 << 20;
/// The most parts of a file; the same source allows 10 000.
const PARTS: u64 = 9000;
/// The name that is written to see whether anything can be.
const TRIAL: &str = "tried";
/// The most that is told of an error, in characters.
const TOLD: usize = 1000;

/// A bucket, and the thread that speaks with it.
#[derive(Clone)]
pub(super) struct S3 {
    shared: Arc<Shared>,
}

struct Shared {
    client: AmazonS3,
    prefix: String,
    /// Where it is, for people.
    place: String,
    /// What is taken out of texts.
    hidden: Vec<String>,
    runtime: tokio::runtime::Handle,
    /// Whether the server heeds `If-None-Match`, as far as is known.
    heeds: AtomicBool,
    /// When it took something last.
    took: Mutex<Option<Instant>>,
}

/// A file of the store, while it comes.
pub(super) struct Coming {
    parts: mpsc::Receiver<Result<Bytes>>,
    current: Bytes,
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shared.place)
    }
}

impl S3 {
    /// Opens what `[packs]` names, if it names a store. Speaks with nobody yet.
    ///
    /// # Errors
    /// One sentence, when there is no access key or something is wrong with it.
    pub(super) fn open(
        config: &Packs,
        directory: &Path,
    ) -> std::result::Result<Option<Self>, String> {
        let Some(bucket) = &config.store else {
            return Ok(None);
        };
        let key = access::Key::find(config, directory)?;
        let client = access::client(config, bucket, &key)?;
        let wrong = |error| format!("the pack store's thread cannot be started: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(wrong)?;
        let handle = runtime.handle().clone();
        std::thread::Builder::new()
            .name("pack-store".to_owned())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))
            .map_err(wrong)?;
        let place = match &config.endpoint {
            Some(endpoint) => format!("{bucket} at {}", endpoint.0),
            None => bucket.to_string(),
        };
        Ok(Some(Self {
            shared: Arc::new(Shared {
                client,
                prefix: bucket.prefix.clone(),
                place,
                hidden: key.hidden(),
                runtime: handle,
                heeds: AtomicBool::new(true),
                took: Mutex::new(None),
            }),
        }))
    }

    /// Where it is, for people.
    pub(super) fn place(&self) -> &str {
        &self.shared.place
    }

    /// Puts a file, and reads it back: it is there as a whole, or this fails. Blocks.
    ///
    /// # Errors
    /// When the store does not do so in time, or gives back something else.
    pub(super) fn put(&self, file: &Path, name: &str, bytes: u64, sha256: &str) -> Result<()> {
        let limit = PUT + Duration::from_millis(bytes.saturating_mul(1000) / BYTES_PER_SECOND);
        let (shared, key) = (Arc::clone(&self.shared), self.shared.key(name));
        let (file, sha256) = (file.to_owned(), sha256.to_owned());
        let until = tokio::time::Instant::now() + limit;
        self.wait(limit, async move {
            if bytes > PART {
                shared.put_parts(&file, &key, bytes, until).await?;
            } else {
                let whole = tokio::fs::read(&file).await?;
                shared.put_whole(&key, whole.into()).await?;
            }
            shared.look(&key, bytes, &sha256).await
        })
    }

    /// Deletes a file; one that is gone already is no error. Blocks.
    ///
    /// # Errors
    /// When the store does not do so in time.
    pub(super) fn delete(&self, name: &str) -> Result<()> {
        let (shared, key) = (Arc::clone(&self.shared), self.shared.key(name));
        self.wait(DELETE, async move { shared.delete(&key).await })
    }

    /// Deletes a file that nothing names, and then the note of it, if one is given; waits for neither.
    pub(super) fn forget(&self, name: &str, note: Option<PathBuf>) {
        let (shared, key) = (Arc::clone(&self.shared), self.shared.key(name));
        self.shared.runtime.spawn(async move {
            let deleted = timeout(DELETE, shared.delete(&key)).await;
            match (deleted.unwrap_or_else(|_| Err(late(DELETE))), note) {
                (Ok(()), Some(note)) => {
                    let _ = std::fs::remove_file(note);
                }
                (Ok(()), None) => {}
                // It is tried again by the note.
                (Err(error), _) => {
                    tracing::warn!(
                        %key,
                        cause = %error,
                        "a pack that nothing names may be in the store for a day"
                    );
                }
            }
        });
    }

    /// Writes a little. Blocks.
    ///
    /// # Errors
    /// What the next pack would fail with.
    pub(super) fn try_out(&self) -> Result<()> {
        let took = || {
            self.shared
                .took
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if took().is_some_and(|at| at.elapsed() < TRIED) {
            return Ok(());
        }
        let (shared, key) = (Arc::clone(&self.shared), self.shared.key(TRIAL));
        self.wait(TRY, async move {
            let payload = PutPayload::from_static(b"PACK");
            let put = shared.client.put(&key, payload).await;
            put.map(drop).map_err(|error| shared.told(&error))
        })?;
        *took() = Some(Instant::now());
        Ok(())
    }

    /// Opens a file: its length, and what comes.
    ///
    /// # Errors
    /// When it is not there, or the store does not say so in time.
    pub(super) async fn get(&self, name: &str) -> Result<(u64, Coming)> {
        self.begin(name).await.unwrap_or_else(|_| Err(gone()))
    }

    /// The same, for a thread that may block.
    ///
    /// # Errors
    /// As for [`S3::get`].
    pub(super) fn read(&self, name: &str) -> Result<(u64, Coming)> {
        let begun = self.begin(name).blocking_recv();
        begun.unwrap_or_else(|_| Err(gone()))
    }

    fn begin(&self, name: &str) -> oneshot::Receiver<Result<(u64, Coming)>> {
        let (shared, key) = (Arc::clone(&self.shared), self.shared.key(name));
        let (begun, begins) = oneshot::channel();
        self.shared.runtime.spawn(async move {
            let (length, mut stream) = match timeout(READ, shared.client.get(&key)).await {
                Ok(Ok(got)) => (got.meta.size, got.into_stream()),
                Ok(Err(error)) => {
                    let _ = begun.send(Err(shared.told(&error)));
                    return;
                }
                Err(_) => {
                    let _ = begun.send(Err(late(READ)));
                    return;
                }
            };
            let (sender, parts) = mpsc::channel(2);
            let current = Bytes::new();
            if begun.send(Ok((length, Coming { parts, current }))).is_err() {
                return;
            }
            loop {
                let part = match timeout(READ, stream.next()).await {
                    Ok(None) => return,
                    Ok(Some(part)) => part.map_err(|error| shared.told(&error)),
                    Err(_) => Err(late(READ)),
                };
                let is_last = part.is_err();
                if sender.send(part).await.is_err() || is_last {
                    return;
                }
            }
        });
        begins
    }

    /// Has the store's thread do something, for so long at most.
    fn wait<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (done, ended) = std::sync::mpsc::sync_channel(1);
        self.shared.runtime.spawn(async move {
            let said = timeout(limit, work).await;
            let _ = done.send(said.unwrap_or_else(|_| Err(late(limit))));
        });
        ended.recv().unwrap_or_else(|_| Err(gone()))
    }
}

impl Coming {
    /// As a stream.
    pub(super) fn stream(self) -> BoxStream<'static, Result<Bytes>> {
        let next = |mut coming: Self| async {
            let part = coming.parts.recv().await?;
            Some((part, coming))
        };
        stream::unfold(self, next).boxed()
    }
}

impl Read for Coming {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        while self.current.is_empty() {
            match self.parts.blocking_recv() {
                None => return Ok(0),
                Some(part) => self.current = part?,
            }
        }
        let length = self.current.len().min(bytes.len());
        let part = self.current.split_to(length);
        if let Some(to) = bytes.get_mut(..length) {
            to.copy_from_slice(&part);
        }
        Ok(length)
    }
}

impl Shared {
    fn key(&self, name: &str) -> Key {
        match &*self.prefix {
            "" => Key::from(name),
            prefix => Key::from(format!("{prefix}/{name}")),
        }
    }

    async fn put_whole(&self, key: &Key, bytes: Bytes) -> Result<()> {
        let payload = PutPayload::from(bytes);
        if self.heeds.load(Ordering::Relaxed) {
            let options = PutOptions::from(PutMode::Create);
            let put = self.client.put_opts(key, payload.clone(), options).await;
            match put {
                // Names are used once: it is what an earlier attempt put, whose answer was lost. What is
                // there is read back in any case.
                Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => return Ok(()),
                Err(error) if error.to_string().contains("501 Not Implemented") => {
                    self.heeds.store(false, Ordering::Relaxed);
                }
                Err(error) => return Err(self.told(&error)),
            }
        }
        let put = self.client.put(key, payload).await;
        put.map(drop).map_err(|error| self.told(&error))
    }

    async fn put_parts(
        &self,
        file: &Path,
        key: &Key,
        bytes: u64,
        until: tokio::time::Instant,
    ) -> Result<()> {
        let mut file = tokio::fs::File::open(file).await?;
        let begun = self.client.put_multipart(key).await;
        let mut upload = begun.map_err(|error| self.told(&error))?;
        let length = PART.max(bytes.div_ceil(PARTS));
        let parts = async {
            let mut left = bytes;
            while left > 0 {
                let wanted = length.min(left);
                let mut part = Vec::with_capacity(usize::try_from(wanted).unwrap_or_default());
                let read = (&mut file).take(wanted).read_to_end(&mut part).await?;
                if read as u64 != wanted {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                let put = upload.put_part(PutPayload::from(part)).await;
                put.map_err(|error| self.told(&error))?;
                left -= wanted;
            }
            let completed = upload.complete().await;
            completed.map(drop).map_err(|error| self.told(&error))
        };
        // A little less than the whole is given, so that what came so far is taken back.
        let almost = until - Duration::from_millis(50);
        let put = timeout_at(almost, parts).await;
        let put = put.unwrap_or_else(|_| {
            let text = "the pack store did not take all of it in time";
            Err(Error::new(ErrorKind::TimedOut, text))
        });
        if put.is_err() {
            tokio::spawn(async move { timeout(DELETE, upload.abort()).await });
        }
        put
    }

    /// Whether a file is there, as long as it should be, with the bytes that it should have.
    async fn look(&self, key: &Key, bytes: u64, sha256: &str) -> Result<()> {
        let got = self.client.get(key).await;
        let mut stream = got.map_err(|error| self.told(&error))?.into_stream();
        let (mut hasher, mut read) = (Sha256::new(), 0_u64);
        while let Some(part) = stream.next().await {
            let part = part.map_err(|error| self.told(&error))?;
            read += part.len() as u64;
            if read > bytes {
                break;
            }
            hasher.update(&part);
        }
        if read == bytes && hex::encode(hasher.finalize()) == sha256 {
            return Ok(());
        }
        let text = format!("{key}: the store gives back something else than was put");
        Err(Error::new(ErrorKind::InvalidData, text))
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        match self.client.delete(key).await {
            Ok(()) => Ok(()),
            // Where the bucket is missing it is another than the file was put into.
            Err(error @ object_store::Error::NotFound { .. })
                if !error.to_string().contains("NoSuchBucket") =>
            {
                Ok(())
            }
            Err(error) => Err(self.told(&error)),
        }
    }

    /// What a server said, in one short line, without what only the two of us know.
    fn told(&self, error: &object_store::Error) -> Error {
        let kind = match error {
            object_store::Error::NotFound { .. } => ErrorKind::NotFound,
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => ErrorKind::PermissionDenied,
            _ => ErrorKind::Other,
        };
        let mut text = error.to_string();
        for hidden in &self.hidden {
            text = text.replace(hidden.as_str(), "…");
        }
        let text: String = text
            .chars()
            .map(|one| if one.is_control() { ' ' } else { one })
            .take(TOLD)
            .collect();
        Error::new(kind, format!("{}: {text}", self.place))
    }
}

fn late(limit: Duration) -> Error {
    let text = format!("the pack store did not answer within {limit:?}");
    Error::new(ErrorKind::TimedOut, text)
}

fn gone() -> Error {
    Error::other("the pack store's thread has ended")
}
