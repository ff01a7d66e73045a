//! Step 5: from the records alone, and equal.

use std::path::Path;

use super::Guarded;
use super::setup::Stage;
use super::shell::Shell;
use crate::failure::Outcome;

/// Rebuilds the repository as it was before the agent's push, and as it is.
pub fn both(shell: &Shell, stage: &Stage, guarded: &Guarded) -> Outcome<()> {
    let before = format!("seq:{}", guarded.seq_before);
    one(
        shell,
        stage,
        guarded,
        &before,
        "rebuilt-before.git",
        &guarded.before,
    )?;
    one(
        shell,
        stage,
        guarded,
        "now",
        "rebuilt-after.git",
        &guarded.live,
    )
}

fn one(
    shell: &Shell,
    stage: &Stage,
    guarded: &Guarded,
    at: &str,
    into: &str,
    live: &Path,
) -> Outcome<()> {
    let into = shell.short(&guarded.work.join(into));
    let live = shell.short(live);
    let ran = shell.refwarden(&[
        "replay",
        &guarded.name,
        "--at",
        at,
        "--into",
        &into,
        "--verify",
        &live,
        "--data-dir",
        &stage.data_dir,
    ])?;
    shell.check(
        ran.ok && ran.text.contains("Equal"),
        "rebuilt, clean by git fsck --full, and equal: refs and objects",
    )
}
