//! Arguments of `refwarden request` and `refwarden grant`.

use clap::{Args, Subcommand};

use super::{ServiceArgs, seconds};

/// `refwarden request`.
#[derive(Args)]
#[command(after_help = "\
Asks people to open a window of time: while it is open, your pushes to the ref need no further
approval. They are scanned, judged and recorded as ever. The window belongs to who asks, by the
token in REFWARDEN_TOKEN, which is the one to push with; with --data-dir and without a token, the
agent of the quick start asks on behalf of --behalf-of.

Examples:
  REFWARDEN_TOKEN=… refwarden request --service-url https://refwarden.example \\
      --repo team/app --ref refs/heads/main --for 30m --reason 'release 1.2'
  refwarden request --repo app --ref refs/heads/main --for 30m --reason 'demo' --data-dir ./data

Exit codes: 0 asked for; 1 refused; 2 an error.")]
pub struct Request {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The repository's name.
    #[arg(long = "repo", value_name = "NAME")]
    pub repository: String,
    /// The full name of the ref, such as refs/heads/main.
    #[arg(long = "ref", value_name = "REF")]
    pub ref_name: String,
    /// How long the window is: 30m, 2h; the policy has a longest.
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    pub seconds: u64,
    /// Why; approvers read it, and it is recorded.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// In a quick start: whom the agent acts for.
    #[arg(long, value_name = "USER", default_value = "ada")]
    pub behalf_of: String,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden grant`.
#[derive(Args)]
pub struct Grant {
    /// What to do.
    #[command(subcommand)]
    pub command: GrantCommand,
}

/// The commands of `refwarden grant`.
#[derive(Subcommand)]
pub enum GrantCommand {
    /// Lists windows of time that were asked for or opened.
    List(GrantList),
    /// Takes one back; the next push needs approval again.
    Revoke(GrantRevoke),
}

/// `refwarden grant list`.
#[derive(Args)]
#[command(after_help = "\
Example:
  refwarden grant list --state approved --data-dir ./data

Exit codes: 0 listed; 2 an error.")]
pub struct GrantList {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// waiting, approved (open), rejected, expired or revoked.
    #[arg(long)]
    pub state: Option<String>,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden grant revoke`.
#[derive(Args)]
#[command(after_help = "\
Whoever holds a grant, whoever could open it, and administrators take it back. With --data-dir it
is done on behalf of adam, an administrator.

Example:
  refwarden grant revoke 8FZK2M0T --reason 'done' --data-dir ./data

Exit codes: 0 taken back; 1 refused; 2 an error.")]
pub struct GrantRevoke {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The grant's code.
    pub id: String,
    /// Why; it is recorded.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
