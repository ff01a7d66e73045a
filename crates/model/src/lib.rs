//! The words of the project as types: object ids, ref names, actors, and the *facts* that were
//! learned about a push.
//!
//! Everything here is plain data, parsed at the door and never checked again deeper in. This
//! crate does no I/O, starts nothing, and depends on no other crate of the workspace.

pub mod actor;
pub mod bytes;
pub mod code;
pub mod facts;
pub mod ids;
pub mod oid;
pub mod oidset;
pub mod refname;
pub mod rules;

pub use actor::{Actor, ActorChain, ActorKind};
pub use bytes::ByteText;
pub use code::Code;
pub use ids::{FetchId, PushId, RepositoryId, RequestId};
pub use oid::{ObjectFormat, Oid};
pub use refname::RefName;
