//! One module per command.

mod completions;
mod down;
mod status;
mod token;
mod up;

use std::process::ExitCode;

use crate::args::Command;
use crate::failure::{Failure, Outcome};

/// Runs a command.
pub fn run(command: Command) -> Outcome<ExitCode> {
    match command {
        Command::Up(args) => up::run(&args),
        Command::Down(args) => down::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Completions(args) => completions::run(&args),
        _ => Err(Failure::new("not there yet")),
    }
}
