//! Counts what unpacks, so that no archive takes more than the limits say.

use std::cell::Cell;
use std::io::{self, Read};

use crate::inspect::Reason;

/// How much work an input may make. There is no clock here: bytes stand for time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Containers inside each other.
    pub depth: usize,
    /// Bytes unpacked, of all containers at every depth together.
    pub unpacked: u64,
    /// Bytes unpacked for each byte of the input, beyond `unpacked_free`.
    pub ratio: u64,
    /// Bytes that any input may unpack to.
    pub unpacked_free: u64,
    /// Members of all archives together.
    pub members: u64,
    /// Bytes held at once for unpacking: windows of decoders, and archives inside others that
    /// cannot be read from front to end.
    pub memory: usize,
}

impl Default for Limits {
    /// 8 deep, 512 MiB, 250 times the input and 16 MiB, 100 000 members, 15 MiB of memory, of
    /// which one decoder gets two thirds: enough for `xz -6` and `zstd -19`, whose windows are
    /// 8 MiB.
    fn default() -> Self {
        Self {
            depth: 8,
            unpacked: 512 << 20,
            ratio: 250,
            unpacked_free: 16 << 20,
            members: 100_000,
            memory: 15 << 20,
        }
    }
}

impl Limits {
    pub(super) fn meter(&self, input: u64) -> Meter {
        let allowed = self.unpacked_free + self.ratio.saturating_mul(input);
        Meter {
            left: Cell::new(allowed.min(self.unpacked)),
            spent: Cell::new(false),
            is_ratio: allowed < self.unpacked,
        }
    }
}

/// Bytes that may still be unpacked.
pub(super) struct Meter {
    left: Cell<u64>,
    spent: Cell<bool>,
    /// Whether the length of the input bounds it.
    is_ratio: bool,
}

impl Meter {
    /// Whether more was asked for than allowed.
    pub(super) fn is_spent(&self) -> bool {
        self.spent.get()
    }

    /// What it means that it is spent.
    pub(super) fn reason(&self) -> Reason {
        if self.is_ratio {
            Reason::Bomb
        } else {
            Reason::TooLarge
        }
    }

    /// Counts what a reader gives, and fails once it is too much.
    pub(super) fn count<R: Read>(&self, inner: R) -> Metered<'_, R> {
        Metered { inner, meter: self }
    }
}

pub(super) struct Metered<'m, R> {
    inner: R,
    meter: &'m Meter,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        match self.meter.left.get().checked_sub(length as u64) {
            Some(left) if !self.meter.spent.get() => {
                self.meter.left.set(left);
                Ok(length)
            }
            _ => {
                self.meter.spent.set(true);
                Err(io::Error::other("unpacks to too much"))
            }
        }
    }
}
