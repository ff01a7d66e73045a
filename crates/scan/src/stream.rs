//! A scan of bytes that arrive in pieces, in bounded memory.

use crate::finding::Finding;
use crate::gitleaks::Foreign;
use crate::lines::Marker;
use crate::scanner::Scanner;
use crate::sweep::{Found, Sweep, View};

/// Bytes that are gathered before a sweep, so that small pieces cost no more than large ones.
pub(crate) const PIECE: usize = 256 * 1024;

/// A scan in progress. Findings are the same for any division into pieces.
///
/// Holds less than 1 MiB, whatever the size of the input, plus the findings themselves.
#[derive(Debug)]
pub struct Stream<'s> {
    scanner: &'s Scanner<'s>,
    sweep: Sweep<'s>,
    foreign: Foreign<'s>,
    buffer: Vec<u8>,
    /// The place of the buffer's first byte.
    base: Marker,
    findings: Vec<(usize, Finding)>,
}

impl<'s> Stream<'s> {
    pub(crate) fn new(scanner: &'s Scanner<'s>, path: Option<&[u8]>) -> Self {
        Self {
            scanner,
            sweep: scanner.sweep(path),
            foreign: scanner.foreign(path),
            buffer: Vec::new(),
            base: Marker::start(),
            findings: Vec::new(),
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            self.buffer.extend_from_slice(piece);
            if self.buffer.len() >= PIECE + self.retain() {
                self.sweep(false);
                self.forget();
            }
        }
    }

    /// Ends the input and yields all findings, sorted by span, then rule id.
    pub fn finish(mut self) -> Vec<Finding> {
        self.sweep(true);
        self.scanner.conclude(self.findings, self.foreign)
    }

    fn sweep(&mut self, last: bool) {
        let view = View {
            bytes: &self.buffer,
            base: self.base.offset(),
            last,
        };
        self.foreign.sweep(view);
        let mut found = Vec::new();
        self.sweep.sweep(view, |one| found.push(one));
        report(self.scanner, view, self.base, found, &mut self.findings);
    }

    fn retain(&self) -> usize {
        self.sweep.retain().max(self.foreign.retain())
    }

    /// Drops what no later match can cover.
    fn forget(&mut self) {
        let keep_from = self.buffer.len().saturating_sub(self.retain());
        if let Some(gone) = self.buffer.get(..keep_from) {
            self.base.advance(gone);
        }
        self.buffer.drain(..keep_from);
    }
}

/// Turns what was found in a view into findings; `base` is the place of the view's first byte.
pub(crate) fn report(
    scanner: &Scanner<'_>,
    view: View<'_>,
    base: Marker,
    mut found: Vec<Found>,
    findings: &mut Vec<(usize, Finding)>,
) {
    found.sort_by_key(|one| one.span.start);
    let mut place = base;
    for one in found {
        place.advance(view.slice(&(place.offset()..one.span.start)));
        let secret = view.slice(&one.span);
        findings.push((one.rule, scanner.finding(&one, secret, place.position())));
    }
}
