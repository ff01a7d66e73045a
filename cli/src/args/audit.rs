//! The arguments of `refwarden audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{AuditBundle, AuditExposure, AuditHold, AuditVerifyBundle, ServiceArgs, since};

/// `refwarden audit`.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Oldest first. Reading the records is itself recorded.

Examples:
  refwarden audit --data-dir ./data --repository app
  refwarden audit --data-dir ./data --kind push.denied --since 7d --json
  refwarden audit --data-dir ./data -q 'ref:refs/heads/main actor:kind=agent path:**/*.tf since:7d'
  refwarden audit --data-dir ./data --follow -q 'state:refused'
  refwarden audit verify --data-dir ./data

Exit codes: 0 listed; 1 the service refuses the query, and says where; 2 an error."
)]
pub struct Audit {
    /// What to do, if not to list.
    #[command(subcommand)]
    pub command: Option<AuditCommand>,
    #[command(flatten)]
    pub list: AuditList,
}

/// The commands of `refwarden audit`.
#[derive(Subcommand)]
pub enum AuditCommand {
    /// Writes every event with its hash, one line of JSON each, for `verify` elsewhere.
    Export(AuditExport),
    /// Checks that no event was edited, deleted, inserted, moved or cut off.
    Verify(AuditVerify),
    /// Proves that one event is in the log.
    Prove(AuditProve),
    /// Signs the last checkpoint as a witness, if it continues the one that was signed before.
    Witness(AuditWitness),
    /// Writes evidence of a push or a period into one signed file.
    Bundle(AuditBundle),
    /// Checks such a file, with nothing but the log's public key.
    VerifyBundle(AuditVerifyBundle),
    /// Says who was sent a secret: every fetch and push on record that carried it.
    Exposure(AuditExposure),
    /// Keeps packs from being dropped by retention.
    Hold(AuditHold),
    /// Prints the public key that checks checkpoints.
    Key(AuditKey),
}

/// What to list.
#[derive(Args)]
pub struct AuditList {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// What to look for, in the grammar of docs/auditing.md: 'repo:payments/* state:refused'.
    #[arg(long, short, value_name = "QUERY", allow_hyphen_values = true)]
    pub query: Option<String>,
    /// Of this repository.
    #[arg(long, value_name = "NAME")]
    pub repository: Option<String>,
    /// About this full ref name.
    #[arg(long = "ref", value_name = "REF")]
    pub ref_name: Option<String>,
    /// Of this kind, such as push.denied.
    #[arg(long)]
    pub kind: Option<String>,
    /// By this actor, such as ada.
    #[arg(long)]
    pub actor: Option<String>,
    /// Of this push.
    #[arg(long, value_name = "ID")]
    pub push: Option<uuid::Uuid>,
    /// Since this time: 7d, 12h, 30m or 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<chrono::DateTime<chrono::Utc>>,
    /// At most this many; all if not given.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Go on where an earlier run with --limit ended: what it printed last. With --follow: behind the
    /// `leaf` of what it printed last.
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<String>,
    /// Print events as they happen, from now on, until Ctrl-C or --limit.
    #[arg(long, conflicts_with_all = ["repository", "ref_name", "kind", "actor", "push", "since"])]
    pub follow: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// A format of `refwarden audit export`.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ExportFormat {
    /// The leaves of the tamper-evident log, for `verify` elsewhere.
    Leaves,
    /// Events, one JSON object a line.
    Jsonl,
    /// Events as comma-separated values, with cells that no spreadsheet takes for formulas.
    Csv,
    /// Events in the Open Cybersecurity Schema Framework 1.3.0.
    Ocsf,
    /// Events in the Common Event Format.
    Cef,
    /// Findings of pushes as SARIF 2.1.0.
    Sarif,
}

/// `refwarden audit export`.
#[derive(Args)]
#[command(after_help = "\
A file is written whole or not at all.

Examples:
  refwarden audit export --data-dir ./data --out record.jsonl
  refwarden audit export --data-dir ./data --format csv -q 'state:refused since:30d' --out refused.csv

Exit codes: 0 written; 1 the service refuses the query, and says where; 2 an error.")]
pub struct AuditExport {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The file to write; standard output if not given.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// What to write.
    #[arg(long, value_enum, default_value = "leaves")]
    pub format: ExportFormat,
    /// Which events, in the grammar of docs/auditing.md; not with leaves, which are proved together.
    #[arg(long, short, value_name = "QUERY", allow_hyphen_values = true)]
    pub query: Option<String>,
    /// Of leaves, the first event's number in the log.
    #[arg(long, value_name = "N", default_value = "0")]
    pub from: u64,
    /// Of leaves, the number behind the last event; all if not given.
    #[arg(long, value_name = "N")]
    pub to: Option<u64>,
}

/// `refwarden audit verify`.
#[derive(Args)]
#[command(after_help = "\
With --export, reads files only and asks nobody. Otherwise reads the service's log, and hashes
what belongs to each event again. Checkpoints come from --checkpoints: a note, or the directory
that refwarden.toml names as ledger.second_place, whose hashes tell which event was changed.
Without --key the service's own key is used: pin it once with `refwarden audit key`.

Examples:
  refwarden audit verify --data-dir ./data --checkpoints ./data/checkpoints
  refwarden audit verify --export record.jsonl --checkpoints /mnt/second --key log.pub

Exit codes: 0 whole; 1 tampered with, and how; 2 an error.")]
pub struct AuditVerify {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// An export, instead of the service.
    #[arg(long, value_name = "FILE", requires = "key", requires = "checkpoints")]
    pub export: Option<PathBuf>,
    /// A checkpoint, or a second place's directory; may be given several times.
    #[arg(long, value_name = "PATH")]
    pub checkpoints: Vec<PathBuf>,
    /// The log's public key, or a file that holds it.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// A witness's public key, or a file that holds it; one of the checkpoints must be signed by
    /// it. May be given several times.
    #[arg(long, value_name = "KEY")]
    pub witness_key: Vec<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden audit prove`.
#[derive(Args)]
#[command(after_help = "\
Asks the service for the proof, and checks it here.

Example:
  refwarden audit prove app 12 --data-dir ./data --key log.pub

Exit codes: 0 proved; 1 the proof does not hold; 2 an error.")]
pub struct AuditProve {
    /// The repository's name or id.
    pub repository: String,
    /// The event's number in it.
    pub seq: i64,
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The log's public key, or a file that holds it; the service's own if not given.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Print the proof as one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden audit witness`.
#[derive(Args)]
#[command(after_help = "\
Run it now and then where the log's owner has no access. It checks the log's signature, and that
the last checkpoint continues the one in FILE; then signs it (C2SP tlog-cosignature), replaces
FILE and prints the note. Later, `refwarden audit verify --checkpoints FILE --witness-key …` finds
a history that was exchanged behind the witness's back.

Example:
  refwarden audit witness --name witness.example --secret-key witness.key --last last.note \\
      --key log.pub --service-url https://refwarden.example

Exit codes: 0 signed; 1 not signed: another history; 2 an error.")]
pub struct AuditWitness {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The witness's name.
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// The witness's own key (PKCS#8, DER); made where there is none.
    #[arg(long, value_name = "FILE")]
    pub secret_key: PathBuf,
    /// The last checkpoint that it signed; made by the first run.
    #[arg(long, value_name = "FILE")]
    pub last: PathBuf,
    /// The log's public key, or a file that holds it.
    #[arg(long, value_name = "KEY")]
    pub key: String,
}

/// `refwarden audit key`.
#[derive(Args)]
#[command(after_help = "\
Example:
  refwarden audit key --data-dir ./data > log.pub

Exit codes: 0 printed; 2 an error.")]
pub struct AuditKey {
    #[command(flatten)]
    pub service: ServiceArgs,
}
