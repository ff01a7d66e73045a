//! The tamper-evident log over the ledger's events: leaves, tree, proofs, signed checkpoints, and
//! the search for the first event that was tampered with.
//!
//! Pure: bytes in, bytes out. It reads no clock, no file and no database; whoever calls it brings
//! the hashes ([`Subtrees`]) and the lines of an export. What is hashed is in [`Leaf`], how in
//! [`Hash`] and [`Tree`] (RFC 6962, section 2.1), what is signed in [`Checkpoint`] (C2SP
//! tlog-checkpoint and signed-note).

pub mod bundle;
mod checkpoint;
mod hash;
mod key;
mod leaf;
mod line;
mod note;
mod proof;
mod tree;
mod verify;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use hash::Hash;
pub use key::{KeyError, PublicKey, SecretKey};
pub use leaf::{Leaf, READINGS};
pub use line::{Line, LineError};
pub use note::{Note, NoteError, Signature};
pub use proof::{
    Subtrees, consistency_proof, inclusion_proof, root_of, verify_consistency, verify_inclusion,
};
pub use tree::Tree;
pub use verify::{Report, Tampering, Verifier};
