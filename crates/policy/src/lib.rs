//! Policy: facts and rules in, verdict out.
//!
//! Pure: no I/O, no clock, no environment, so the same facts under the same policy always get
//! the same verdict, and a recorded push can be judged again. (Files are read by whoever calls, and
//! handed in as text.) The most restrictive rule wins,
//! and the order of rules never matters. Who may call it: the service, and whatever replays.

mod approval;
mod evaluate;
mod glob;
mod grants;
mod index;
mod lookalike;
mod owners;
mod parse;
mod rule;
mod secrets;
mod token_scope;
mod units;
mod verdict;
mod view;
mod warnings;
mod when;

pub use approval::{Barred, Tally, address, barred, co_authors, is_listed, tally};
pub use evaluate::{Push, RecentPushes, Silent, describe_finding, evaluate, silent};
pub use glob::{Glob, GlobError};
pub use grants::{Grantable, grantable};
pub use parse::{Policy, PolicyError, ReadNamed};
pub use rule::{
    Asks, Effect, Forbid, Limits, Pattern, Quorum, Require, Rule, Scope, SecretLimit, Who,
};
pub use secrets::{Scanning, SecretAllow, SecretOwner, acquittal, longest_exception, owners_of};
pub use token_scope::{ScopeError, Scopes, TokenScope, Verb};
pub use verdict::{Bind, Bypass, Denial, RefOutcome, RefVerdict, Requirement, Spoken, Verdict};
pub use view::{Masking, PlaceholderMove, Reading, RefFilter, See, ViewRule, Views};
pub use warnings::Warning;
