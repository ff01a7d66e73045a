//! Common Event Format ("Implementing `ArcSight` Common Event Format", version 26):
//! `CEF:0|vendor|product|version|kind|name|severity|extension`.
//!
//! Vertical bars and backslashes are escaped in the header, equals signs, backslashes and line
//! ends in the extension. Line ends in the header become spaces: it has no way to write them.

use std::fmt::Write as _;

use super::{is_alarming, is_refusal, name, ref_name};
use crate::db::events::Event;

pub fn line(out: &mut String, event: &Event, repository: &str) {
    let severity = match (is_alarming(event), is_refusal(event)) {
        (true, _) => 8,
        (_, true) => 5,
        _ => 2,
    };
    let version = env!("CARGO_PKG_VERSION");
    let kind = header(&event.kind);
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "CEF:0|Refwarden|Refwarden|{version}|{kind}|{kind}|{severity}|"
    );
    let _ = write!(out, "rt={}", event.recorded_at.timestamp_millis());
    let outcome = if is_refusal(event) {
        "failure"
    } else {
        "success"
    };
    let id = |id: Option<String>| id.unwrap_or_default();
    for (key, value) in [
        ("externalId", name(event)),
        ("suser", event.actor.clone()),
        ("outcome", outcome.to_owned()),
        ("msg", event.summary.clone()),
        ("cs1Label", "repository".to_owned()),
        ("cs1", repository.to_owned()),
        ("cs2Label", "ref".to_owned()),
        ("cs2", ref_name(event)),
        ("cs3Label", "old".to_owned()),
        ("cs3", id(event.old_oid.clone())),
        ("cs4Label", "new".to_owned()),
        ("cs4", id(event.new_oid.clone())),
        ("cs5Label", "push".to_owned()),
        ("cs5", id(event.push_id.map(|it| it.to_string()))),
        ("cs6Label", "codes".to_owned()),
        ("cs6", event.codes.join(" ")),
    ] {
        let _ = write!(out, " {key}={}", extension(&value));
    }
    out.push('\n');
}

fn header(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('|', "\\|");
    text.replace(['\n', '\r'], " ")
}

fn extension(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('=', "\\=");
    text.replace('\n', "\\n").replace('\r', "\\r")
}
