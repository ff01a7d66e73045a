//! A scan of every object that a repository has, reachable or not, for whoever asks what it ever
//! held. Each object is told by itself: nothing is folded, and nothing is known beforehand.

use std::path::Path;
use std::sync::Arc;

use refwarden_scan::gitleaks::Ignore;
use refwarden_scan::{FingerprintKey, Ruleset};

use super::engine::Engine;
use super::found::Found;
use super::tally::Tally;
use super::{human, repository};
use crate::failure::{Context as _, Failure, Outcome};

/// What was found, and by which rules.
pub struct Whole {
    /// The id of the rules.
    pub ruleset: String,
    /// Everything that was found.
    pub found: Vec<Found>,
}

/// Scans a repository with the rules that ship with the scanner, as the hooks do.
pub fn scan(path: &Path, key: FingerprintKey) -> Outcome<Whole> {
    let ruleset = Ruleset::builtin().context(|| "the rules cannot be used".to_owned())?;
    let id = ruleset.id().to_string();
    let engine = Engine::new(ruleset, key);
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let tally = Tally::new(None, Arc::new(Ignore::default()));
    let mut tally = repository::scan_whole(&engine, path, jobs, tally)?;
    tally.conclude();
    if tally.cut > 0 {
        return Err(Failure::new("there are more findings than can be kept"));
    }
    human::faults(&tally.faults);
    let found = tally.found.into_iter();
    Ok(Whole {
        ruleset: id,
        found: found.filter(|found| !found.is_unread).collect(),
    })
}
