//! The tamper-evident log, as the API shows it. Hashes are lower-case hexadecimal; a leaf's number
//! counts from 0.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Checkpoints, the smallest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckpointsOut {
    /// Signed notes (C2SP tlog-checkpoint).
    pub checkpoints: Vec<String>,
    /// What to give as `after` for more; none at the end.
    pub next: Option<u64>,
}

/// Proof that an event is in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InclusionOut {
    /// The event's number in the log.
    pub index: u64,
    /// The leaf's bytes.
    pub leaf: String,
    /// The checkpoint that the proof leads to.
    pub checkpoint: String,
    /// Hashes of siblings, from the leaf upwards (RFC 6962, section 2.1.1).
    pub proof: Vec<String>,
}

/// Proof that one checkpoint's tree is the beginning of another's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsistencyOut {
    /// The size of the smaller tree.
    pub old: u64,
    /// The size of the larger tree.
    pub new: u64,
    /// Hashes (RFC 6962, section 2.1.2).
    pub proof: Vec<String>,
}
