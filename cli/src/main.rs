//! `refwarden`: sets up, adopts repositories, reads the records, rebuilds from them.
//!
//! A command is a module under `commands`; its arguments are typed in `args` and resolved
//! there, before anything is done. Exit codes are a contract: 0 done, 1 refused, differences or
//! findings, 2 an error or wrong usage.

mod api;
mod args;
mod commands;
mod failure;
mod git;
mod layout;
mod lock;
mod output;
mod process;
mod progress;
mod quickstart;
mod sealed;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = args::Arguments::read();
    match commands::run(arguments.command) {
        Ok(code) => code,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}
