//! The report as SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format").
//!
//! Columns count code points and are given where the whole text was at hand; byte offsets are
//! among the properties. Fingerprints are part of it only when they are keyed: reports of this
//! kind are handed around, and a fingerprint under a key that everybody knows lets anybody try
//! out guesses.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use refwarden_scan::{Rule, Severity};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::Result;
use super::engine::Engine;
use super::found::{Found, Place, Spot, Status, short};
use super::json::checksum;
use super::tally::Fault;
use crate::failure::Outcome;
use crate::output::Lines;

/// Where the schema is published.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Prints one document, result by result: a million of them need not be held as text.
pub fn print(result: &Result, engine: &Engine, is_keyed: bool) -> Outcome<()> {
    let rules = descriptors(result, engine);
    let ids = rules.iter().filter_map(|rule| rule.get("id")?.as_str());
    let index = ids.map(str::to_owned).zip(0..).collect();
    let run = Run {
        result,
        engine,
        rules,
        index,
        is_keyed,
    };
    let document = Document {
        schema: SCHEMA,
        version: "2.1.0",
        runs: [run],
    };
    let mut out = Lines::new();
    out.json(&document)?;
    out.finish()
}

#[derive(Serialize)]
struct Document<'d> {
    #[serde(rename = "$schema")]
    schema: &'d str,
    version: &'d str,
    runs: [Run<'d>; 1],
}

struct Run<'d> {
    result: &'d Result,
    engine: &'d Engine,
    /// What results refer to.
    rules: Vec<Value>,
    index: BTreeMap<String, usize>,
    is_keyed: bool,
}

impl Serialize for Run<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let ruleset = self.engine.ruleset();
        let tally = &self.result.tally;
        let faults: Vec<Value> = tally.faults.iter().map(fault).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(
            "tool",
            &json!({"driver": {
                "name": "Refwarden",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": self.rules,
                "properties": {"ruleset": ruleset.id().as_str()},
            }}),
        )?;
        map.serialize_entry("columnKind", "unicodeCodePoints")?;
        map.serialize_entry(
            "invocations",
            &json!([{
                "executionSuccessful": faults.is_empty(),
                "exitCode": self.result.code(),
                "toolExecutionNotifications": faults,
            }]),
        )?;
        map.serialize_entry(
            "properties",
            &json!({
                "filesScanned": tally.files,
                "commitsScanned": tally.commits,
                "tagsScanned": tally.tags,
                "bytesScanned": tally.bytes,
                "findingsNotListed": tally.cut,
            }),
        )?;
        map.serialize_entry("results", &Results(self))?;
        map.end()
    }
}

struct Results<'d>(&'d Run<'d>);

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Self(run) = self;
        serializer.collect_seq(run.result.tally.found.iter().map(|found| {
            let index = run.index.get(&*found.rule).copied();
            finding(found, index, run.is_keyed)
        }))
    }
}

/// One for each rule, those of a `gitleaks.toml` too, and for each reason for which something could
/// not be searched.
fn descriptors(result: &Result, engine: &Engine) -> Vec<Value> {
    let ruleset = engine.ruleset();
    let mut all: Vec<Value> = ruleset.rules().map(rule).collect();
    all.extend(ruleset.gitleaks_rules().map(|it| {
        // A text must not be empty.
        let text = if it.description.is_empty() {
            it.id
        } else {
            it.description
        };
        json!({
            "id": it.id,
            "shortDescription": {"text": text},
            "properties": {"tags": it.tags},
        })
    }));
    let unread = result.tally.found.iter().filter(|it| it.is_unread);
    let unread: BTreeMap<&str, Severity> = unread.map(|it| (&*it.rule, it.severity)).collect();
    all.extend(unread.into_iter().map(|(id, severity)| {
        json!({
            "id": id,
            "shortDescription": {"text": "Something could not be searched for secrets."},
            "defaultConfiguration": {"level": level(severity)},
        })
    }));
    all
}

fn rule(rule: &Rule) -> Value {
    let mut value = json!({
        "id": rule.id(),
        "shortDescription": {"text": rule.description()},
        "defaultConfiguration": {"level": level(rule.severity())},
        "properties": {
            "provider": rule.provider(),
            "precision": rule.confidence().to_string(),
            "security-severity": score(rule.severity()),
            "tags": ["security"],
        },
    });
    if let Ok(source) = url::Url::parse(rule.source())
        && let Some(value) = value.as_object_mut()
    {
        value.insert("helpUri".into(), source.as_str().into());
    }
    value
}

fn finding(found: &Found, index: Option<usize>, is_keyed: bool) -> Value {
    let mut region = Map::new();
    let is_here = !found.is_contained() && !found.is_unread;
    if is_here {
        region.insert("startLine".into(), found.line.into());
    }
    if let Some(column) = found.text_column {
        region.insert("startColumn".into(), column.into());
    }
    let mut value = json!({
        "ruleId": &*found.rule,
        "level": level(found.severity),
        "message": {"text": message(found)},
        "locations": [location(&found.spot, is_here.then_some(region))],
        "properties": {
            "place": found.spot.place.name(),
            "preview": found.preview,
            "confidence": found.confidence.to_string(),
            "checksum": checksum(found.checksum),
            "byteOffset": found.span.start,
            "byteLength": found.span.end - found.span.start,
            "line": found.line,
            "column": found.column,
            "via": found.via,
            "object": found.spot.object.map(|oid| oid.to_string()),
            "commit": found.spot.commit.map(|oid| oid.to_string()),
            "laterVersions": found.versions,
        },
    });
    let Some(object) = value.as_object_mut() else {
        return value;
    };
    if let Some(index) = index {
        object.insert("ruleIndex".into(), index.into());
    }
    if is_keyed {
        let fingerprint = found.fingerprint.to_string();
        object.insert(
            "partialFingerprints".into(),
            json!({"refwardenSecret/v1": fingerprint}),
        );
    }
    let why = match found.status {
        Status::New | Status::Noted => return value,
        Status::Known => "Its fingerprint stands in the baseline.",
        Status::Ignored => "A .gitleaksignore names its place.",
        Status::PreExisting => "It stood in the same file before.",
    };
    object.insert(
        "suppressions".into(),
        json!([{"kind": "external", "justification": why}]),
    );
    value
}

fn message(found: &Found) -> String {
    let layers = found.via.concat();
    if found.is_unread {
        return format!("{} {layers}", found.description);
    }
    let mut text = format!("{}: {}", found.description, found.preview);
    if !layers.is_empty() {
        let _ = write!(text, ", in {layers}");
    }
    if let Some(commit) = found.spot.commit {
        let _ = write!(text, ", came in with commit {}", short(commit));
    }
    text + ". Revoke it if anybody else may have seen it, and take it out."
}

fn fault(fault: &Fault) -> Value {
    json!({
        "level": "error",
        "message": {"text": format!("could not be scanned: {}", fault.problem)},
        "locations": [location(&fault.spot, None)],
    })
}

/// A file is a physical location; everything else has a name only.
fn location(spot: &Spot, region: Option<Map<String, Value>>) -> Value {
    match (&spot.path, spot.place) {
        (Some(path), Place::File | Place::Blob | Place::Path) => {
            let mut physical = json!({"artifactLocation": {"uri": uri(path)}});
            let region = region.filter(|_| spot.place != Place::Path);
            if let (Some(region), Some(physical)) = (region, physical.as_object_mut()) {
                physical.insert("region".into(), region.into());
            }
            json!({"physicalLocation": physical})
        }
        _ => json!({"logicalLocations": [{
            "fullyQualifiedName": spot.name(),
            "kind": spot.place.name(),
        }]}),
    }
}

/// A path as a URI reference (RFC 3986): everything but unreserved characters and slashes is
/// percent-encoded, bytes that are no UTF-8 too.
fn uri(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    if path.starts_with(b"/") {
        text.push_str("file://");
    }
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

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}

/// On the scale of CVSS, which code hosts show.
fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        for (path, expected) in [
            (&b"a/b.txt"[..], "a/b.txt"),
            (b"/abs x", "file:///abs%20x"),
            (b"caf\xe9:%", "caf%E9%3A%25"),
            ("ü".as_bytes(), "%C3%BC"),
        ] {
            assert_eq!(uri(path), expected);
        }
    }
}
