//! The arguments of `refwarden audit exposure`.

use std::path::PathBuf;

use clap::Args;

use super::ServiceArgs;

/// `refwarden audit exposure`.
#[derive(Args)]
#[command(
    group = clap::ArgGroup::new("sought").required(true),
    after_help = "\
Lists every fetch and push on record that carried a secret: when, who, from which address, through
which view, in which file. Who was sent a placeholder in its place is listed apart. A fetch that
was stopped counts as having carried what it would have brought.

The record knows what pushes were found to hold. With --rescan, run on the Git server, the whole
history of a repository is scanned with the rules of today, unreachable objects too, and the record
is asked which fetches and pushes carried what is found: for a secret that is older than the guard,
or that only a newer rule finds. A repository that `refwarden replay` rebuilt will do as well; then
--repository says its name and --fingerprint-key its host's key.

Examples:
  refwarden audit exposure 9f3c… --data-dir ./data
  refwarden audit exposure --rule github-pat --repository app --data-dir ./data --json
  refwarden audit exposure --rule acme-token --rescan /srv/git/app.git --data-dir ./data

Exit codes: 0 nobody was sent it, as far as is on record; 1 somebody was; 2 an error."
)]
pub struct AuditExposure {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The secret's fingerprint, as records, findings and pages show it.
    #[arg(value_name = "FINGERPRINT", group = "sought")]
    pub fingerprint: Option<String>,
    /// Every secret that this rule found.
    #[arg(long, value_name = "ID", group = "sought")]
    pub rule: Option<String>,
    /// In this repository only.
    #[arg(long, value_name = "NAME")]
    pub repository: Option<String>,
    /// Scan this repository's whole history first.
    #[arg(long, value_name = "DIR")]
    pub rescan: Option<PathBuf>,
    /// File with the key of fingerprints; the one that the repository's hooks use if not given.
    #[arg(long, value_name = "FILE", requires = "rescan")]
    pub fingerprint_key: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
