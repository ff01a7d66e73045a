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

mod apart;
mod arguments;
mod check;
mod dice;
mod disks;
mod ground;
mod link;
mod masked;
mod others;
mod parts;
mod plan;
mod processes;
mod relay;
mod report;
mod step;
mod trial;

use std::cell::OnceCell;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
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
    let apart = apart::enter();
    let report = trials(&arguments, &apart);
    if arguments.json {
        println!("{}", report.json());
    } else {
        report.print();
    }
    ExitCode::from(u8::from(!report.is_whole()))
}

fn trials(arguments: &Arguments, apart: &Result<(), String>) -> Report {
    let worker = Worker {
        arguments,
        apart,
        begun: Instant::now(),
        block: AtomicU64::new(arguments.trial.unwrap_or_default() / TRIALS_EACH),
        report: Mutex::new(Report::new(arguments.seed)),
    };
    std::thread::scope(|scope| {
        for job in 0..arguments.jobs {
            let worker = &worker;
            scope.spawn(move || worker.work(job));
        }
    });
    worker.report.into_inner().unwrap()
}

/// What makes trials, as many at once as there are jobs. The same repository is for the same trials,
/// whichever are made.
struct Worker<'a> {
    arguments: &'a Arguments,
    apart: &'a Result<(), String>,
    begun: Instant,
    block: AtomicU64,
    report: Mutex<Report>,
}

/// A Refwarden without masked views and one with, each started when a trial needs it.
type Stacks = [OnceCell<Parts>; 2];

/// The repository in each of them.
type Grounds<'a> = [Option<Ground<'a>>; 2];

impl Worker<'_> {
    fn work(&self, job: u8) {
        let stacks = Stacks::default();
        loop {
            let block = self.block.fetch_add(1, Ordering::Relaxed);
            let mut grounds = Grounds::default();
            for trial in block * TRIALS_EACH..(block + 1) * TRIALS_EACH {
                if self.is_enough(trial) {
                    return;
                }
                if self.arguments.trial.is_none_or(|only| only == trial) {
                    self.make(job, &stacks, &mut grounds, trial);
                }
            }
        }
    }

    fn is_enough(&self, trial: u64) -> bool {
        match (self.arguments.trial, self.arguments.trials) {
            (Some(only), _) => trial > only,
            (None, Some(trials)) => trial >= trials,
            (None, None) => self.begun.elapsed() >= self.arguments.time,
        }
    }

    fn make<'p>(&self, job: u8, stacks: &'p Stacks, grounds: &mut Grounds<'p>, trial: u64) {
        let Arguments { seed, share, .. } = *self.arguments;
        let plan = Plan::of(seed, trial, share);
        if let (Some(fault), Err(why)) = (plan.fault(), self.apart)
            && fault.is_apart()
        {
            self.report.lock().unwrap().leave_out(fault, why);
            return;
        }
        let which = usize::from(plan.masked);
        let parts = stacks[which].get_or_init(|| {
            let number = job * 2 + u8::from(plan.masked);
            Parts::start(number, self.apart.is_ok(), plan.masked)
        });
        let ground = &mut grounds[which];
        let here = ground.get_or_insert_with(|| {
            let mut dice = Dice::of(seed, u64::MAX - trial / TRIALS_EACH);
            let (reftable, sha256) = (dice.below(3) == 0, dice.below(4) == 0);
            Ground::new(parts, &format!("r{trial}"), reftable, sha256)
        });
        let started = Instant::now();
        let told = trial::run(parts, here, &plan, trial);
        if self.arguments.verbose {
            let step = told.step.map_or("missed", step::Step::name);
            let (took, passed, refused) = (started.elapsed(), told.passed, told.refused);
            eprintln!("{trial} {took:?} {step} passed {passed} refused {refused} {plan:?}");
        }
        let mut report = self.report.lock().unwrap();
        report.add(trial, &plan, &told);
        if report.trials().is_multiple_of(100) {
            eprintln!(
                "chaos: {} trials in {:?}",
                report.trials(),
                self.begun.elapsed()
            );
        }
        if !told.violations.is_empty() {
            for line in parts.faults() {
                eprintln!("  {line}");
            }
            // What is broken stays broken in that repository.
            *ground = None;
        }
    }
}
