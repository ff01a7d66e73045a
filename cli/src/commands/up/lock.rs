//! One `refwarden up` at a time in a data directory.

use std::fs::File;

use crate::failure::{Failure, Outcome};
use crate::layout::DataDir;
use crate::lock;
use crate::process::Part;
use crate::process::postgres::Postgres;

/// Takes the lock, which lasts as long as the file is open.
///
/// Refuses when another `up` has it, or when a detached one has left everything running. Where a part
/// of that has died, this `up` stops the others and starts all anew.
pub fn take(dir: &DataDir) -> Outcome<File> {
    let path = dir.join("run").join("up.lock");
    let file = lock::take(&path)?.ok_or_else(|| running(dir))?;
    if dead(dir).is_empty() {
        return Err(running(dir));
    }
    Ok(file)
}

/// What must run here and does not.
fn dead(dir: &DataDir) -> Vec<&'static str> {
    let parts = Part::ALL.iter().filter(|part| part.running(dir).is_none());
    let parts = parts.map(|part| part.name());
    let postgres = super::is_private(dir) && Postgres::running(dir).is_none();
    postgres
        .then_some("postgres")
        .into_iter()
        .chain(parts)
        .collect()
}

fn running(dir: &DataDir) -> Failure {
    let root = dir.quoted();
    let failure = Failure::refused(format!(
        "Refwarden runs already in {}",
        dir.root().display()
    ));
    let dead = dead(dir);
    if dead.is_empty() {
        return failure.next(format!(
            "refwarden status --data-dir {root} shows it; refwarden down --data-dir {root} stops it"
        ));
    }
    // Another `up`, in the foreground, waits for its parts or has just begun.
    failure
        .why(format!("but not all of it: no {}", dead.join(", no ")))
        .next(format!(
            "unless it starts just now: refwarden down --data-dir {root}, then refwarden up again"
        ))
}
