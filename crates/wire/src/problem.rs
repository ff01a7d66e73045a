//! What an error looks like on the wire (RFC 9457, problem details).

use refwarden_model::Code;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of every answer that is not a success, as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// One fixed sentence for outsiders: what, and what to do next.
    pub title: String,
    /// The stable code, where the error has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "RW103")]
    pub code: Option<Code>,
    /// The id under which the service's log tells the rest.
    pub event: String,
}
