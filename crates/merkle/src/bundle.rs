//! Evidence bundles: events with proofs, what belongs to them, packs and a signed manifest in one
//! file, which is checked without the service and its database.
//!
//! A bundle is a tar archive (POSIX ustar) with these files, in this order:
//!
//! - `checkpoint`: the signed checkpoint that the proofs lead to;
//! - `events/N.jsonl`: at most 1000 events each, one [`Event`] a line;
//! - `records/INDEX`: what belongs to an event, of which its leaf holds the SHA-256;
//! - `packs/DIGEST.pack`, or `….pack.age` where it is sealed;
//! - `manifest.json`: [`Manifest`];
//! - `manifest.note`: a signed note over the manifest's SHA-256.
//!
//! There is one way to write given files, and [`check`] accepts no other: no byte of a bundle can
//! be changed unseen. Whether a period's bundle has *all* events of it is not proved: numbers of
//! events without gaps, and `audit verify` over the whole log, tell that.

mod check;
mod manifest;
mod tar;
mod write;

pub use check::{BundleReport, Opener, check};
pub use manifest::{Event, File, Manifest, Pack};
pub use write::Writer;
