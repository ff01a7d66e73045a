//! The arguments of `refwarden audit hold`.

use clap::{Args, Subcommand};

use super::{ServiceArgs, since};

/// `refwarden audit hold`.
#[derive(Args)]
#[command(after_help = "\
A hold keeps packs from being dropped by retention. It is an event of every repository that it is
about, and so is its release. A repository's hold keeps all that replay needs; that of a push or a
period keeps what came with it or in it, and not what that builds on.

Examples:
  refwarden audit hold add --repository app --reason 'Case 4711' --data-dir ./data
  refwarden audit hold add --push 0198c0f2-… --reason 'Incident of Monday' --data-dir ./data
  refwarden audit hold list --data-dir ./data
  refwarden audit hold remove ID --reason 'Case closed' --data-dir ./data

Exit codes: 0 done; 1 the service refuses it, and says why; 2 an error.")]
pub struct AuditHold {
    /// What to do.
    #[command(subcommand)]
    pub command: HoldCommand,
}

/// The commands of `refwarden audit hold`.
#[derive(Subcommand)]
pub enum HoldCommand {
    /// Places a hold.
    Add(HoldAdd),
    /// Releases one.
    Remove(HoldRemove),
    /// Lists holds.
    List(HoldList),
}

/// `refwarden audit hold add`.
#[derive(Args)]
pub struct HoldAdd {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The repository's name; all repositories if neither this nor --push is given.
    #[arg(long, value_name = "NAME")]
    pub repository: Option<String>,
    /// The push.
    #[arg(long, value_name = "ID", conflicts_with_all = ["repository", "since", "before"])]
    pub push: Option<uuid::Uuid>,
    /// What came since: 7d, 12h, 30m or 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<chrono::DateTime<chrono::Utc>>,
    /// What came before.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub before: Option<chrono::DateTime<chrono::Utc>>,
    /// Why.
    #[arg(long)]
    pub reason: String,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden audit hold remove`.
#[derive(Args)]
pub struct HoldRemove {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The hold's id.
    pub id: uuid::Uuid,
    /// Why.
    #[arg(long)]
    pub reason: String,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden audit hold list`.
#[derive(Args)]
pub struct HoldList {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Released ones too.
    #[arg(long)]
    pub all: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}
