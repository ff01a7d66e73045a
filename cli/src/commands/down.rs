//! `refwarden down`.

use std::process::ExitCode;

use crate::args::Down;
use crate::failure::Outcome;
use crate::layout::DataDir;
use crate::output;
use crate::process::Part;
use crate::process::postgres::Postgres;

/// Stops everything.
pub fn run(args: &Down) -> Outcome {
    let dir = DataDir::resolve(&args.dir.data_dir)?;
    let stopped = stop(&dir, || {});
    if args.json {
        output::json(&serde_json::json!({ "stopped": stopped }))?;
    } else {
        output::line(&told(&dir, &stopped))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What was stopped, in words.
pub fn told(dir: &DataDir, stopped: &[&str]) -> String {
    if stopped.is_empty() {
        return format!("Nothing runs in {}.", dir.root().display());
    }
    format!("Stopped: {}.", stopped.join(", "))
}

/// Stops whatever runs, in the order in which nobody is left without what it needs. `reap`
/// collects children.
pub fn stop(dir: &DataDir, mut reap: impl FnMut()) -> Vec<&'static str> {
    let mut stopped = Vec::new();
    for part in Part::ALL.into_iter().rev() {
        if part.stop(dir, &mut reap) {
            stopped.push(part.name());
        }
    }
    if Postgres::stop(dir, &mut reap) {
        stopped.push("postgres");
    }
    stopped
}
