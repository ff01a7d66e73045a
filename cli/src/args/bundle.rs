//! The arguments of `refwarden audit bundle` and `refwarden audit verify-bundle`.

use std::path::PathBuf;

use clap::Args;

use super::{ServiceArgs, since};

/// `refwarden audit bundle`.
#[derive(Args)]
#[command(after_help = "\
One file (tar) with the events, what belongs to them, their proofs, the checkpoint, the packs as they
are kept (sealed), and a signed manifest. It is checked before it is put in its place. --since
and --before take what is attested by the log's last checkpoint.

Examples:
  refwarden audit bundle --push 0198c0f2-… --out evidence.tar --data-dir ./data
  refwarden audit bundle --repository app --since 7d --out week.tar --data-dir ./data
  refwarden audit verify-bundle evidence.tar --key log.pub --identity auditor.identity

Exit codes: 0 written; 1 the service refuses it, or the bundle does not hold; 2 an error.")]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["push", "since", "before"])))]
pub struct AuditBundle {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Of this push.
    #[arg(long, value_name = "ID", conflicts_with_all = ["repository", "since", "before"])]
    pub push: Option<uuid::Uuid>,
    /// Of what happened since: 7d, 12h, 30m or 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<chrono::DateTime<chrono::Utc>>,
    /// Of what happened before.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub before: Option<chrono::DateTime<chrono::Utc>>,
    /// In this repository only.
    #[arg(long, value_name = "NAME")]
    pub repository: Option<String>,
    /// The file to write.
    #[arg(long, short, value_name = "FILE")]
    pub out: PathBuf,
    /// The log's public key, or a file that holds it; the service's own if not given.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}

/// `refwarden audit verify-bundle`.
#[derive(Args)]
#[command(after_help = "\
Reads the file only, and asks nobody. With --identity, sealed packs are opened and compared with what
was received; without it, with what the service has signed.

Example:
  refwarden audit verify-bundle evidence.tar --key log.pub --identity auditor.identity

Exit codes: 0 whole; 1 something is wrong, and what; 2 an error.")]
pub struct AuditVerifyBundle {
    /// The bundle.
    pub file: PathBuf,
    /// The log's public key, or a file that holds it.
    #[arg(long, value_name = "KEY")]
    pub key: String,
    /// File of the age identity that opens its packs, - for standard input; may be given several
    /// times.
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
