//! Looks into a container while it is still being read, so that it is never held whole.
//!
//! The reader of objects pushes pieces, a decoder pulls them: each works in a thread of its own,
//! with a few pieces between them. The thread ends with the scope it was started in.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use refwarden_scan::{Format, Inspection, Limits, Scanner};

use crate::fault::Fault;

/// Pieces that wait between the two, of at most 64 KiB each.
const WAITING: usize = 4;

/// A container that is being looked into.
pub struct Unpacking<'scope> {
    pieces: SyncSender<Vec<u8>>,
    worker: ScopedJoinHandle<'scope, Inspection>,
}

impl<'scope> Unpacking<'scope> {
    /// Starts. `size` is the container's length in bytes.
    pub fn start<'env>(
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
    pub fn push(&self, piece: &[u8]) {
        let _ = self.pieces.send(piece.to_vec());
    }

    /// What was found inside, once all bytes were handed over.
    pub fn finish(self) -> Result<Inspection, Fault> {
        drop(self.pieces);
        let ended = self.worker.join();
        ended.map_err(|_| Fault::hook("the scan stopped at a defect"))
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
