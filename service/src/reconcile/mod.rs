//! The ledger held against the refs. The service opens no repository: a process on the Git host
//! (`refwarden reconcile`) reads the refs, and says where they are not where the ledger has them.
//!
//! A push in flight is not out of band. The host compares with the fold at one event number; what
//! is reported of a ref is taken only if, under the repository's lock, no event since has been
//! about that ref and no push is about to move it. Whatever is left alone is looked at again.

mod fold;
mod health;
mod record;

pub use fold::{State, fold};
pub use health::health;
pub use record::{ledger, reconcile};
