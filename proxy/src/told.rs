//! Which refs a reader was told of last. Over HTTP the advertisement and the fetch that follows are
//! two requests, and nothing but the reader ties them together.
//!
//! It is a note for the record and nothing is decided by it, so it is kept in memory, for a while,
//! and lost without harm.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use refwarden_model::RepositoryId;
use refwarden_wire::fetch::ToldRefs;
use sha2::{Digest as _, Sha256};

/// How long a client may take between the two.
const KEPT: Duration = Duration::from_mins(10);

/// The most readers that are remembered.
const CAPACITY: usize = 10_000;

/// A reader of a repository: the token's hash where there is one, and the address.
pub type Reader = (RepositoryId, Option<String>, Option<String>);

/// What readers were told.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<HashMap<Reader, (Instant, ToldRefs)>>>);

impl Told {
    /// What a reader was told last, where that is not long ago.
    pub fn recall(&self, reader: &Reader) -> Option<ToldRefs> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, refs) = told.get(reader)?;
        (at.elapsed() < KEPT).then(|| refs.clone())
    }

    fn remember(&self, reader: Reader, refs: ToldRefs) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= CAPACITY {
            told.retain(|_, (at, _)| at.elapsed() < KEPT);
        }
        if told.len() < CAPACITY {
            told.insert(reader, (Instant::now(), refs));
        }
    }

    /// Passes an answer of git on, and takes note of it where it lists refs.
    pub fn listen<S>(&self, answer: S, reader: Reader) -> Listening<S> {
        Listening {
            answer,
            lines: Lines::default(),
            told: Some((self.clone(), reader)),
        }
    }
}

/// An answer that is listened to.
pub struct Listening<S> {
    answer: S,
    lines: Lines,
    told: Option<(Told, Reader)>,
}

impl<S: Stream<Item = std::io::Result<Bytes>> + Unpin> Stream for Listening<S> {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(self.answer.poll_next_unpin(cx));
        match &next {
            Some(Ok(bytes)) => {
                if self.told.is_some() && !self.lines.take(bytes) {
                    self.told = None;
                }
            }
            Some(Err(_)) => self.told = None,
            None => {
                if let Some((told, reader)) = self.told.take()
                    && let Some(refs) = std::mem::take(&mut self.lines).finish()
                {
                    told.remember(reader, refs);
                }
            }
        }
        Poll::Ready(next)
    }
}

/// Counts the pkt-lines of an answer that name refs.
#[derive(Default)]
struct Lines {
    hasher: Sha256,
    count: u64,
    /// A length that has begun to come.
    length: Vec<u8>,
    /// The first bytes of the present line.
    begin: Vec<u8>,
    /// Bytes of the present line that are still to come.
    left: usize,
}

/// Bytes of a line by which it is known.
const KNOWN_BY: usize = 40;

impl Lines {
    /// Takes some bytes; whether this may still be a list of refs. The first line of another answer
    /// says that it is none, so no pack is read.
    fn take(&mut self, bytes: &[u8]) -> bool {
        self.hasher.update(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.left == 0 {
                let more = rest.len().min(4 - self.length.len());
                let (digits, after) = rest.split_at_checked(more).unwrap_or((rest, b""));
                self.length.extend_from_slice(digits);
                rest = after;
                if self.length.len() < 4 {
                    return true;
                }
                let length = std::str::from_utf8(&self.length).ok();
                let length = length.and_then(|it| usize::from_str_radix(it, 16).ok());
                let Some(length) = length else {
                    return false;
                };
                self.length.clear();
                self.begin.clear();
                self.left = length.saturating_sub(4);
                continue;
            }
            let (line, after) = rest
                .split_at_checked(self.left.min(rest.len()))
                .unwrap_or((rest, b""));
            let room = KNOWN_BY - self.begin.len();
            self.begin.extend(line.iter().take(room));
            self.left -= line.len();
            rest = after;
            if self.left == 0 && !self.count_line() {
                return false;
            }
        }
        true
    }

    fn count_line(&mut self) -> bool {
        if self.begin.len() == KNOWN_BY && self.begin.iter().all(u8::is_ascii_hexdigit) {
            self.count += 1;
            return true;
        }
        let others: [&[u8]; 3] = [b"version ", b"unborn ", b"shallow "];
        others.iter().any(|other| self.begin.starts_with(other))
    }

    fn finish(self) -> Option<ToldRefs> {
        (self.count > 0).then(|| ToldRefs {
            count: self.count,
            digest: hex::encode(self.hasher.finalize()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &[u8], expected: Option<u64>) {
        for size in [1, 3, 7, 1000] {
            let mut lines = Lines::default();
            let good = answer.chunks(size).all(|chunk| lines.take(chunk));
            let got = lines.finish().filter(|_| good);
            assert_eq!(got.as_ref().map(|refs| refs.count), expected, "{size}");
            if let Some(refs) = got {
                assert_eq!(refs.digest, hex::encode(Sha256::digest(answer)));
            }
        }
    }

    #[test]
    fn lists_of_refs_are_counted_and_nothing_else_is() {
        let oid = "a".repeat(40);
        let line = |text: &str| format!("{:04x}{text}", text.len() + 4);
        let two = line(&format!("{oid} HEAD\0agent=x\n")) + &line(&format!("{oid} refs/heads/a\n"));
        check(format!("{two}0000").as_bytes(), Some(2));
        let version_1 = line("version 1\n") + &two + &line(&format!("shallow {oid}\n")) + "0000";
        check(version_1.as_bytes(), Some(2));
        check((line("unborn HEAD\n") + "0000").as_bytes(), None);
        for other in ["packfile\n", "NAK\n", "acknowledgments\n", "version 2\n"] {
            check(
                (line(other) + &line("agent=git\n") + "0000").as_bytes(),
                None,
            );
        }
        check(b"zzzz", None);
    }
}
