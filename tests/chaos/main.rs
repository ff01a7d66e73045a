//! `make chaos`: pushes to a real Refwarden of its own, with one kill or fault in each at a random
//! moment, and a look at the ledger and the refs after each. Ends with 1 when anything does not
//! hold.
//!
//! What is done follows from the seed and the trial's number alone; when exactly a process gets
//! the processor does not, so a violation comes back with some luck only.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on says why and ends"
)]

mod arguments;
mod check;
mod dice;
mod ground;
mod parts;
mod plan;
mod processes;
mod relay;
mod report;
mod step;
mod trial;

use std::process::ExitCode;
use std::time::Instant;

use arguments::Arguments;
use dice::Dice;
use ground::Ground;
use parts::Parts;
use plan::Plan;
use report::Report;

/// Trials in one repository: what is checked grows with its ledger.
const TRIALS_EACH: u64 = 20;

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("chaos: {problem}\n\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    let report = trials(&arguments);
    if arguments.json {
        println!("{}", report.json());
    } else {
        report.print();
    }
    ExitCode::from(u8::from(!report.is_whole()))
}

fn trials(arguments: &Arguments) -> Report {
    let begun = Instant::now();
    let parts = Parts::start();
    let mut report = Report::new(arguments.seed);
    let mut ground: Option<Ground<'_>> = None;
    let first = arguments.trial.unwrap_or_default();
    for trial in first.. {
        let is_enough = match (arguments.trial, arguments.trials) {
            (Some(only), _) => trial > only,
            (None, Some(trials)) => trial >= trials,
            (None, None) => begun.elapsed() >= arguments.time,
        };
        if is_enough {
            break;
        }
        // The same repository for the same trials, whichever is run.
        if trial % TRIALS_EACH == 0 || ground.is_none() {
            let mut dice = Dice::of(arguments.seed, u64::MAX - trial / TRIALS_EACH);
            let (reftable, sha256) = (dice.below(3) == 0, dice.below(4) == 0);
            ground = Some(Ground::new(&parts, &format!("r{trial}"), reftable, sha256));
        }
        let Some(here) = &ground else { break };
        let plan = Plan::of(arguments.seed, trial, arguments.share);
        let started = Instant::now();
        let told = trial::run(&parts, here, &plan, trial);
        if arguments.verbose {
            let step = told.step.map_or("missed", step::Step::name);
            let took = started.elapsed();
            eprintln!("{trial} {took:?} {step} passed {} {plan:?}", told.passed);
        }
        report.add(trial, &plan, &told);
        if !told.violations.is_empty() {
            for line in parts.faults() {
                eprintln!("  {line}");
            }
        }
        if !told.violations.is_empty() {
            // What is broken stays broken in that repository.
            ground = None;
        }
        if report.trials().is_multiple_of(100) {
            eprintln!("chaos: {} trials in {:?}", report.trials(), begun.elapsed());
        }
    }
    report
}
