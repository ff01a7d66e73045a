//! The arguments of `refwarden policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{ServiceArgs, since};

/// `refwarden policy`.
#[derive(Args)]
pub struct Policy {
    /// What to do with it.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// The commands below `policy`.
#[derive(Subcommand)]
pub enum PolicyCommand {
    /// Parses policy files and warns of what is probably a mistake.
    Check(PolicyCheck),
    /// Says what a policy makes of an update, and why.
    Explain(PolicyExplain),
    /// Judges a move of a ref in a repository on this machine.
    Simulate(PolicySimulate),
    /// Judges recorded pushes with another policy and lists what would change.
    Backtest(PolicyBacktest),
}

/// `refwarden policy check`.
#[derive(Args)]
#[command(after_help = "\
All files are taken as one policy, as the service takes them. Files of owners are read from beside
the file that names them.

Examples:
  refwarden policy check policy.toml
  refwarden policy check policies/*.toml --json

Exit codes: 0 good; 1 there are warnings; 2 it is not accepted, or cannot be read.")]
pub struct PolicyCheck {
    /// Policy files.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Which policy.
#[derive(Args)]
pub struct PolicyFiles {
    /// A policy file; may be given again, and all of them are one policy.
    #[arg(long = "policy", required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Kinds of actor.
#[derive(Clone, Copy, ValueEnum)]
pub enum ActorKindArg {
    /// A person.
    Human,
    /// A program that acts for a person.
    Agent,
    /// A build job.
    Ci,
}

/// Who pushes, in what circumstances.
#[derive(Args)]
pub struct Circumstances {
    /// The pusher's subject, as in `user:SUBJECT`.
    #[arg(long, value_name = "SUBJECT")]
    pub actor: Option<String>,
    /// What the pusher is.
    #[arg(long, value_name = "KIND", default_value = "human")]
    pub actor_kind: ActorKindArg,
    /// A group of the pusher; may be given again.
    #[arg(long = "group", value_name = "NAME")]
    pub groups: Vec<String>,
    /// The pusher's verified e-mail address.
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// The pusher's issuer.
    #[arg(long, value_name = "URL", default_value = "")]
    pub issuer: String,
    /// A claim of the pusher's token; may be given again.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = pair)]
    pub claims: Vec<(String, String)>,
    /// The person whom the pusher acts for.
    #[arg(long = "for", value_name = "SUBJECT")]
    pub behalf_of: Option<String>,
    /// A property of the repository; may be given again. Without any, none are known.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = pair)]
    pub properties: Vec<(String, String)>,
    /// A push option, such as `reason=…`; may be given again.
    #[arg(long = "push-option", value_name = "TEXT")]
    pub push_options: Vec<String>,
    /// How often the pusher pushed in the hour before. Without this and the next, it is not known,
    /// unless a recorded push says it.
    #[arg(long, value_name = "COUNT")]
    pub pushes_last_hour: Option<u64>,
    /// How often the pusher pushed in the 24 hours before.
    #[arg(long, value_name = "COUNT")]
    pub pushes_last_day: Option<u64>,
    /// When the push comes in: now unless given; 2026-12-24T18:00:00Z, or 2h for two hours ago.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub at: Option<chrono::DateTime<chrono::Utc>>,
}

/// Kinds of update.
#[derive(Clone, Copy, ValueEnum)]
pub enum UpdateKindArg {
    /// The ref does not exist yet.
    Create,
    /// The new commit descends from the old one.
    FastForward,
    /// It does not; or a tag moves.
    NonFastForward,
    /// The ref ceases to exist.
    Delete,
}

/// `refwarden policy explain`.
#[derive(Args)]
#[command(after_help = "\
With --ref and --kind, an update of which nothing else is known: limits on commits and files are
not broken then. With --facts, the facts of a push as JSON (`PushFacts`, or what
GET /api/v1/pushes/ID answers). With --push, a recorded push, its pusher and its time.

Examples:
  refwarden policy explain --policy policy.toml --repository team/app \\
      --ref refs/heads/main --kind fast-forward --actor bot --actor-kind agent --for ada
  refwarden policy explain --policy policy.toml --repository team/app --facts push.json --actor ada
  refwarden policy explain --policy new.toml --push 0190…c3 --data-dir ./data --json

Exit codes: 0 allowed; 1 denied, or approval is needed; 2 an error.")]
pub struct PolicyExplain {
    #[command(flatten)]
    pub policy: PolicyFiles,
    /// The repository's name.
    #[arg(long, value_name = "NAME", required_unless_present = "push")]
    pub repository: Option<String>,
    /// The full ref name.
    #[arg(long = "ref", value_name = "REF", conflicts_with_all = ["facts", "push"],
        required_unless_present_any = ["facts", "push"])]
    pub ref_name: Option<String>,
    /// What happens to the ref.
    #[arg(long, value_name = "KIND", default_value = "fast-forward")]
    pub kind: UpdateKindArg,
    /// Facts of a push, as JSON.
    #[arg(long, value_name = "FILE", conflicts_with = "push")]
    pub facts: Option<PathBuf>,
    /// A recorded push.
    #[arg(long, value_name = "ID")]
    pub push: Option<uuid::Uuid>,
    #[command(flatten)]
    pub circumstances: Circumstances,
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Say of every other rule why it does not speak.
    #[arg(long)]
    pub all: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden policy simulate`.
#[derive(Args)]
#[command(after_help = "\
Reads the commits between OLD and NEW from the repository and changes nothing in it. Contents are
not scanned for secrets, and signatures are not checked: a commit that carries one counts as
signed by an unknown key. `-` for OLD creates the ref, `-` for NEW deletes it.

Examples:
  refwarden policy simulate --policy policy.toml . main my-branch refs/heads/main --actor ada
  refwarden policy simulate --policy policy.toml /srv/git/app.git v1 - refs/tags/v1 \\
      --actor bot --actor-kind agent --json

Exit codes: 0 allowed; 1 denied, or approval is needed; 2 an error.")]
pub struct PolicySimulate {
    #[command(flatten)]
    pub policy: PolicyFiles,
    /// The repository: a git directory, or a directory that holds `.git`.
    #[arg(value_name = "REPO")]
    pub path: PathBuf,
    /// What the ref has now: a revision, or `-`.
    #[arg(value_name = "OLD", allow_hyphen_values = true)]
    pub old: String,
    /// What it would get: a revision, or `-`.
    #[arg(value_name = "NEW", allow_hyphen_values = true)]
    pub new: String,
    /// The full ref name.
    #[arg(value_name = "REF")]
    pub ref_name: String,
    /// The repository's name, as policy matches it; from its configuration or its directory if
    /// not given.
    #[arg(long, value_name = "NAME")]
    pub repository: Option<String>,
    #[command(flatten)]
    pub circumstances: Circumstances,
    /// Say of every other rule why it does not speak.
    #[arg(long)]
    pub all: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden policy backtest`.
#[derive(Args)]
#[command(after_help = "\
Takes facts, pusher, time and earlier pushes of each recorded push as they were. Reading them is itself recorded.
Pushes whose token was refused were never judged by policy and are left out.

Examples:
  refwarden policy backtest --policy new.toml --since 30d --data-dir ./data
  REFWARDEN_TOKEN=… refwarden policy backtest --policy new.toml --repository team/app \\
      --service-url https://refwarden.example --json

Exit codes: 0 nothing changes; 1 something does; 2 an error.")]
pub struct PolicyBacktest {
    #[command(flatten)]
    pub policy: PolicyFiles,
    /// Pushes since this time: 7d, 12h, 30m or 2026-01-31T12:00:00Z; all if not given.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<chrono::DateTime<chrono::Utc>>,
    /// Pushes to this repository.
    #[arg(long, value_name = "NAME")]
    pub repository: Option<String>,
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("'{text}': expected NAME=VALUE")),
    }
}
