//! SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"): one run, one result for each
//! finding of the pushes, with its redacted preview and its fingerprint, which is keyed by the
//! installation.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{name, time};
use crate::db::events::Event;
use crate::db::records::Finding;

/// Where the schema is published.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Everything up to the first result.
pub fn begin(out: &mut String) {
    let tool = json!({"driver": {
        "name": "Refwarden",
        "semanticVersion": env!("CARGO_PKG_VERSION"),
    }});
    // Writing to a string does not fail.
    let _ = write!(
        out,
        r#"{{"$schema":"{SCHEMA}","version":"2.1.0","runs":[{{"tool":{tool},"results":["#
    );
}

/// One result.
pub fn result(out: &mut String, event: &Event, repository: &str, found: &Finding) {
    let mut value = json!({
        "ruleId": found.rule_id,
        "level": "error",
        "message": {"text": format!("{} in a push to {repository}", found.redacted)},
        "locations": [location(found)],
        "partialFingerprints": {"refwardenSecret/v1": found.fingerprint},
        "properties": {
            "repository": repository,
            "event": name(event),
            "kind": event.kind,
            "actor": event.actor,
            "time": time(event),
            "push": event.push_id,
            "object": found.object_oid,
            "commit": found.commit_oid,
            "column": found.column_,
        },
    });
    if let Some(value) = value.as_object_mut().filter(|_| found.pre_existing) {
        let why = "It stood in the same file before.";
        value.insert(
            "suppressions".into(),
            json!([{"kind": "external", "justification": why}]),
        );
    }
    out.push_str(&value.to_string());
}

/// A file is a physical location; everything else has a name only.
fn location(found: &Finding) -> Value {
    let Some(path) = &found.path else {
        let name = found.object_oid.as_deref().unwrap_or(&found.place);
        return json!({"logicalLocations": [{"fullyQualifiedName": name, "kind": found.place}]});
    };
    let mut physical = json!({"artifactLocation": {"uri": uri(path)}});
    if let Some(physical) = physical.as_object_mut().filter(|_| found.line >= 1) {
        physical.insert("region".into(), json!({"startLine": found.line}));
    }
    json!({"physicalLocation": physical})
}

/// A path as a URI reference (RFC 3986): all but unreserved characters and slashes is encoded.
fn uri(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for &byte in path {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}
