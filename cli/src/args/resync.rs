//! The arguments of `refwarden resync` as typed.

use std::path::PathBuf;

use clap::Args;

/// `refwarden resync`.
#[derive(Args)]
#[command(after_help = "\
For clones of a masked view. After a new rule the view is another history; this fetches it, finds
what answers to each commit of the clone, makes the commits that only the clone has again upon
it, and moves branches and tags. What was there before is kept below refs/refwarden/before-resync/.
A branch that is checked out with changes, does not apply, or whose commits nothing answers to stays.

Examples:
  refwarden resync --dry-run
  refwarden resync ~/src/app --json

Exit codes: 0 everything is as the view is; 1 something stays; 2 an error.")]
pub struct Resync {
    /// A directory of the clone.
    #[arg(default_value = ".")]
    pub directory: PathBuf,
    /// The remote that the view is fetched from.
    #[arg(long, value_name = "NAME", default_value = "origin")]
    pub remote: String,
    /// Fetch and say what would become of branches and tags, and move none.
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
