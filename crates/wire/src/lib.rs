//! The HTTP contract between hooks, proxy, command line and service: types and paths, no
//! behaviour.
//!
//! Two audiences: [`hook`], [`fetch`], [`reconcile`] and [`ssh`] are what a Git host sends with its host credential;
//! [`api`] and [`exposure`] are what people's tools read and post with a token. A name ending in `In` is sent to the
//! service, one ending in `Out` comes back.

pub mod api;
pub mod exposure;
pub mod fetch;
pub mod hook;
pub mod log;
pub mod notify;
pub mod problem;
pub mod reconcile;
pub mod ssh;

pub use problem::Problem;
