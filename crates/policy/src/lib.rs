//! Policy: facts and rules in, verdict out.
//!
//! Pure: no I/O, no clock, no environment, so the same facts under the same policy always get
//! the same verdict, and a recorded push can be judged again. The most restrictive rule wins,
//! and the order of rules never matters. Who may call it: the service, and whatever replays.

mod approval;
mod evaluate;
mod glob;
mod parse;
mod token_scope;
mod verdict;

pub use approval::{Barred, Tally, barred, is_listed, tally};
pub use evaluate::evaluate;
pub use glob::{Glob, GlobError};
pub use parse::{Effect, Policy, PolicyError, Rule};
pub use token_scope::{Scope, ScopeError, Scopes, Verb};
pub use verdict::{Denial, RefOutcome, RefVerdict, Requirement, Spoken, Verdict};
