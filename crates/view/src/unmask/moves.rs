//! Secrets that a push puts where they did not stand, where people are asked about that.
//!
//! A secret moves with its whole line, as that stands in the history that the pusher sees. So
//! nobody puts bytes of their own beside a secret and learns from what becomes of them whether it
//! is long, or looks like something. Whether masking gives back the files around what moves may
//! depend on the secret still. That is told to nobody but those who decide
//! ([`SecretMove::unsound`]): all else that a push is told follows from what its client has and
//! sends.
//!
//! What it deliberately does not do: it asks nobody. Links, names, messages and files that are
//! masked as one are no places to or from which a secret moves.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use refwarden_gitio::objects::Kind;
use refwarden_model::facts::SecretMove;
use refwarden_model::{ByteText, Oid};
use refwarden_scan::FingerprintKey;

use super::lines::{Earlier, Wrong};
use super::stood::{Site, Stood};
use super::tree::At;
use super::{Problem, Refusal, UnmaskError, Walk};
use crate::mask::{Replaced, splice};

/// Secrets that one push moves.
const MOVES_MAX: usize = 100;

/// The largest file in which a secret may come to stand, in bytes, as the pusher has it; and the
/// longest lines that move. With both, no file grows beyond a size at which it would be treated
/// otherwise, so that no such size measures a secret.
const FILE_MAX: usize = 1 << 20;
const LINES_MAX: usize = 16 << 10;

/// What moves in a push.
#[derive(Default)]
pub(super) struct Moves {
    pub(super) stood: Stood,
    /// Files whose lines are known.
    read: HashSet<Oid>,
    /// Lines that stand in the view, by the first of them.
    runs: HashMap<Vec<u8>, Vec<Rc<Run>>>,
    /// Lines that this push has put at a path.
    put: HashSet<(Vec<u8>, Vec<u8>)>,
    pub(super) made: BTreeSet<SecretMove>,
    /// The first file that masking would not give back.
    pub(super) unsound: Option<Box<Refusal>>,
}

/// Lines with placeholders, and what they stand for.
pub(super) struct Run {
    /// As in the view, without the last line break.
    masked: Vec<u8>,
    /// As in the original; none where versions disagree.
    original: Option<Vec<u8>>,
    secrets: Vec<Held>,
    /// Where the view has them.
    path: Vec<u8>,
}

/// A secret in lines that move.
#[derive(Clone)]
struct Held {
    rule: String,
    also: Vec<String>,
    fingerprint: String,
    /// The line in which it begins, from that of its run.
    below: usize,
    /// The line in its file, from 1.
    line: usize,
}

/// Lines with placeholders where they did not stand.
pub(super) struct Moved {
    run: Rc<Run>,
    /// The first line, from 1.
    first: usize,
}

impl Walk<'_, '_> {
    /// Whether a secret may come to stand at a path. One that is itself another in the original
    /// would have to be told.
    pub(super) fn may_move_to(&self, at: &At) -> bool {
        self.view.moves.is_some() && at.has_commit && at.masked == at.original
    }

    /// A changed file with its secrets, wherever they are from, and those that are not its own.
    pub(super) fn moved(
        &mut self,
        earlier: &Earlier,
        bytes: &[u8],
        at: &At,
    ) -> Result<(Vec<u8>, Vec<Moved>), UnmaskError> {
        let mut moved = Vec::new();
        let written = earlier.restore_or(bytes, &mut |wrong, rest| {
            let found = match wrong {
                Wrong::Ambiguous(_) => None,
                Wrong::Changed(_) | Wrong::Repeated(_) => self.run(rest)?,
            };
            let known = found.and_then(|run| {
                let original = run.original.clone()?;
                let taken = run.masked.len();
                let first = wrong.line();
                moved.push(Moved { run, first });
                Some((original, taken))
            });
            known.ok_or_else(|| at.refuse(self.not_found(wrong.problem()), Some(wrong.line())))
        })?;
        if memchr::memchr(0, bytes).is_some() {
            return Err(at.refuse(Problem::NotLines, None));
        }
        if bytes.len() > FILE_MAX {
            return Err(at.refuse(Problem::TooMuch, None));
        }
        moved.extend(self.carried(bytes, at));
        Ok((written, moved))
    }

    /// What an earlier commit of the push has moved to this path, and a later one has kept there.
    pub(super) fn carried(&self, bytes: &[u8], at: &At) -> Vec<Moved> {
        let mut carried = Vec::new();
        if self.moves.put.is_empty() || !self.may_move_to(at) {
            return carried;
        }
        let (mut rest, mut number) = (bytes, 1);
        loop {
            let run = self.longest(rest).filter(|run| {
                let lines = (at.masked.clone(), run.masked.clone());
                self.moves.put.contains(&lines)
            });
            let mut taken = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            if let Some(run) = run {
                taken = run.masked.len();
                let first = number;
                carried.push(Moved { run, first });
            }
            let done = rest.get(..taken).unwrap_or_default();
            number += 1 + count(Some(done));
            rest = rest.get(taken..).unwrap_or_default();
            let Some(next) = rest.strip_prefix(b"\n") else {
                return carried;
            };
            rest = next;
        }
    }

    /// Records what comes to stand in a file.
    pub(super) fn note(
        &mut self,
        moved: &[Moved],
        at: &At,
        object: Oid,
    ) -> Result<(), UnmaskError> {
        for Moved { run, first } in moved {
            let last = first + count(Some(&run.masked));
            let lines = (at.masked.clone(), run.masked.clone());
            self.moves.put.insert(lines);
            for held in &run.secrets {
                self.moves.made.insert(SecretMove {
                    rule_id: held.rule.clone(),
                    also: held.also.clone(),
                    from: ByteText::new(run.path.clone()),
                    from_line: held.line as u64,
                    fingerprint: held.fingerprint.clone(),
                    path: ByteText::new(at.original.clone()),
                    line: (first + held.below) as u64,
                    first: *first as u64,
                    last: last as u64,
                    object,
                    unsound: false,
                });
            }
            if self.moves.made.len() > MOVES_MAX {
                return Err(at.refuse(Problem::TooMuch, None));
            }
        }
        Ok(())
    }

    /// The lines that stand here and stand like that in the view; none where none do.
    fn run(&mut self, rest: &[u8]) -> Result<Option<Rc<Run>>, UnmaskError> {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..end).unwrap_or_default();
        loop {
            for site in self.moves.stood.sites(line) {
                if self.moves.read.insert(site.blob) {
                    self.read_runs(&site)?;
                }
            }
            let found = self.longest(rest);
            if found.is_some() || !self.look_further()? {
                return Ok(found);
            }
        }
    }

    /// The longest run that stands here, with nothing behind it on its last line.
    fn longest(&self, rest: &[u8]) -> Option<Rc<Run>> {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let runs = self.moves.runs.get(rest.get(..end)?)?;
        let fits = |run: &&Rc<Run>| {
            let behind = rest.strip_prefix(&*run.masked);
            behind.is_some_and(|behind| behind.is_empty() || behind.starts_with(b"\n"))
        };
        let found = runs.iter().filter(fits);
        found.max_by_key(|run| run.masked.len()).cloned()
    }

    /// Learns what the lines of a file stand for.
    fn read_runs(&mut self, site: &Site) -> Result<(), UnmaskError> {
        let Some(key) = self.view.moves else {
            return Ok(());
        };
        // Whichever original it is: where they differ, it is in a signature.
        let Some(original) = self.view.maps.originals(site.commit).next() else {
            return Ok(());
        };
        let Some((_, there)) = self.beyond(original, &site.path)? else {
            return Ok(());
        };
        let (here, there) = (self.masked.load(site.blob)?, self.there(there)?);
        let (Some((Kind::Blob, here)), Some((Kind::Blob, there))) = (here, there) else {
            return Ok(());
        };
        for run in runs(
            self.view.mask.places(&there, Some(&site.path)),
            &here,
            &there,
            key,
        ) {
            let run = Run {
                path: site.path.clone(),
                ..run
            };
            let end = memchr::memchr(b'\n', &run.masked).unwrap_or(run.masked.len());
            let first = run.masked.get(..end).unwrap_or_default().to_vec();
            let known = self.moves.runs.entry(first).or_default();
            match known.iter_mut().find(|it| it.masked == run.masked) {
                Some(same) if same.original == run.original => {}
                Some(other) => {
                    *other = Rc::new(Run {
                        original: None,
                        ..run
                    });
                }
                None => known.push(Rc::new(run)),
            }
        }
        Ok(())
    }
}

/// The lines of a file that hold secrets. None where more was masked than what was found: nothing
/// tells then which bytes are the secret.
fn runs(places: Vec<Replaced>, here: &[u8], there: &[u8], key: &FingerprintKey) -> Vec<Run> {
    let edits = places.iter().map(|it| (it.at.clone(), it.with.clone()));
    let edits: Vec<(Range<usize>, Vec<u8>)> = edits.collect();
    if splice(there, &edits) != here {
        return Vec::new();
    }
    let mut runs: Vec<Run> = Vec::new();
    // Where the last run ends on both sides.
    let mut ended = (0, 0);
    // How far the view is ahead of the original, and behind it.
    let (mut more, mut less) = (0, 0);
    for place in places {
        let at = place.at.start + more - less;
        more += place.with.len();
        less += place.at.len();
        let end = (
            line_end(here, at + place.with.len()),
            line_end(there, place.at.end),
        );
        let is_new = runs.is_empty() || at > ended.0;
        let start = if is_new {
            (line_start(here, at), line_start(there, place.at.start))
        } else {
            ended
        };
        if is_new {
            runs.push(Run {
                masked: Vec::new(),
                original: Some(Vec::new()),
                secrets: Vec::new(),
                path: Vec::new(),
            });
        }
        let line = 1 + count(there.get(..place.at.start));
        if let Some(run) = runs.last_mut() {
            let shown = here.get(start.0..at).unwrap_or_default();
            let first = if is_new { 0 } else { count(Some(&run.masked)) };
            run.secrets.push(Held {
                rule: place.rule,
                also: place.also,
                fingerprint: key.fingerprint(place.secret.expose()).to_string(),
                below: if at < start.0 {
                    // On the last line of what came before.
                    first
                } else {
                    first + count(Some(shown))
                },
                line,
            });
            run.masked
                .extend_from_slice(here.get(start.0..end.0).unwrap_or_default());
            if let Some(original) = &mut run.original {
                original.extend_from_slice(there.get(start.1..end.1).unwrap_or_default());
            }
        }
        ended = end;
    }
    runs.retain(|run| {
        run.original
            .as_ref()
            .is_some_and(|it| it.len() <= LINES_MAX)
    });
    runs
}

fn count(bytes: Option<&[u8]>) -> usize {
    memchr::memchr_iter(b'\n', bytes.unwrap_or_default()).count()
}

fn line_start(bytes: &[u8], at: usize) -> usize {
    let before = bytes.get(..at).unwrap_or_default();
    memchr::memrchr(b'\n', before).map_or(0, |found| found + 1)
}

/// Where the line ends in which `at` is, without its break.
fn line_end(bytes: &[u8], at: usize) -> usize {
    let behind = bytes.get(at..).unwrap_or_default();
    memchr::memchr(b'\n', behind).map_or(bytes.len(), |found| at + found)
}
