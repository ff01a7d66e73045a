//! The section `[packs]` of `refwarden.toml`: to whom packs are sealed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How packs are kept. Without recipients they are kept in the clear.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Packs {
    /// age recipients (`age1…`), each of whose identities opens every pack.
    pub recipients: Vec<String>,
    /// A file with further recipients, one a line; empty lines and lines that begin with `#` are
    /// skipped.
    pub recipients_file: Option<PathBuf>,
}
