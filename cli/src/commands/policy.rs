//! `refwarden policy`: everything about policy files that needs no service, and `backtest`,
//! which asks one for recorded pushes. The service's own evaluation is called, not a copy.

mod backtest;
mod check;
mod circumstances;
mod explain;
mod files;
mod local;
mod show;
mod simulate;

use crate::args::{Policy, PolicyCommand};
use crate::failure::Outcome;

/// Runs a command below `policy`.
pub fn run(args: &Policy) -> Outcome {
    match &args.command {
        PolicyCommand::Check(args) => check::run(args),
        PolicyCommand::Explain(args) => explain::run(args),
        PolicyCommand::Simulate(args) => simulate::run(args),
        PolicyCommand::Backtest(args) => backtest::run(args),
    }
}
