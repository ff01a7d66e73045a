//! A reader whose bytes are scanned while somebody else makes sense of them.

use std::io::{self, Read};

use crate::stream::Stream;

/// Bytes that are scanned at once: decoders may read one by one.
const PIECE: usize = 16 * 1024;

/// Hands on what it reads, and to a stream.
pub(super) struct Watched<'w, 's> {
    reader: &'w mut dyn Read,
    stream: &'w mut Stream<'s>,
    waiting: Vec<u8>,
}

impl<'w, 's> Watched<'w, 's> {
    pub(super) fn new(reader: &'w mut dyn Read, stream: &'w mut Stream<'s>) -> Self {
        Self {
            reader,
            stream,
            waiting: Vec::new(),
        }
    }

    fn pass_on(&mut self) {
        self.stream.push(&self.waiting);
        self.waiting.clear();
    }
}

impl Read for Watched<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.waiting
            .extend_from_slice(buffer.get(..length).unwrap_or_default());
        if self.waiting.len() >= PIECE {
            self.pass_on();
        }
        Ok(length)
    }
}

impl Drop for Watched<'_, '_> {
    fn drop(&mut self) {
        self.pass_on();
    }
}
