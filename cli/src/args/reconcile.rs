//! The arguments of `refwarden reconcile` and `refwarden doctor`.

use std::path::PathBuf;

use clap::Args;

use super::seconds;

/// `refwarden reconcile`.
#[derive(Args)]
#[command(after_help = "\
Runs on the Git host, as an account that reads the repositories and the host credential. Sends
what waits in the spool, settles pushes that were killed, and records every ref, HEAD and symbolic
ref that moved outside of a push, with its objects. Moves nothing. `refwarden up` runs it by
itself.

Examples:
  refwarden reconcile --data-dir ./data
  refwarden reconcile /srv/git --every 30s

Exit codes: 0 nothing was out of band and no guard is weakened; 1 something was; 2 an error.
With --every it runs until it is stopped.")]
pub struct Reconcile {
    /// Repositories, or directories that hold some.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Data directory of `refwarden up`, whose repositories are looked at.
    #[arg(long, value_name = "DIR", env = "REFWARDEN_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Look again and again, with this time between two looks.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub every: Option<u64>,
    /// Print one JSON object for each repository.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden doctor`.
#[derive(Args)]
#[command(after_help = "\
Runs on the Git host. Looks at hooks, settings, hook.toml and what it names, the programs, the
service, the spool and the refs. Changes and records nothing.

Examples:
  refwarden doctor --data-dir ./data
  refwarden doctor /srv/git/app.git --json

Exit codes: 0 all is well; 1 something is not; 2 an error.")]
pub struct Doctor {
    /// Repositories, or directories that hold some.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Data directory of `refwarden up`, whose repositories are looked at.
    #[arg(long, value_name = "DIR", env = "REFWARDEN_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print one JSON object for each repository.
    #[arg(long)]
    pub json: bool,
}
