//! Looks at an input that comes in pieces, containers included, without holding it whole.
//!
//! Whoever reads pushes pieces. Where they are those of a container, a thread of its own pulls
//! them through a decoder, with a few pieces between the two; it ends with its scope. A zip is
//! held, up to a bound, since its list of members stands at its end; above it, it is read from
//! front to end like the others.
//!
//! What it deliberately does not do: no I/O; it does not split what comes into files.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use crate::container::{Format, Limits};
use crate::inspect::{Inspection, Reason};
use crate::scanner::Scanner;
use crate::stream::Stream;

/// A zip archive above this is not held, in bytes.
const ZIP_MAX: u64 = 12 << 20;

/// Bytes of an input's end in which the end of a zip archive is looked for: the record and its
/// longest comment (PKWARE's APPNOTE.TXT 6.3, section 4.3.16).
const ZIP_END: usize = 22 + 0xFFFF;

/// Bytes of an input's beginning that tell whether it is a container.
const PREFIX: usize = 512;

/// Pieces that wait for the decoder, of as many bytes as are pushed at once.
const WAITING: usize = 4;

/// Paths under which a compressed input is unpacked, each by a decoder of its own.
const UNPACKED_MAX: usize = 8;

/// What an input holds of a container.
enum Container<'scope> {
    /// The input is none, or is not to be looked into.
    No,
    /// It is read from front to end, under the first path, or under each.
    Unpacking(Vec<Unpacking<'scope>>),
    /// A zip archive, all of it.
    Zip(Vec<u8>),
    /// A zip archive that is longer than was said.
    LongerZip,
    /// The last bytes, which may be the end of a zip archive.
    Tail(Vec<u8>),
}

/// An input that comes in pieces; see [`Scanner::inspect`] for one that does not.
pub struct Large<'s, 'scope> {
    /// By path.
    streams: Vec<Stream<'s>>,
    container: Container<'scope>,
}

impl<'scope> Large<'scope, 'scope> {
    /// Starts, under each of `paths`. An archive is looked into once: what is in it has its own paths.
    /// What is compressed is under the first eight of them; under others, that is told as unread.
    ///
    /// `size` is the input's length in bytes, or as much of it as is known; `beginning` are the
    /// bytes that will be pushed first, 512 of them at least, or none where the input is not to
    /// be taken for a container.
    pub fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        scanner: &'env Scanner<'env>,
        paths: &[Option<&'env [u8]>],
        size: u64,
        beginning: Option<&[u8]>,
    ) -> Self {
        let container = beginning.map(|bytes| Format::of(bytes.get(..PREFIX).unwrap_or(bytes)));
        let container = match container {
            None => Container::No,
            Some(None) => Container::Tail(Vec::new()),
            Some(Some(Format::Zip)) if size <= ZIP_MAX => {
                let size = usize::try_from(size).unwrap_or(0);
                Container::Zip(Vec::with_capacity(size))
            }
            Some(Some(format)) => {
                let most = if format.is_compressed() {
                    UNPACKED_MAX
                } else {
                    1
                };
                let start = |path: &_| Unpacking::start(scope, scanner, format, size, *path);
                Container::Unpacking(paths.iter().take(most).map(start).collect())
            }
        };
        Self {
            streams: paths.iter().map(|path| scanner.stream(*path)).collect(),
            container,
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, piece: &[u8]) {
        for stream in &mut self.streams {
            stream.push(piece);
        }
        match &mut self.container {
            Container::No | Container::LongerZip => {}
            Container::Unpacking(all) => all.iter().for_each(|one| one.push(piece)),
            Container::Zip(held) if (held.len() + piece.len()) as u64 > ZIP_MAX => {
                self.container = Container::LongerZip;
            }
            Container::Zip(held) => held.extend_from_slice(piece),
            Container::Tail(tail) => {
                tail.extend_from_slice(piece);
                if tail.len() > 4 * ZIP_END {
                    tail.drain(..tail.len() - ZIP_END);
                }
            }
        }
    }

    /// Ends the input and yields what was found, by path; none where a thread of it stopped at a
    /// defect of the scanner.
    pub fn finish(self, scanner: &Scanner<'_>) -> Option<Vec<Inspection>> {
        let mut inspections: Vec<Inspection> =
            self.streams.into_iter().map(Stream::inspect).collect();
        let contents = match self.container {
            Container::Unpacking(all) => {
                let all = all.into_iter().map(Unpacking::finish);
                all.collect::<Option<Vec<Inspection>>>()?
            }
            Container::Zip(held) => vec![scanner.inspect_zip(&held, &Limits::default())],
            Container::LongerZip => vec![Inspection::unread(Reason::TooMuchMemory)],
            Container::Tail(tail) if Format::ends_like_zip(&tail) => {
                vec![Inspection::unread(Reason::TooMuchMemory)]
            }
            Container::No | Container::Tail(_) => return Some(inspections),
        };
        for (at, inspection) in inspections.iter_mut().enumerate() {
            let contents = match contents.as_slice() {
                [only] => only.clone(),
                each => match each.get(at) {
                    Some(own) => own.clone(),
                    None => Inspection::unread(Reason::TooMuchMemory),
                },
            };
            *inspection = std::mem::take(inspection).with_contents(contents);
        }
        Some(inspections)
    }
}

/// A container that is being looked into.
struct Unpacking<'scope> {
    pieces: SyncSender<Vec<u8>>,
    worker: ScopedJoinHandle<'scope, Inspection>,
}

impl<'scope> Unpacking<'scope> {
    fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        scanner: &'env Scanner<'env>,
        format: Format,
        size: u64,
        path: Option<&'env [u8]>,
    ) -> Self {
        let (pieces, waiting) = sync_channel(WAITING);
        let worker = scope.spawn(move || {
            let mut reader = Pieces {
                waiting,
                piece: io::Cursor::new(Vec::new()),
            };
            scanner.inspect_contents(format, &mut reader, size, path, &Limits::default())
        });
        Self { pieces, worker }
    }

    /// Hands over the next bytes. Once the decoder has stopped, nobody needs them.
    fn push(&self, piece: &[u8]) {
        let _ = self.pieces.send(piece.to_vec());
    }

    /// What was found inside, once all bytes were handed over.
    fn finish(self) -> Option<Inspection> {
        drop(self.pieces);
        self.worker.join().ok()
    }
}

/// The decoder's end.
struct Pieces {
    waiting: Receiver<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.piece.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            match self.waiting.recv() {
                Ok(piece) => self.piece = io::Cursor::new(piece),
                // The other end is done.
                Err(_) => return Ok(0),
            }
        }
    }
}
