//! Read-only access to repositories, pkt-lines, and the one place that starts `git`.
//!
//! Nothing here writes to a repository. Names and paths are bytes. What cannot be read is an
//! error and never an empty answer: a hook that mistakes "could not open" for "nothing there"
//! lets a push through unscanned.
//!
//! Who may call it: hooks, proxy, command line, and the crate that rewrites history.

pub mod checkout;
pub mod command;
pub mod history;
pub mod introduced;
pub mod objects;
pub mod pack;
pub mod packidx;
pub mod pktline;
pub mod quarantine;
pub mod refs;
pub mod served;
pub mod settings;
pub mod shadow;
pub mod signatures;

#[cfg(test)]
mod testing;

pub use checkout::Checkout;
pub use command::{Git, GitError, ObjectEnv, Process};
pub use quarantine::Quarantine;
pub use refs::Refs;
pub use settings::{RefStorage, Repository};
