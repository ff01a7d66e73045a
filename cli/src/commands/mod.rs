//! One module per command.

mod audit;
mod completions;
mod demo;
mod doctor;
mod down;
mod grant;
mod install;
mod notify;
mod policy;
mod reconcile;
mod replay;
mod request;
mod requests;
mod resync;
mod revoke;
mod scan;
mod status;
mod token;
mod up;
mod view;

use std::process::ExitCode;

use crate::args::Command;
use crate::failure::Outcome;

/// Runs a command.
pub fn run(command: Command) -> Outcome<ExitCode> {
    match command {
        Command::Up(args) => up::run(&args),
        Command::Down(args) => down::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Install(args) => install::run(&args),
        Command::Reconcile(args) => reconcile::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Requests(args) => requests::run(&args),
        Command::Request(args) => request::run(&args),
        Command::Grant(args) => grant::run(&args),
        Command::Revoke(args) => revoke::run(&args),
        Command::Notify(args) => notify::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Scan(args) => scan::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::View(args) => view::run(&args),
        Command::Map(args) => view::map(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Resync(args) => resync::run(&args),
        Command::Demo(args) => demo::run(&args),
    }
}
