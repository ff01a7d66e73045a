//! How the ways of telling people stand: what administrators' tools read and post.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// All channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotificationsOut {
    /// In the order of the configuration.
    pub channels: Vec<ChannelOut>,
}

/// How the deliveries of one channel stand, over the last thirty days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelOut {
    /// Its name.
    pub channel: String,
    /// `webhook`, `slack`, `teams`, `email` or `syslog`.
    pub kind: String,
    /// How many have arrived.
    pub delivered: i64,
    /// How many are tried, or will be.
    pub pending: i64,
    /// How many were given up.
    pub failed: i64,
    /// Since when the oldest is pending.
    pub oldest_pending: Option<DateTime<Utc>>,
    /// How the last attempt ended of what has not arrived.
    pub last_problem: Option<String>,
}

/// A wish for a test message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestIn {
    /// The channel's name.
    pub channel: String,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestOut {
    /// Whether the receiver took it.
    pub delivered: bool,
    /// What happened, in words.
    pub said: String,
}
