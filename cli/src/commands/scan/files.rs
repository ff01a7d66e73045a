//! Files and trees.

mod walk;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use refwarden_scan::{Large, Scanner};
use rustix::fs::OFlags;

use self::walk::{Entry, Kind, Walk};
use super::crew;
use super::engine::{self, Engine, WHOLE_MAX};
use super::found::{Place, Spot};
use super::names::Names;
use super::tally::{STOPPED, Tally};
use crate::failure::Outcome;
use crate::progress;

/// Bytes of a large file that are read at once.
const PIECE: usize = 256 * 1024;

/// Entries that a thread takes at a time: their names are scanned together.
const BATCH: usize = 64;

/// Scans what the paths name.
pub fn scan(engine: &Engine, paths: &[PathBuf], jobs: usize, mut tally: Tally) -> Outcome<Tally> {
    let bar = progress::bytes("scanning", None);
    let mut walk = Walk::new(paths);
    let batches = std::iter::from_fn(|| {
        let batch: Vec<Entry> = walk.by_ref().take(BATCH).collect();
        (!batch.is_empty()).then_some(batch)
    });
    crew::work(jobs, batches, &mut tally, |batch, tally| {
        let scanner = engine.scanner();
        let mut names = Names::new(Place::Path);
        let mut buffer = Vec::new();
        for entry in batch {
            if names.add(entry.shown.clone(), entry.named_by_person) {
                names.scan(&scanner, tally);
            }
            let before = tally.bytes;
            let mut work = Work {
                scanner: &scanner,
                tally,
                buffer: &mut buffer,
            };
            work.entry(entry);
            bar.inc(tally.bytes - before);
        }
        names.scan(&scanner, tally);
    })?;
    finish(&bar);
    Ok(tally)
}

fn finish(bar: &ProgressBar) {
    bar.finish_and_clear();
}

/// Length of an input that does not say how long it is: too long to be held.
const LONG: u64 = 1 << 30;

struct Work<'w> {
    scanner: &'w Scanner<'w>,
    tally: &'w mut Tally,
    buffer: &'w mut Vec<u8>,
}

impl Work<'_> {
    fn entry(&mut self, entry: Entry) {
        let spot = Spot::file(entry.shown);
        match entry.kind {
            Kind::Input => {
                let spot = Spot {
                    place: Place::Input,
                    path: None,
                    ..spot
                };
                self.read(std::io::stdin().lock(), None, &spot);
            }
            Kind::Named => match File::open(&entry.path) {
                Ok(file) => self.file(file, &spot),
                Err(error) => self.tally.fault(spot, error),
            },
            Kind::File => match open(&entry.path) {
                // What is no file any more was one when the directory was read.
                Ok(None) => self.tally.skipped += 1,
                Ok(Some(file)) => self.file(file, &spot),
                Err(error) => self.tally.fault(spot, error),
            },
            Kind::Link => match std::fs::read_link(&entry.path) {
                Ok(target) => self.bytes(target.as_os_str().as_bytes(), &spot),
                Err(error) => self.tally.fault(spot, error),
            },
            Kind::Directory => {}
            Kind::Other => self.tally.skipped += 1,
            Kind::Unreadable(problem) => self.tally.fault(spot, problem),
        }
    }

    fn file(&mut self, file: File, spot: &Spot) {
        let size = file.metadata().ok().map(|data| data.len());
        self.read(file, size, spot);
    }

    /// Scans a file whole if it is small, else piece by piece. Its size is not believed, but
    /// says whether a zip archive is to be held.
    fn read(&mut self, mut from: impl Read, size: Option<u64>, spot: &Spot) {
        let mut buffer = std::mem::take(self.buffer);
        buffer.clear();
        let begun = from.by_ref().take(WHOLE_MAX + 1).read_to_end(&mut buffer);
        match begun {
            Ok(length) if length as u64 <= WHOLE_MAX => self.bytes(&buffer, spot),
            Ok(_) => self.stream(&buffer, from, size.unwrap_or(LONG), spot),
            Err(error) => {
                // What was read before is scanned all the same.
                self.bytes(&buffer, spot);
                self.tally.fault(spot.clone(), error);
            }
        }
        *self.buffer = buffer;
    }

    fn bytes(&mut self, bytes: &[u8], spot: &Spot) {
        self.tally.files += 1;
        self.tally.bytes += bytes.len() as u64;
        let path = spot.path.as_deref().map(plain);
        let inspection = engine::inspect(self.scanner, bytes, path.as_deref());
        self.tally
            .inspected(self.scanner, inspection, spot, Some(bytes));
    }

    fn stream(&mut self, begun: &[u8], mut rest: impl Read, size: u64, spot: &Spot) {
        let scanner = self.scanner;
        let path = spot.path.as_deref().map(plain);
        let path = path.as_deref();
        self.tally.files += 1;
        self.tally.bytes += begun.len() as u64;
        let mut piece = vec![0; PIECE];
        let inspections = std::thread::scope(|scope| {
            // No less than what is there, which is enough for the bounds.
            let size = size.max(begun.len() as u64);
            let mut large = Large::start(scope, scanner, &[path], size, Some(begun));
            for piece in begun.chunks(PIECE) {
                large.push(piece);
            }
            loop {
                match rest.read(&mut piece) {
                    Ok(0) => break,
                    Ok(length) => {
                        large.push(piece.get(..length).unwrap_or_default());
                        self.tally.bytes += length as u64;
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        self.tally.fault(spot.clone(), error);
                        break;
                    }
                }
            }
            large.finish(scanner)
        });
        match inspections {
            Some(inspections) => {
                for inspection in inspections {
                    self.tally.inspected(scanner, inspection, spot, None);
                }
            }
            None => self.tally.fault(spot.clone(), STOPPED),
        }
    }
}

/// Opens a regular file of a tree, and nothing else that may have come into its place: no link
/// is followed, and no pipe waited for.
fn open(path: &Path) -> std::io::Result<Option<File>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = File::options()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

/// A path as rules with a path condition expect it, however it was typed: `a/b` for `a//./b`.
fn plain(path: &[u8]) -> Cow<'_, [u8]> {
    let is_odd = |pair: &[u8]| matches!(pair, b"//" | b"/.");
    if !path.windows(2).any(is_odd) {
        return path.into();
    }
    let parts = Path::new(OsStr::from_bytes(path)).components();
    let plain: PathBuf = parts.collect();
    plain.into_os_string().into_vec().into()
}
