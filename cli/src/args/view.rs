//! The arguments of `refwarden view` and `refwarden map` as typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use refwarden_wire::hook::{MaskedView, RefFilter};

/// `refwarden view`.
#[derive(Args)]
pub struct View {
    /// What to do.
    #[command(subcommand)]
    pub command: ViewCommand,
}

/// The commands of `refwarden view`.
#[derive(Subcommand)]
pub enum ViewCommand {
    /// Builds a repository that holds another history, in which no secret stands.
    Build(ViewOf),
    /// Lists the views of a cache.
    List(ViewList),
    /// Builds a view unless it is as the repository is now.
    Refresh(ViewOf),
    /// Says what a view holds.
    Show(ViewOf),
    /// Takes a view away.
    Drop(ViewOf),
}

/// Which view of which repository.
#[derive(Args)]
#[command(after_help = "\
The proxy makes the views that policy gives to readers by itself, in the cache that refwarden.toml
names under [proxy.views]: name that cache, key and rules here to see them. The key of placeholders
is made in the cache on the first build; keep it elsewhere with --key, since another key gives
another history.

Examples:
  refwarden view build /srv/git/app.git
  refwarden view show /srv/git/app.git --json
  refwarden view drop /srv/git/app.git

Exit codes: 0 done; 1 there is no such view; 2 an error.")]
pub struct ViewOf {
    /// The repository.
    pub repository: PathBuf,
    #[command(flatten)]
    pub what: ViewArgs,
}

/// What a view is made with.
#[derive(Args)]
pub struct ViewArgs {
    /// Directory of views; it may be deleted at any time.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "refwarden-views",
        env = "REFWARDEN_VIEW_CACHE"
    )]
    pub cache: PathBuf,
    /// File of rules, besides the built-in ones; may be given more than once.
    #[arg(long, value_name = "FILE")]
    pub rules: Vec<PathBuf>,
    /// File with the key of placeholders, 64 hexadecimal digits; CACHE/key if not given.
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Mask what generic rules find, too.
    #[arg(long)]
    pub generic: bool,
    /// Refs that the view has, as a glob over full names; all if not given. May be given again.
    #[arg(long, value_name = "GLOB")]
    pub refs: Vec<String>,
    /// Refs that the view does not have. May be given again.
    #[arg(long, value_name = "GLOB")]
    pub hide: Vec<String>,
    /// The view as the service words it, in JSON; what the proxy says.
    #[arg(long, value_name = "JSON", hide = true, value_parser = masked_view,
        conflicts_with_all = ["generic", "refs", "hide"])]
    pub view: Option<MaskedView>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

fn masked_view(text: &str) -> Result<MaskedView, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl ViewArgs {
    /// What the view is made of.
    pub fn masked(&self) -> MaskedView {
        self.view.clone().unwrap_or_else(|| MaskedView {
            generic: self.generic,
            rules: Vec::new(),
            filters: vec![RefFilter {
                refs: self.refs.clone(),
                hide: self.hide.clone(),
            }],
            may_move: false,
        })
    }
}

/// `refwarden view list`.
#[derive(Args)]
#[command(after_help = "\
Example:
  refwarden view list --json

Exit codes: 0 listed; 2 an error.")]
pub struct ViewList {
    /// Directory of views.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "refwarden-views",
        env = "REFWARDEN_VIEW_CACHE"
    )]
    pub cache: PathBuf,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// `refwarden map`.
#[derive(Args)]
#[command(after_help = "\
Takes the name of a commit or tag on either side, 7 digits of it at least. Names of the original
are not for those who read the view.

Example:
  refwarden map 1a2b3c4d --repository /srv/git/app.git

Exit codes: 0 found; 1 not found; 2 an error.")]
pub struct Map {
    /// The commit or tag, whole or abbreviated.
    pub oid: String,
    /// The repository.
    #[arg(long, value_name = "REPO")]
    pub repository: PathBuf,
    #[command(flatten)]
    pub what: ViewArgs,
}
