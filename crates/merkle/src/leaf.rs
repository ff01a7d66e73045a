//! What of an event is hashed.
//!
//! One line of JSON, always the same bytes for the same event: the members of [`Leaf`] in this
//! order, none left out, no white space, strings in UTF-8 with only `"`, `\` and control
//! characters escaped (`\b \t \n \f \r`, else `\u00xx` in lower case), times in UTC with six
//! digits behind the second. `v` is raised whenever any of this changes.

use chrono::{DateTime, SecondsFormat, Utc};
use refwarden_model::bytes::ByteText;
use serde::Serialize;
use uuid::Uuid;

/// The stream of readings of the records, which belong to no repository.
pub const READINGS: Uuid = Uuid::nil();

/// An event as it is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leaf<'a> {
    /// The form of the leaf; 1.
    pub v: u8,
    /// The repository's id, or [`READINGS`].
    pub stream: Uuid,
    /// The event's number in the stream, from 1 without gaps.
    pub seq: i64,
    /// When it was recorded.
    #[serde(serialize_with = "micros")]
    pub at: DateTime<Utc>,
    /// For example `push.denied`.
    pub kind: &'a str,
    /// Who did it.
    pub actor: &'a str,
    /// The push.
    pub push: Option<Uuid>,
    /// The request.
    pub request: Option<&'a str>,
    /// The ref.
    #[serde(rename = "ref")]
    pub ref_name: Option<ByteText>,
    /// Value before.
    pub old: Option<&'a str>,
    /// Value after.
    pub new: Option<&'a str>,
    /// Codes that were shown.
    pub codes: &'a [String],
    /// One sentence.
    pub summary: &'a str,
    /// SHA-256 over the records that belong to the event, in hexadecimal.
    pub records: Option<&'a str>,
}

impl Leaf<'_> {
    /// The bytes that are hashed.
    pub fn to_json(&self) -> String {
        // Strings and numbers only: there is nothing in it that could fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn micros<S: serde::Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_fixed() {
        let leaf = Leaf {
            v: 1,
            stream: READINGS,
            seq: 3,
            at: DateTime::from_timestamp_micros(1_700_000_000_000_001).unwrap(),
            kind: "ref.committed",
            actor: "a \"b\"\n\u{1f}\u{e9}",
            push: None,
            request: Some("8FZK2"),
            ref_name: Some(ByteText::new(b"refs/\xff".to_vec())),
            old: None,
            new: Some("00"),
            codes: &["RW201".to_owned()],
            summary: "",
            records: None,
        };
        assert_eq!(
            leaf.to_json(),
            concat!(
                r#"{"v":1,"stream":"00000000-0000-0000-0000-000000000000","seq":3,"#,
                r#""at":"2023-11-14T22:13:20.000001Z","kind":"ref.committed","#,
                r#""actor":"a \"b\"\n\u001fé","push":null,"request":"8FZK2","#,
                r#""ref":{"base64":"cmVmcy//"},"old":null,"new":"00","codes":["RW201"],"#,
                r#""summary":"","records":null}"#
            )
        );
    }
}
