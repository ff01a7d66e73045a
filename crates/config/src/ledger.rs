//! The section `[ledger]` of `refwarden.toml`: the tamper-evident log.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How the tamper-evident log is signed, and where its checkpoints are kept besides the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// File of the Ed25519 key (PKCS#8, DER) that signs checkpoints; made when it is missing.
    pub signing_key: PathBuf,
    /// The log's name, which stands in each checkpoint: a URL without scheme. From the service's
    /// `public_url`, with `/log` at its end, if not given. It stays what it was once.
    pub origin: Option<String>,
    /// Directory, best on another machine's file system, for checkpoints and hashes of events.
    pub second_place: PathBuf,
    /// Seconds between checkpoints while events come in; 1 to 60.
    pub checkpoint_seconds: u32,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            signing_key: "ledger-signing.key".into(),
            origin: None,
            second_place: "checkpoints".into(),
            checkpoint_seconds: 5,
        }
    }
}
