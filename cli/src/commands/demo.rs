//! `refwarden demo`: the main job on a real repository, with real git, step by step.
//!
//! It prints each command as a person would type it and what they saw, checks what must hold,
//! and stops at the first thing that does not. It does nothing by itself that the commands it
//! shows do not do; tokens are handed over in the environment and not shown.

mod browser;
mod page;
mod person;
mod replay;
mod setup;
mod shell;
mod steps;

use std::path::PathBuf;
use std::process::ExitCode;

use self::setup::Stage;
use self::shell::Shell;
use crate::args::Demo;
use crate::failure::{Failure, Outcome};
use crate::layout::DataDir;
use crate::output;

/// Runs it.
pub fn run(args: &Demo) -> Outcome {
    let shell = Shell::new()?;
    let stop = args.stop || std::env::var("DEMO_EXIT").is_ok_and(|value| value == "1");
    let dir = DataDir::resolve(&args.dir)?;
    let started = std::time::Instant::now();
    // Before anything is started, which would then be left running.
    let source = setup::source(args.repository.as_deref())?;
    shell.title("Start everything on this machine")?;
    let stage = Stage::start(&shell, &dir, source)?;
    let played = play(&shell, &stage);
    if stop {
        shell.refwarden(&["down", "--data-dir", &shell.short(dir.root())])?;
    }
    played.map_err(|failure| told(failure, stop, &dir))?;
    let seconds = started.elapsed().as_secs();
    let style = output::style(output::Stream::Output);
    output::line(&format!(
        "\n{}Every step did what it must ({seconds} s).{}",
        style.green, style.reset
    ))?;
    if !stop {
        stage.farewell(&shell)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn play(shell: &Shell, stage: &Stage) -> Outcome<()> {
    shell.title("1. Put a copy of a real repository under guard")?;
    let guarded = stage.guard(shell)?;
    shell.title("2. An agent, acting for ada, pushes to the main branch")?;
    let pushed = steps::push(shell, stage, &guarded)?;
    shell.title("3. grace, a maintainer, looks at it and approves")?;
    steps::approve(shell, stage, &pushed)?;
    shell.title("4. The same push passes; what must not pass does not")?;
    steps::pass(shell, stage, &guarded, &pushed)?;
    steps::refusals(shell, stage, &guarded, &pushed)?;
    shell.title("5. Rebuild the repository from the records alone, before and after")?;
    replay::both(shell, stage, &guarded)?;
    shell.title("6. The records of all this")?;
    steps::audit(shell, stage, &guarded)
}

fn told(failure: Failure, stopped: bool, dir: &DataDir) -> Failure {
    if stopped {
        return failure;
    }
    failure.next(format!(
        "look around: everything still runs, logs are in {};\n\
         refwarden down --data-dir {} stops it",
        dir.join("log").display(),
        dir.quoted()
    ))
}

/// The repository under guard.
pub struct Guarded {
    /// Its name.
    pub name: String,
    /// The live bare repository.
    pub live: PathBuf,
    /// A plain copy from before the agent's push.
    pub before: PathBuf,
    /// The number of the last event before the agent's push.
    pub seq_before: i64,
    /// The short name of its main branch.
    pub branch: String,
    /// Where working copies and rebuilt repositories go.
    pub work: PathBuf,
}
