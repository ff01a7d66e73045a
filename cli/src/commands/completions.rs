//! `refwarden completions`.

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::args::{Arguments, Completions};
use crate::failure::Outcome;

/// Writes the completions.
#[expect(clippy::unnecessary_wraps, reason = "every command has this shape")]
pub fn run(args: &Completions) -> Outcome {
    let mut command = Arguments::command();
    clap_complete::generate(
        args.shell,
        &mut command,
        "refwarden",
        &mut std::io::stdout(),
    );
    Ok(ExitCode::SUCCESS)
}
