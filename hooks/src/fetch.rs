//! Fetches: what was asked for and what was sent is on record before the client has all of it.
//!
//! [`record`] runs in place of `git pack-objects` wherever `upload-pack` is served (git's
//! `uploadpack.packObjectsHook`), so it sees what the negotiation came to, in every version of the
//! protocol and over HTTP and SSH alike, and no client can speak to it. It notes the question
//! durably, lets git make the pack, passes it on, and keeps a copy beside. [`send`] learns from the
//! copy which objects that were and tells the service, after the client has been served.
//!
//! What it deliberately does not do: it looks at no object, decides nothing, and holds up no fetch
//! for a service that is away.

mod asked;
mod entry;
mod objects;
mod record;
mod send;
mod tee;

pub use record::record;
pub use send::{send, waiting};

use std::path::{Path, PathBuf};

/// Where the fetches of a host wait.
fn directory(spool: &Path) -> PathBuf {
    spool.join("fetches")
}
