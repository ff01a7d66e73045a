//! The arguments as typed.

mod audit;
mod bundle;
mod exposure;
mod grant;
mod hold;
mod policy;
mod reconcile;
mod resync;
mod scan;
mod view;

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{
    ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
};

pub use audit::{
    Audit, AuditCommand, AuditExport, AuditList, AuditProve, AuditVerify, AuditWitness,
    ExportFormat,
};
pub use bundle::{AuditBundle, AuditVerifyBundle};
pub use exposure::AuditExposure;
pub use grant::{Grant, GrantCommand, GrantList, GrantRevoke, Request};
pub use hold::{AuditHold, HoldAdd, HoldCommand, HoldList, HoldRemove};
pub use policy::{
    ActorKindArg, Circumstances, Policy, PolicyBacktest, PolicyCheck, PolicyCommand, PolicyExplain,
    PolicySimulate, UpdateKindArg,
};
pub use reconcile::{Doctor, Reconcile};
pub use resync::Resync;
pub use scan::Scan;
pub use view::{Map, View, ViewArgs, ViewCommand, ViewList, ViewOf};

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 refused, differences or findings; 2 an error or wrong usage.
Environment: NO_COLOR for no colours; REFWARDEN_DATA_DIR for --data-dir.";

/// Guards Git servers: every ref update judged, approved, recorded.
#[derive(Parser)]
#[command(name = "refwarden", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that say the same as `--data-dir`, by their ids.
const INSTEAD: [(&str, &str); 2] = [
    ("hook_config", "--hook-config <FILE>"),
    ("service_url", "--service-url <URL>"),
];

impl Arguments {
    /// Reads the arguments of this process; ends it where they are wrong.
    ///
    /// That two of them contradict each other is no matter for `conflicts_with`: to that, what stands
    /// in the environment is as good as typed. It gives way instead.
    pub fn read() -> Self {
        let read = || {
            let matches = Self::command().try_get_matches()?;
            refuse_both(&matches)?;
            Self::from_arg_matches(&matches)
        };
        read().unwrap_or_else(|error: clap::Error| error.exit())
    }
}

/// Refuses `--data-dir` beside an option that stands in its place, where a person typed both.
fn refuse_both(matches: &ArgMatches) -> Result<(), clap::Error> {
    let mut below = matches;
    while let Some((_, deeper)) = below.subcommand() {
        below = deeper;
    }
    let is_typed = |id: &str| {
        let is_there = below.ids().any(|it| it.as_str() == id);
        is_there && below.value_source(id) == Some(ValueSource::CommandLine)
    };
    let other = INSTEAD.into_iter().find(|(id, _)| is_typed(id));
    let Some((_, option)) = other.filter(|_| is_typed("data_dir")) else {
        return Ok(());
    };
    let text = format!("the argument '--data-dir <DIR>' cannot be used with '{option}'");
    Err(Arguments::command().error(ErrorKind::ArgumentConflict, text))
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Starts Postgres, the service, the proxy and the reconciler on this machine.
    Up(Up),
    /// Stops what `up` started.
    Down(Down),
    /// Says what runs.
    Status(Status),
    /// Gets a token from the quick start's identity provider and prints it.
    Token(Token),
    /// Takes a token back, or all of somebody's tokens.
    Revoke(Revoke),
    /// Puts bare repositories under guard: hooks, configuration, baseline.
    Install(Install),
    /// Holds every ref against the ledger and records what moved outside of pushes.
    Reconcile(Reconcile),
    /// Checks hooks, settings, service, spool and refs, and changes nothing.
    Doctor(Doctor),
    /// Lists approval requests.
    Requests(Requests),
    /// Asks for a window of time in which pushes need no further approval.
    Request(Request),
    /// Lists such windows, or takes one back.
    Grant(Grant),
    /// Says how messages to people fare, and sends a test message.
    Notify(Notify),
    /// Lists what happened, refusals included; verifies, exports and witnesses the record.
    Audit(Audit),
    /// Scans files, histories or staged changes for secrets.
    Scan(Scan),
    /// Rebuilds a repository from the records alone.
    Replay(Replay),
    /// Checks, explains and tries policies.
    Policy(Policy),
    /// Makes views of repositories in which no secret stands.
    View(View),
    /// Says what a commit is called in a view, or in the original.
    Map(Map),
    /// Brings the branches of a clone over to what its masked view is now.
    Resync(Resync),
    /// Runs the main job on a real repository and checks every step.
    Demo(Demo),
    /// Writes completions for a shell to standard output.
    Completions(Completions),
}

/// The data directory.
#[derive(Args, Clone)]
pub struct DataDirArg {
    /// Directory that holds configuration, database, packs and logs.
    #[arg(long, value_name = "DIR", env = "REFWARDEN_DATA_DIR")]
    pub data_dir: PathBuf,
}

/// Where the service is and how to ask it.
#[derive(Args, Clone)]
pub struct ServiceArgs {
    /// Data directory of `refwarden up`; its operator asks on behalf of audrey, an auditor.
    #[arg(long, value_name = "DIR", env = "REFWARDEN_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// URL of the service; the token is taken from `REFWARDEN_TOKEN`.
    #[arg(long, value_name = "URL")]
    pub service_url: Option<String>,
}

/// `refwarden up`.
#[derive(Args)]
#[command(after_help = "\
Makes the directory on the first run; later runs read DIR/refwarden.toml and keep ports and data.
Without DATABASE_URL, Postgres runs privately in DIR, reached by a socket only and never as root.
Stays in the foreground unless --detach; Ctrl-C stops everything.

Examples:
  refwarden up --data-dir ./data
  refwarden up --data-dir ./data --detach --json
  DATABASE_URL=postgresql://db.example/refwarden refwarden up --data-dir ./data

Exit codes: 0 started (with --detach) or stopped when told to; 1 it runs already; 2 an error.")]
pub struct Up {
    #[command(flatten)]
    pub dir: DataDirArg,
    /// Return when everything is ready.
    #[arg(long)]
    pub detach: bool,
    /// Print one JSON object: URLs, sign-ins, process ids.
    #[arg(long)]
    pub json: bool,
    /// Port of the service on the first run; 0 picks a free one.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub port: u16,
    /// Port of the proxy on the first run; 0 picks a free one.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub proxy_port: u16,
    /// Time between two looks of the reconciler.
    #[arg(long, value_name = "TIME", default_value = "30s", env = "REFWARDEN_RECONCILE_EVERY", value_parser = seconds)]
    pub reconcile_every: u64,
}

/// `refwarden down`.
#[derive(Args)]
#[command(after_help = "\
Stops the reconciler, the proxy, the service, then the private Postgres; data stays.

Example:
  refwarden down --data-dir ./data

Exit codes: 0 it is stopped now, whether or not it ran; 2 an error.")]
pub struct Down {
    #[command(flatten)]
    pub dir: DataDirArg,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden status`.
#[derive(Args)]
#[command(after_help = "\
Example:
  refwarden status --data-dir ./data --json

Exit codes: 0 everything runs and answers; 1 something does not; 2 an error.")]
pub struct Status {
    #[command(flatten)]
    pub dir: DataDirArg,
    /// Print one JSON object, as `up --json` does, with `running`.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden revoke`.
#[derive(Args)]
#[command(after_help = "\
What is revoked is refused from the next request on, and a push that waits for people ends. A
person who is revoked may sign in again: tokens that are made later are good.

Examples:
  refwarden revoke --token \"$TOKEN\" --reason 'it was in a log' --data-dir ./data
  refwarden revoke --subject ada --issuer https://id.example.org --reason 'left' --data-dir ./data
  refwarden revoke --list --data-dir ./data

Exit codes: 0 revoked or listed; 1 refused; 2 an error.")]
pub struct Revoke {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The token.
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["subject", "list"], required_unless_present_any = ["subject", "list"], requires = "reason")]
    pub token: Option<String>,
    /// Whose tokens: the `sub` claim.
    #[arg(
        long,
        value_name = "SUBJECT",
        conflicts_with = "list",
        requires = "issuer",
        requires = "reason"
    )]
    pub subject: Option<String>,
    /// The issuer that names the subject.
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// Why; it is recorded.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// List what was revoked.
    #[arg(long)]
    pub list: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden token`.
#[derive(Args)]
#[command(after_help = "\
Prints the token and nothing else, so that a script can take it.

Examples:
  refwarden token --as agent --for ada --ttl 10m --data-dir ./data
  refwarden token --as operator --for audrey --data-dir ./data

Exit codes: 0 printed; 2 an error.")]
pub struct Token {
    #[command(flatten)]
    pub dir: DataDirArg,
    /// The client that asks: agent, operator or another one in identities.toml.
    #[arg(long = "as", value_name = "CLIENT", default_value = "agent")]
    pub client: String,
    /// The person: whom an agent acts for, or whose token the operator gets.
    #[arg(long = "for", value_name = "USER")]
    pub user: Option<String>,
    /// How long it is good: 30s, 10m or 1h; at most one hour.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = seconds)]
    pub ttl: u64,
    /// Print a JSON object with the token and what it says.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden install`.
#[derive(Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag that a person types"
)]
#[command(after_help = "\
Shows the plan, records a baseline (refs and a pack of everything reachable) with the service,
sets the repository's configuration and puts the hooks in place last.

Examples:
  refwarden install ./data/repositories/app.git --data-dir ./data --dry-run
  refwarden install ./data/repositories/app.git --data-dir ./data
  refwarden install /srv/git/app.git --hook-config /etc/refwarden/hook.toml --name team/app
  refwarden install /srv/git/copy.git --as-new --name team/copy --data-dir ./data
  refwarden install /srv/git/app.git --uninstall

A name is for good; it goes with the id. A repository may move: install it again at its new place.

Exit codes: 0 done (or planned); 1 refused, nothing was changed; 2 an error.")]
pub struct Install {
    /// Bare repositories.
    #[arg(required = true, value_name = "REPO")]
    pub repositories: Vec<PathBuf>,
    /// Data directory of `refwarden up`, whose hook.toml is used.
    #[arg(long, value_name = "DIR", env = "REFWARDEN_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The hook.toml that the hooks will read.
    #[arg(long, value_name = "FILE")]
    pub hook_config: Option<PathBuf>,
    /// Name that policy matches and people read; from the directory's name if not given.
    #[arg(long)]
    pub name: Option<String>,
    /// Give it an id and a record of its own: for a copy of a repository under guard.
    #[arg(long, conflicts_with = "uninstall")]
    pub as_new: bool,
    /// Show the plan and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Set aside hooks that are there already; --uninstall puts them back.
    #[arg(long, conflicts_with = "uninstall")]
    pub replace: bool,
    /// Take hooks and configuration out again; the records stay.
    #[arg(long)]
    pub uninstall: bool,
    /// Print one JSON object for each repository.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden requests`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  refwarden requests --state waiting --data-dir ./data
  REFWARDEN_TOKEN=… refwarden requests --service-url https://refwarden.example --json

Exit codes: 0 listed; 2 an error.")]
pub struct Requests {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Only those in this state.
    #[arg(long)]
    pub state: Option<RequestState>,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// The state of an approval request, as the service writes it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RequestState {
    /// People have to decide.
    Waiting,
    /// Enough have approved; not used yet.
    Approved,
    /// Somebody rejected it.
    Rejected,
    /// Its time is over.
    Expired,
    /// The ref has moved, or the policy asks for something else.
    Stale,
    /// A push has used it.
    Used,
    /// A window or an exception that was taken back.
    Revoked,
    /// A push was let through in an emergency; somebody has to look at it.
    Review,
    /// Somebody has looked at it.
    Reviewed,
}

impl RequestState {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Stale => "stale",
            Self::Used => "used",
            Self::Revoked => "revoked",
            Self::Review => "review",
            Self::Reviewed => "reviewed",
        }
    }
}

/// `refwarden notify`.
#[derive(Args)]
pub struct Notify {
    /// What to do.
    #[command(subcommand)]
    pub command: NotifyCommand,
}

/// The commands of `refwarden notify`.
#[derive(Subcommand)]
pub enum NotifyCommand {
    /// Says how many messages each channel has delivered, has to deliver and has given up.
    Status(NotifyStatus),
    /// Sends a test message by one channel.
    Test(NotifyTest),
}

/// `refwarden notify status`.
#[derive(Args)]
#[command(after_help = "\
Example:
  refwarden notify status --data-dir ./data

Exit codes: 0 nothing was given up in the last thirty days; 1 something was; 2 an error.")]
pub struct NotifyStatus {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden notify test`.
#[derive(Args)]
#[command(after_help = "\
One attempt, by the service itself and at once. By mail it goes to your own address. With
--data-dir it is sent on behalf of adam, an administrator.

Example:
  refwarden notify test --channel audit --data-dir ./data

Exit codes: 0 the receiver has taken it; 1 it has not; 2 an error.")]
pub struct NotifyTest {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The channel's name, as in refwarden.toml.
    #[arg(long, value_name = "NAME")]
    pub channel: String,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden replay`.
#[derive(Args)]
#[command(after_help = "\
Takes refs and packs from the records only, checks every pack's SHA-256, and ends with
git fsck --full. With --verify, compares refs, HEAD and all reachable objects with LIVE.

Examples:
  refwarden replay app --at now --into ./rebuilt.git --data-dir ./data
  refwarden replay app --at 2026-01-31T12:00:00Z --into ./before.git --data-dir ./data
  refwarden replay app --at seq:12 --into ./r.git --verify ./data/repositories/app.git --data-dir ./data
  refwarden replay app --into ./r.git --identity auditor.identity --service-url https://refwarden.example
  refwarden replay --push 0198c1b2-7c3e-7a51-b1c5-0f5b9a2d6e11 --speed 10 --data-dir ./data

Exit codes: 0 rebuilt (and equal, with --verify); 1 it differs from LIVE; 2 an error.")]
pub struct Replay {
    /// The repository's name or id.
    #[arg(required_unless_present = "push")]
    pub repository: Option<String>,
    /// A time (RFC 3339), `now`, or `seq:N` for the repository's Nth event.
    #[arg(long, value_name = "TIME", default_value = "now")]
    pub at: String,
    /// Directory to make; it must be empty or absent.
    #[arg(long, value_name = "DIR", required_unless_present = "push")]
    pub into: Option<PathBuf>,
    /// Tell this push step by step: who came from where, what was asked, sent, found, judged, said,
    /// decided and moved.
    #[arg(long, value_name = "ID", conflicts_with_all = ["repository", "at", "into", "verify"])]
    pub push: Option<uuid::Uuid>,
    /// So many times as fast as it happened, with no wait above 5 seconds; all at once if not given.
    #[arg(long, value_name = "N", requires = "push", value_parser = speed)]
    pub speed: Option<f64>,
    /// A live repository to compare with.
    #[arg(long, value_name = "LIVE")]
    pub verify: Option<PathBuf>,
    /// File of the age identity that opens sealed packs, - for standard input; may be given several
    /// times. With --data-dir, DIR/auditor.identity if not given.
    #[arg(long, value_name = "FILE", env = "REFWARDEN_IDENTITY")]
    pub identity: Vec<PathBuf>,
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok();
    let speed = speed.filter(|speed: &f64| speed.is_finite() && *speed > 0.0);
    speed.ok_or_else(|| "expected a number above 0, such as 1 or 10".to_owned())
}

/// `refwarden demo`.
#[derive(Args)]
#[command(after_help = "\
Runs git, curl-like requests and refwarden itself as a person would, and checks what comes back.

Examples:
  refwarden demo
  REPO=/srv/git/app.git DEMO_DIR=/var/tmp/demo DEMO_EXIT=1 refwarden demo

Exit codes: 0 every step did what it must; 1 a step did not; 2 an error.")]
pub struct Demo {
    /// A real repository to work on a copy of; the one around the current directory if not given.
    #[arg(long, env = "REPO", value_name = "PATH", hide_env_values = true)]
    pub repository: Option<PathBuf>,
    /// Data directory.
    #[arg(long, env = "DEMO_DIR", default_value = ".demo", value_name = "DIR")]
    pub dir: PathBuf,
    /// Stop everything at the end.
    #[arg(long)]
    pub stop: bool,
}

/// `refwarden completions`.
#[derive(Args)]
#[command(after_help = "\
Example:
  refwarden completions bash > /etc/bash_completion.d/refwarden")]
pub struct Completions {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// A time span such as `10m`, in seconds.
pub fn seconds(text: &str) -> Result<u64, String> {
    let expected = || format!("'{text}': expected a number and s, m, h or d, as in 10m");
    let unit = text.chars().next_back().ok_or_else(expected)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86400,
        _ => return Err(expected()),
    };
    let number: u64 = text
        .strip_suffix(unit)
        .and_then(|number| number.parse().ok())
        .ok_or_else(expected)?;
    number.checked_mul(factor).ok_or_else(expected)
}

/// A time, or a span back from now.
fn since(text: &str) -> Result<chrono::DateTime<chrono::Utc>, String> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let expected =
        format!("'{text}': expected 7d, 12h, 30m or a time such as 2026-01-31T12:00:00Z");
    let span = seconds(text)
        .ok()
        .and_then(|seconds| i64::try_from(seconds).ok())
        .and_then(chrono::Duration::try_seconds)
        .ok_or_else(|| expected.clone())?;
    chrono::Utc::now().checked_sub_signed(span).ok_or(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn only_what_was_typed_contradicts() {
        for (line, expected) in [
            ("install x --hook-config f", true),
            ("install x --hook-config f --data-dir d", false),
            ("requests --service-url u --data-dir d", false),
            ("notify status --service-url u --data-dir d", false),
            ("notify status --data-dir d", true),
            ("completions bash", true),
        ] {
            let words = ["refwarden"].into_iter().chain(line.split(' '));
            let matches = Arguments::command().try_get_matches_from(words).unwrap();
            assert_eq!(refuse_both(&matches).is_ok(), expected, "{line}");
        }
    }

    #[test]
    fn states_are_written_as_they_are_typed() {
        for state in RequestState::value_variants() {
            let typed = state.to_possible_value().unwrap();
            assert_eq!(typed.get_name(), state.word());
        }
    }

    #[test]
    fn spans_have_a_number_and_a_unit() {
        for (text, expected) in [("1s", 1), ("10m", 600), ("2h", 7200), ("7d", 604_800)] {
            assert_eq!(seconds(text), Ok(expected));
        }
        for bad in ["", "m", "10", "-1m", "1w", "1é", "99999999999999999999d"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
