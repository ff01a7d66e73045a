//! The arguments of `refwarden scan` as typed.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

/// `refwarden scan`.
#[derive(Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag that a person types"
)]
#[command(after_help = "\
What is scanned, one of:
  PATH…            files, and trees with everything in them but .git; - is standard input.
                   Links in a tree are not followed; what they name is scanned as text.
  --history        every file version, commit, tag, path and ref name that a repository's refs
                   reach; --repo R alone means this too
  --staged         what the index has that HEAD has not
  --range A..B     what B reaches and A does not
In a range or the index, what stood in the same file before is counted and does not fail.

Nothing but names, places and previews of a few characters is printed, never a secret.

Examples:
  refwarden scan .
  refwarden scan --staged
  refwarden scan --repo /srv/git/app.git --history --write-baseline known.json
  refwarden scan --history --baseline known.json --json
  refwarden scan --range origin/main..HEAD --sarif > refwarden.sarif
  refwarden scan --config gitleaks.toml .
  refwarden scan --rules

Exit codes: 0 nothing found (or the baseline was written); 1 findings; 2 an error, also when
something could not be read, whatever else was found.")]
pub struct Scan {
    /// Files and directories; - is standard input.
    #[arg(value_name = "PATH", group = "what")]
    pub paths: Vec<PathBuf>,
    /// The repository, or a directory inside its working tree; the one around the current
    /// directory if not given.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["paths", "rules"])]
    pub repo: Option<PathBuf>,
    /// Scan everything that the refs of the repository reach.
    #[arg(long, group = "what")]
    pub history: bool,
    /// Scan what is staged, for a pre-commit hook.
    #[arg(long, group = "what")]
    pub staged: bool,
    /// Scan what B reaches and A does not; A or B left out is HEAD, and an A of zeros is nothing.
    #[arg(long, value_name = "A..B", group = "what")]
    pub range: Option<String>,
    /// List the rules and scan nothing.
    #[arg(long, group = "what", conflicts_with_all = ["sarif", "baseline", "write_baseline"])]
    pub rules: bool,
    /// Print JSON, one object a line: findings, errors, then a summary.
    #[arg(long, conflicts_with = "sarif")]
    pub json: bool,
    /// Print one SARIF 2.1.0 document.
    #[arg(long)]
    pub sarif: bool,
    /// Findings whose fingerprints stand in this file do not count.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write all findings' fingerprints to this file; they are known from then on.
    #[arg(long, value_name = "FILE")]
    pub write_baseline: Option<PathBuf>,
    /// Scan with the rules of a gitleaks.toml instead of the built-in ones.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The rules of a gitleaks release, for a gitleaks.toml with `useDefault`.
    #[arg(long, value_name = "FILE", requires = "config")]
    pub config_default: Option<PathBuf>,

    /// Findings at the places that this .gitleaksignore names do not count; with --config the
    /// one in the working directory if not given
    #[arg(long, value_name = "FILE")]
    pub ignore_file: Option<PathBuf>,
    /// Add the generic rules, which guess by the name that a value is assigned to.
    #[arg(long, conflicts_with = "config")]
    pub generic: bool,
    /// File with the key of fingerprints, 64 hexadecimal digits; the baseline's own key or a
    /// fixed one if not given.
    #[arg(long, value_name = "FILE")]
    pub fingerprint_key: Option<PathBuf>,
    /// Threads; one for each core if not given.
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
}
