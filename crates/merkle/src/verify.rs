//! Goes through an export once and names the first event that was tampered with.
//!
//! Three things are held against each other: the leaves as they are now; the hashes of the leaves
//! as they were kept elsewhere (or, where nothing was kept, as they were recorded beside the
//! events); and signed checkpoints. Checkpoints alone prove *that* something was changed since
//! the last one that fits; the hashes say *which* event, and they are believed only where they
//! lead to the next checkpoint's root themselves.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::{Checkpoint, Hash, Line, Tree};

/// Lines that are looked at behind the first one that does not fit, to tell an edit from a
/// deletion, an insertion or another order.
const WINDOW: usize = 4096;

/// A stream and an event's number in it.
type Place = (String, i64);

/// What was done to the record.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Tampering {
    /// The event at `index` is not what it was.
    Edited {
        /// Its number in the log, from 0.
        index: u64,
        /// Stream and number.
        event: Option<Place>,
    },
    /// The event at `index` is gone.
    Deleted {
        /// Its number in the log, from 0.
        index: u64,
        /// Stream and number, where what is left tells.
        event: Option<Place>,
    },
    /// The event that stands at `index` was not there.
    Inserted {
        /// Its number in the log, from 0.
        index: u64,
        /// Stream and number.
        event: Option<Place>,
    },
    /// The event that stands at `index` stood elsewhere.
    Reordered {
        /// Its number in the log, from 0.
        index: u64,
        /// Stream and number.
        event: Option<Place>,
    },
    /// Events are missing at the end, from `index` on.
    CutOff {
        /// The first missing event's number in the log, from 0.
        index: u64,
        /// Events that a checkpoint or the kept hashes attest.
        size: u64,
    },
    /// Two checkpoints, both signed by the log, are not of one history.
    Forked {
        /// The size of one.
        one: u64,
        /// The size of the other.
        other: u64,
    },
    /// Somewhere in a range, event and recorded hash were both changed; nothing that could tell
    /// where was kept elsewhere.
    Rewritten {
        /// The first event that may have been changed.
        from: u64,
        /// The size of the first checkpoint that does not fit.
        to: u64,
    },
}

impl fmt::Display for Tampering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, event, what) = match self {
            Self::Edited { index, event } => (index, event, "was edited"),
            Self::Deleted { index, event } => (index, event, "was deleted"),
            Self::Inserted { index, event } => (index, event, "was inserted"),
            Self::Reordered { index, event } => (index, event, "was moved"),
            Self::CutOff { index, size } => {
                return write!(
                    f,
                    "cut off at the tail: event {index} of the log and what followed, of {size}"
                );
            }
            Self::Forked { one, other } => {
                return write!(
                    f,
                    "forked: the checkpoints of sizes {one} and {other} are of two histories"
                );
            }
            Self::Rewritten { from, to } => {
                return write!(
                    f,
                    "rewritten together with its hash: an event from {from} to {} of the log",
                    to.saturating_sub(1)
                );
            }
        };
        write!(f, "event {index} of the log")?;
        if let Some((stream, seq)) = event {
            write!(f, " (number {seq} of {stream})")?;
        }
        write!(f, " {what}")
    }
}

/// What a verification came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Events read.
    pub events: u64,
    /// Checkpoints that fit.
    pub checkpoints: usize,
    /// Events behind the last checkpoint that fits: read, and not attested yet.
    pub unattested: u64,
    /// The first thing that was found wrong.
    pub tampering: Option<Tampering>,
}

/// A line that does not fit, and those behind it.
struct Suspect {
    index: u64,
    /// The hash of each, none for an event that is gone, and where each stands in its stream.
    seen: Vec<(Option<Hash>, Option<Place>)>,
    /// A stream whose next number is not there, as found first.
    gap: Option<Place>,
}

/// Takes an export's lines in order.
pub struct Verifier<'a> {
    checkpoints: Vec<(u64, Hash)>,
    /// How many of them fit so far, and the size of the last.
    fitting: usize,
    attested: u64,
    /// The first that does not.
    mismatch: Option<u64>,
    at_checkpoint: usize,
    kept: Option<&'a [u8]>,
    tree: Tree,
    streams: HashMap<String, i64>,
    suspect: Option<Suspect>,
    tampering: Option<Tampering>,
}

impl<'a> Verifier<'a> {
    /// Begins with an empty log. `kept` is the second place's file of leaf hashes: 32 bytes each,
    /// in order.
    pub fn new(checkpoints: &[Checkpoint], kept: Option<&'a [u8]>) -> Self {
        let mut list: Vec<_> = checkpoints.iter().map(|it| (it.size, it.root)).collect();
        list.sort_unstable();
        list.dedup();
        let forked = list
            .iter()
            .zip(list.iter().skip(1))
            .find(|(one, other)| one.0 == other.0)
            .map(|(one, other)| Tampering::Forked {
                one: one.0,
                other: other.0,
            });
        let mut verifier = Self {
            checkpoints: list,
            fitting: 0,
            attested: 0,
            mismatch: None,
            at_checkpoint: 0,
            kept,
            tree: Tree::new(),
            streams: HashMap::new(),
            suspect: None,
            tampering: forked,
        };
        verifier.check_roots();
        verifier
    }

    /// Whether there is nothing more to learn from further lines.
    pub const fn is_decided(&self) -> bool {
        self.tampering.is_some()
    }

    /// Takes the next line; a leaf `null` says that the log has a hash there, but no event.
    pub fn line(&mut self, line: &Line<'_>) {
        if self.is_decided() {
            return;
        }
        let is_gone = line.leaf == "null";
        let hash = (!is_gone).then(|| Hash::of_leaf(line.leaf.as_bytes()));
        if self.suspect.is_none() {
            if self.fits(line, hash) {
                self.tree.append(hash.unwrap_or(line.hash));
                self.check_roots();
                return;
            }
            self.suspect = Some(Suspect {
                index: self.tree.size(),
                seen: Vec::new(),
                gap: None,
            });
        }
        let place = line.place().map(|(stream, seq)| (stream.to_owned(), seq));
        let gap = place.as_ref().and_then(|it| self.gap(it));
        if let Some(suspect) = &mut self.suspect {
            suspect.gap = suspect.gap.take().or(gap);
            suspect.seen.push((hash, place));
            if suspect.seen.len() >= WINDOW {
                self.judge();
            }
        }
    }

    /// Ends, and says what was found.
    pub fn finish(mut self) -> Report {
        if self.suspect.is_some() {
            self.judge();
        }
        let size = self.tree.size();
        if self.tampering.is_none() {
            self.tampering = self.at_the_end();
        }
        Report {
            events: size,
            checkpoints: self.fitting,
            unattested: size.saturating_sub(self.attested),
            tampering: self.tampering,
        }
    }

    fn at_the_end(&self) -> Option<Tampering> {
        let size = self.tree.size();
        let attested = self.checkpoints.last().map_or(0, |last| last.0);
        if let Some(to) = self.mismatch {
            // A later checkpoint that fits was signed over this very history: the other was not.
            return Some(if self.attested > to {
                Tampering::Forked {
                    one: to,
                    other: self.attested,
                }
            } else {
                Tampering::Rewritten {
                    from: self.attested,
                    to,
                }
            });
        }
        let known = attested.max(self.kept_size());
        (size < known).then_some(Tampering::CutOff {
            index: size,
            size: known,
        })
    }

    fn kept_size(&self) -> u64 {
        let bytes = self.kept.map_or(0, <[u8]>::len);
        u64::try_from(bytes / 32).unwrap_or(u64::MAX)
    }

    fn kept(&self, index: u64) -> Option<Hash> {
        let at = usize::try_from(index).ok()?.checked_mul(32)?;
        Hash::from_slice(self.kept?.get(at..at.checked_add(32)?)?)
    }

    /// Whether a line is what the log has at this index, as far as can be told now.
    fn fits(&mut self, line: &Line<'_>, hash: Option<Hash>) -> bool {
        let index = self.tree.size();
        let expected = self.kept(index).unwrap_or(line.hash);
        if line.index != index || hash != Some(expected) {
            return false;
        }
        let Some((stream, seq)) = line.place() else {
            return false;
        };
        match self.streams.get_mut(stream) {
            Some(last) if *last + 1 == seq => *last = seq,
            None if seq == 1 => {
                self.streams.insert(stream.to_owned(), 1);
            }
            _ => return false,
        }
        true
    }

    /// The event that should stand before `place` in its stream, if that one is not there.
    fn gap(&self, (stream, seq): &(String, i64)) -> Option<Place> {
        let last = self.streams.get(stream).copied().unwrap_or(0);
        (*seq > last + 1).then(|| (stream.clone(), last + 1))
    }

    fn check_roots(&mut self) {
        while let Some(&(size, root)) = self.checkpoints.get(self.at_checkpoint) {
            if size != self.tree.size() {
                break;
            }
            self.at_checkpoint += 1;
            if self.tree.root() == root {
                self.fitting += 1;
                self.attested = size;
            } else if self.mismatch.is_none() {
                self.mismatch = Some(size);
            }
        }
    }

    /// Whether the kept hashes, from here on, lead to the next checkpoint; true where there is
    /// no further checkpoint to ask.
    fn kept_is_good(&self) -> bool {
        let Some(&(size, root)) = self.checkpoints.get(self.at_checkpoint) else {
            return true;
        };
        let mut tree = self.tree.clone();
        for index in tree.size()..size {
            match self.kept(index) {
                Some(hash) => tree.append(hash),
                None => return false,
            }
        }
        tree.root() == root
    }

    fn judge(&mut self) {
        let Some(suspect) = self.suspect.take() else {
            return;
        };
        let index = suspect.index;
        let first = suspect.seen.first().cloned();
        let (hash, event) = first.unwrap_or_default();
        let has_kept = self.kept(index).is_some();
        self.tampering = Some(if let Some(to) = self.mismatch {
            // It began earlier than this line.
            Tampering::Rewritten {
                from: self.attested,
                to,
            }
        } else if has_kept && !self.kept_is_good() {
            let to = self.checkpoints.get(self.at_checkpoint);
            Tampering::Rewritten {
                from: self.attested,
                to: to.map_or(index + 1, |next| next.0),
            }
        } else if hash.is_none() {
            Tampering::Deleted { index, event: None }
        } else if let Some(was) = self.kept(index).filter(|was| hash != Some(*was)) {
            let behind = |it: &(Option<Hash>, _)| it.0 == Some(was);
            let is_behind = suspect.seen.iter().skip(1).any(behind);
            let later: HashSet<Hash> = (index + 1..)
                .take(WINDOW)
                .map_while(|at| self.kept(at))
                .collect();
            let stood_later = hash.is_some_and(|hash| later.contains(&hash));
            match (is_behind, stood_later) {
                (true, true) => Tampering::Reordered { index, event },
                (true, false) => Tampering::Inserted { index, event },
                (false, true) => Tampering::Deleted {
                    index,
                    event: suspect.gap,
                },
                (false, false) => Tampering::Edited { index, event },
            }
        } else {
            // Nothing was kept, or not that far: only numbers can tell.
            self.judge_alone(index, event, &suspect)
        });
    }

    /// What numbers and recorded hashes tell, where nothing was kept elsewhere.
    fn judge_alone(&self, index: u64, event: Option<Place>, suspect: &Suspect) -> Tampering {
        let last = |stream: &String| self.streams.get(stream).copied().unwrap_or(0);
        let place = event.as_ref().map(|(stream, seq)| (*seq, last(stream) + 1));
        match place {
            Some((seq, next)) if seq > next => {
                let missing = event.as_ref().map(|it| (it.0.clone(), next));
                let is_later = suspect.seen.iter().any(|(_, place)| *place == missing);
                if is_later {
                    Tampering::Reordered { index, event }
                } else {
                    Tampering::Deleted {
                        index,
                        event: missing,
                    }
                }
            }
            Some((seq, next)) if seq < next => Tampering::Inserted { index, event },
            _ => Tampering::Edited { index, event },
        }
    }
}

#[cfg(test)]
mod tests;
