//! The section `[fetches]` of `refwarden.toml`: of whose fetches the packs are kept.

use serde::{Deserialize, Serialize};

/// What is kept of fetches. Who was sent which objects is always on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fetches {
    /// Readers whose packs are kept as they were sent: entries such as `kind:agent`, `kind:human`,
    /// `group:contractors` or `user:ada`. Empty: nobody's.
    #[serde(deserialize_with = "super::checked::actors")]
    pub keep: Vec<String>,
}

impl Default for Fetches {
    fn default() -> Self {
        Self {
            keep: vec!["kind:agent".to_owned()],
        }
    }
}
