//! `refwarden scan`: the engine of the hooks, for a person's own files and repositories.
//!
//! What it deliberately does not do: no policy, no service, no network. It reads, and says.

mod baseline;
mod crew;
mod engine;
mod files;
mod found;
mod human;
mod json;
mod key;
mod names;
mod objects;
mod repository;
mod rules;
mod sarif;
mod tally;
pub mod whole;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use self::baseline::Baseline;
use self::engine::Engine;
pub use self::found::Found;
use self::found::Status;
use self::tally::Tally;
use crate::args::Scan;
use crate::failure::{Failure, Outcome};

/// What a scan came to.
pub struct Result {
    /// Everything that was found and counted.
    pub tally: Tally,
    /// What was scanned, for what to do about findings.
    pub what: What,
    /// Seconds of wall clock.
    pub seconds: f64,
    /// The file to which a baseline was written.
    pub written: Option<std::path::PathBuf>,
}

/// What is scanned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Files and trees.
    Files,
    /// All that refs reach.
    History,
    /// A range of commits.
    Range,
    /// The index.
    Staged,
}

/// Scans, reports, and says by its code what came of it.
pub fn run(args: &Scan) -> Outcome {
    let ruleset = engine::ruleset(args)?;
    if args.rules {
        return rules::list(&ruleset, args.json);
    }
    let what = resolve(args)?;
    let baseline = args.baseline.as_deref().map(Baseline::read).transpose()?;
    let key = key::choose(args, baseline.as_ref())?;
    let engine = Engine::new(ruleset, key.bytes.clone());
    let begun = Instant::now();
    let jobs = args
        .jobs
        .or_else(|| std::thread::available_parallelism().ok());
    let jobs = jobs.map_or(1, usize::from);
    let ignore = engine::ignore(args)?;
    let tally = Tally::new(baseline.map(Arc::new), Arc::new(ignore));
    let mut tally = match what {
        What::Files => files::scan(&engine, &args.paths, jobs, tally)?,
        What::History | What::Range | What::Staged => {
            repository::scan(&engine, args, what, jobs, tally)?
        }
    };
    tally.conclude();
    let written = match &args.write_baseline {
        Some(path) => {
            refuse_partial(&tally)?;
            baseline::write(path, &key, &tally.found)?;
            let found = tally.found.iter_mut();
            for found in found.filter(|it| it.status != Status::Noted) {
                found.status = Status::Known;
            }
            Some(path.clone())
        }
        None => None,
    };
    let result = Result {
        tally,
        what,
        seconds: begun.elapsed().as_secs_f64(),
        written,
    };
    if args.json {
        json::print(&result, &engine)?;
    } else if args.sarif {
        sarif::print(&result, &engine, key.is_secret)?;
    } else {
        human::print(&result)?;
    }
    Ok(ExitCode::from(result.code()))
}

impl Result {
    /// Findings that are neither known nor older than what was scanned.
    pub fn new_findings(&self) -> u64 {
        self.tally.count(Status::New) + self.tally.cut
    }

    /// 0 clean, 1 findings, 2 something could not be read.
    pub fn code(&self) -> u8 {
        match (self.tally.faults.is_empty(), self.new_findings()) {
            (false, _) => 2,
            (true, 0) => 0,
            (true, _) => 1,
        }
    }
}

fn resolve(args: &Scan) -> Outcome<What> {
    if !args.paths.is_empty() {
        return Ok(What::Files);
    }
    if args.staged {
        return Ok(What::Staged);
    }
    if args.range.is_some() {
        return Ok(What::Range);
    }
    if args.history || args.repo.is_some() {
        return Ok(What::History);
    }
    Err(Failure::new("there is nothing to scan")
        .next("name a PATH, or --history, --staged or --range A..B; refwarden scan --help"))
}

/// A baseline of less than everything would say later that the rest is new.
fn refuse_partial(tally: &Tally) -> Outcome<()> {
    if tally.faults.is_empty() && tally.cut == 0 {
        return Ok(());
    }
    human::faults(&tally.faults);
    let why = if tally.cut > 0 {
        "there are more findings than can be kept"
    } else {
        "something could not be read"
    };
    Err(Failure::new("no baseline was written").why(why))
}
