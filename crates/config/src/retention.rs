//! The section `[retention]` of `refwarden.toml`: how long packs are kept.

use serde::{Deserialize, Serialize};

/// What is deleted by itself. Records, hashes and leaves of the log always stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days after which the file of a pack is deleted, counted from when the pack came last;
    /// 1 or more. Packs are kept for ever if it is not given.
    pub packs_days: Option<std::num::NonZeroU16>,
}
