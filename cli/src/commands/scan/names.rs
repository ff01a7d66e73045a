//! Scans names (paths, refs) many at a time: one by one they are too short to be worth it.

use std::sync::Arc;

use refwarden_scan::Scanner;

use super::engine;
use super::found::{Place, Spot};
use super::tally::Tally;

/// Bytes that are gathered before a scan.
const ENOUGH: usize = 64 * 1024;

/// Names that are still to be scanned.
pub struct Names {
    place: Place,
    text: Vec<u8>,
    /// Where each begins in `text`, the whole of it, and how much of that is not in `text`.
    starts: Vec<(usize, Arc<[u8]>, usize)>,
}

impl Names {
    /// None yet.
    pub fn new(place: Place) -> Self {
        Self {
            place,
            text: Vec::new(),
            starts: Vec::new(),
        }
    }

    /// Adds a name, of which the first `known` bytes are not to be scanned. True when it is time
    /// for [`Names::scan`].
    pub fn add(&mut self, name: Arc<[u8]>, known: usize) -> bool {
        let start = self.text.len();
        self.text
            .extend_from_slice(name.get(known..).unwrap_or_default());
        self.text.push(b'\n');
        self.starts.push((start, name, known));
        self.text.len() >= ENOUGH
    }

    /// Scans what was gathered.
    pub fn scan(&mut self, scanner: &Scanner<'_>, tally: &mut Tally) {
        for mut finding in engine::whole(scanner, &self.text, None) {
            let at = usize::try_from(finding.span.start).unwrap_or(usize::MAX);
            let index = self.starts.partition_point(|(start, ..)| *start <= at);
            let Some((start, name, left)) = index.checked_sub(1).and_then(|it| self.starts.get(it))
            else {
                continue;
            };
            let length = finding.span.end - finding.span.start;
            let begins = (at - start + left) as u64;
            finding.span = begins..begins + length;
            finding.line = 1;
            finding.column = begins + 1;
            let spot = Spot {
                place: self.place,
                ..Spot::file(self.up_to(name, begins + length))
            };
            tally.add(vec![finding], &spot, None);
        }
        self.text.clear();
        self.starts.clear();
    }

    /// A path up to the end of the part in which a secret ends: what is below is no finding of
    /// its own.
    fn up_to(&self, name: &Arc<[u8]>, end: u64) -> Arc<[u8]> {
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        let rest = name.get(end..).unwrap_or_default();
        match rest.iter().position(|&byte| byte == b'/') {
            Some(slash) if self.place == Place::Path => {
                name.get(..end + slash).unwrap_or_default().into()
            }
            _ => name.clone(),
        }
    }
}
