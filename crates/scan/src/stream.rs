//! A scan of bytes that arrive in pieces, in bounded memory.

use crate::decode::Decoder;
use crate::finding::Finding;
use crate::gathered::Gathered;
use crate::gitleaks::Foreign;
use crate::inspect::{Inspection, Reason, Unread};
use crate::lines::Marker;
use crate::scanner::Scanner;
use crate::sweep::{Found, Sweep, View};

/// Bytes that are gathered before a sweep, so that small pieces cost no more than large ones.
pub(crate) const PIECE: usize = 256 * 1024;

/// A scan in progress. Findings are the same for any division into pieces.
///
/// Holds less than 1 MiB, whatever the size of the input, plus the findings themselves, which
/// are [`FINDINGS_MAX`](crate::FINDINGS_MAX) at most.
#[derive(Debug)]
pub struct Stream<'s> {
    scanner: &'s Scanner<'s>,
    state: State<'s>,
    buffer: Vec<u8>,
}

impl<'s> Stream<'s> {
    pub(crate) fn new(scanner: &'s Scanner<'s>, path: Option<&[u8]>) -> Self {
        Self {
            scanner,
            state: State::new(scanner, path),
            buffer: Vec::new(),
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            self.buffer.extend_from_slice(piece);
            let retain = self.state.retain();
            if self.buffer.len() >= PIECE + retain {
                self.state.take(self.scanner, &self.buffer, false);
                let gone = self.buffer.len().saturating_sub(retain);
                self.state
                    .forget(self.buffer.get(..gone).unwrap_or_default());
                self.buffer.drain(..gone);
            }
        }
    }

    /// Ends the input and yields the findings, sorted by span, then rule id, without saying
    /// what was left out; see [`Stream::inspect`].
    pub fn finish(self) -> Vec<Finding> {
        self.inspect().findings
    }

    /// Ends the input and yields the findings, and what could not be looked into.
    ///
    /// A stream does not look into containers.
    pub fn inspect(mut self) -> Inspection {
        self.state.take(self.scanner, &self.buffer, true);
        self.state.finish(self.scanner)
    }
}

/// What is known between two pieces of an input.
#[derive(Debug)]
pub(crate) struct State<'r> {
    sweep: Sweep<'r>,
    foreign: Foreign<'r>,
    /// Whether it is known that no keyword stands in the input as it is.
    is_quiet: bool,
    /// Whether the rules of `gitleaks.toml` files have seen all of the input already.
    foreign_is_done: bool,
    decoder: Decoder,
    /// The place of the first byte of the next view.
    base: Marker,
    gathered: Gathered,
}

impl<'r> State<'r> {
    pub(crate) fn new(scanner: &Scanner<'r>, path: Option<&[u8]>) -> Self {
        Self {
            sweep: scanner.sweep(path),
            is_quiet: false,
            foreign: scanner.foreign(path),
            foreign_is_done: false,
            decoder: Decoder::new(),
            base: Marker::start(),
            gathered: Gathered::default(),
        }
    }

    /// Spares the search for keywords; what is encoded is searched all the same.
    pub(crate) fn without_keywords(mut self) -> Self {
        self.is_quiet = true;
        self
    }

    /// Offset of the first byte of the next view.
    pub(crate) fn offset(&self) -> u64 {
        self.base.offset()
    }

    /// Bytes before the end of what was taken that the next view must still hold.
    pub(crate) fn retain(&self) -> usize {
        let own = self.sweep.retain();
        if self.foreign_is_done {
            own
        } else {
            own.max(self.foreign.retain())
        }
    }

    /// Lets the rules of `gitleaks.toml` files see all of the input ahead of the views, which
    /// costs less.
    pub(crate) fn take_whole_foreign(&mut self, bytes: &[u8]) {
        self.foreign.take_whole(bytes);
        self.foreign_is_done = true;
    }

    /// Takes bytes that begin at [`State::offset`].
    pub(crate) fn take(&mut self, scanner: &Scanner<'_>, bytes: &[u8], last: bool) {
        let view = View {
            bytes,
            base: self.base.offset(),
            last,
        };
        if !self.foreign_is_done {
            self.foreign.sweep(view);
        }
        let mut found = Vec::new();
        if !self.is_quiet {
            self.sweep.sweep(view, |one| found.push(one));
        }
        self.decoder
            .run(&self.sweep, view, &mut |one| found.push(one));
        report(scanner, view, self.base, found, &mut self.gathered);
    }

    /// Moves over bytes that no later match can cover.
    pub(crate) fn forget(&mut self, gone: &[u8]) {
        self.base.advance(gone);
    }

    pub(crate) fn finish(self, scanner: &Scanner<'_>) -> Inspection {
        let (kept, total, is_cut) = self.gathered.finish();
        let findings = scanner.conclude(kept, self.foreign);
        let total = if is_cut { total } else { findings.len() as u64 };
        let mut unread = Vec::new();
        if self.decoder.is_spent() {
            unread.push(Unread::here(Reason::TooMuchEncoded));
        }
        Inspection {
            findings,
            total,
            unread,
        }
    }
}

/// Turns what was found in a view into findings; `base` is the place of the view's first byte.
pub(crate) fn report(
    scanner: &Scanner<'_>,
    view: View<'_>,
    base: Marker,
    mut found: Vec<Found>,
    gathered: &mut Gathered,
) {
    found.sort_by_key(|one| one.span.start);
    let mut place = base;
    for one in found {
        place.advance(view.slice(&(place.offset()..one.span.start)));
        let standing = view.slice(&one.span);
        gathered.push(one.rule, scanner.finding(&one, standing, place.position()));
    }
}
