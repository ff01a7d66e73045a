//! Writes a bundle as a stream: nothing of it is kept but what the manifest says.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use super::manifest::{self, Event, File, Manifest, Pack};
use super::tar;
use crate::SecretKey;

/// Events of one file.
const EVENTS: usize = 1000;
/// Bytes that are copied at once.
const COPY: usize = 256 << 10;

/// A bundle that is being written.
pub struct Writer<W> {
    out: W,
    files: Vec<File>,
    packs: Vec<Pack>,
    events: u64,
    lines: String,
    pending: usize,
}

impl<W: Write> Writer<W> {
    /// Begins with the checkpoint that all proofs lead to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(out: W, checkpoint: &str) -> io::Result<Self> {
        let mut writer = Self {
            out,
            files: Vec::new(),
            packs: Vec::new(),
            events: 0,
            lines: String::new(),
            pending: 0,
        };
        writer.file("checkpoint", checkpoint.as_bytes())?;
        Ok(writer)
    }

    /// Adds an event, and what belongs to it where something does.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn event(&mut self, event: &Event, records: Option<&str>) -> io::Result<()> {
        self.lines.push_str(&serde_json::to_string(event)?);
        self.lines.push('\n');
        self.events += 1;
        self.pending += 1;
        if let Some(records) = records {
            self.file(&format!("records/{}", event.index), records.as_bytes())?;
        }
        if self.pending == EVENTS {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pending == 0 {
            return Ok(());
        }
        self.pending = 0;
        let lines = std::mem::take(&mut self.lines);
        let number = self.events.div_ceil(EVENTS as u64);
        self.file(&format!("events/{number}.jsonl"), lines.as_bytes())
    }

    /// Whether the bundle has a pack already.
    pub fn has_pack(&self, digest: &str) -> bool {
        self.packs.iter().any(|pack| pack.digest == digest)
    }

    /// Adds a pack; `file` is read to its end, which must come after `length` bytes.
    ///
    /// # Errors
    /// When it cannot be read or written, or is not that long.
    pub fn pack(&mut self, mut pack: Pack, file: Option<(u64, &mut dyn Read)>) -> io::Result<()> {
        if let Some((length, source)) = file {
            let sealed = if pack.recipients.is_empty() {
                ""
            } else {
                ".age"
            };
            let name = format!("packs/{}.pack{sealed}", pack.digest);
            self.copy(&name, length, source)?;
            pack.file = Some(name);
        }
        self.packs.push(pack);
        Ok(())
    }

    /// Ends the bundle with its manifest, signed. `described` gives what the writer does not
    /// know: its events, files and packs are filled in here.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self, described: Manifest, key: &SecretKey) -> io::Result<W> {
        self.flush()?;
        let manifest = Manifest {
            events: self.events,
            files: std::mem::take(&mut self.files),
            packs: std::mem::take(&mut self.packs),
            ..described
        };
        let mut bytes = serde_json::to_vec_pretty(&manifest)?;
        bytes.push(b'\n');
        self.file("manifest.json", &bytes)?;
        self.file("manifest.note", manifest::sign(&bytes, key).as_bytes())?;
        self.out.write_all(&tar::END)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.copy(name, bytes.len() as u64, &mut &bytes[..])
    }

    fn copy(&mut self, name: &str, length: u64, source: &mut dyn Read) -> io::Result<()> {
        let header = tar::header(name, length).ok_or(io::ErrorKind::InvalidInput)?;
        self.out.write_all(&header)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; COPY];
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(COPY).min(COPY);
            let read = source.read(buffer.get_mut(..most).unwrap_or_default())?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let bytes = buffer.get(..read).unwrap_or_default();
            hasher.update(bytes);
            self.out.write_all(bytes)?;
            left -= read as u64;
        }
        let zeroes = [0; tar::BLOCK];
        let padding = zeroes.get(..tar::padding(length)).unwrap_or_default();
        self.out.write_all(padding)?;
        self.files.push(File {
            name: name.to_owned(),
            bytes: length,
            sha256: hex::encode(hasher.finalize()),
        });
        Ok(())
    }
}
