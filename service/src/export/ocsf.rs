//! Open Cybersecurity Schema Framework 1.3.0 (schema.ocsf.io/1.3.0), class Entity Management
//! (3004) of category Identity and Access Management (3): somebody did something to a ref or to a
//! repository. The class's required attributes are all there, and what has no place in it is in
//! `unmapped`. Who did it has a place only in the profile `host`, which each event therefore names.

use serde_json::{Value, json};

use super::{is_alarming, is_refusal, name, ref_name};
use crate::db::events::Event;

const VERSION: &str = "1.3.0";
const CATEGORY: u64 = 3;
const CLASS: u64 = 3004;
/// A kind of entity that the schema has no number for: `type` says which.
const OTHER_ENTITY: u64 = 99;
/// Activities of the class: create, update, delete, other.
const CREATE: u64 = 1;
const UPDATE: u64 = 3;
const DELETE: u64 = 4;
const OTHER: u64 = 99;

pub fn line(out: &mut String, event: &Event, repository: &str) {
    let (activity, activity_name) = activity(event);
    let (severity, severity_name) = match (is_alarming(event), is_refusal(event)) {
        (true, _) => (4, "High"),
        (_, true) => (3, "Medium"),
        _ => (1, "Informational"),
    };
    let (status, status_name) = if is_refusal(event) {
        (2, "Failure")
    } else {
        (1, "Success")
    };
    let ref_name = ref_name(event);
    let entity = if ref_name.is_empty() {
        json!({"type_id": OTHER_ENTITY, "type": "repository", "name": repository,
            "uid": event.repository_id})
    } else {
        json!({"type_id": OTHER_ENTITY, "type": "ref", "name": ref_name,
            "uid": format!("{repository} {ref_name}")})
    };
    let mut value = json!({
        "activity_id": activity,
        "activity_name": activity_name,
        "category_uid": CATEGORY,
        "category_name": "Identity & Access Management",
        "class_uid": CLASS,
        "class_name": "Entity Management",
        "type_uid": CLASS * 100 + activity,
        "severity_id": severity,
        "severity": severity_name,
        "status_id": status,
        "status": status_name,
        "status_detail": some(event.codes.join(" ")),
        "time": event.recorded_at.timestamp_millis(),
        "message": event.summary,
        "actor": {"user": {"name": event.actor}},
        "entity": entity,
        "metadata": {
            "version": VERSION,
            "profiles": ["host"],
            "product": {
                "name": "Refwarden",
                "vendor_name": "Refwarden",
                "version": env!("CARGO_PKG_VERSION"),
            },
            "uid": name(event),
            "event_code": event.kind,
            "sequence": event.seq,
            "correlation_uid": event.push_id,
        },
        "unmapped": {
            "repository": repository,
            "old": event.old_oid,
            "new": event.new_oid,
            "request": event.request_id,
        },
    });
    drop_nulls(&mut value);
    out.push_str(&value.to_string());
    out.push('\n');
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// What is not known is left out: no type of the schema has null.
fn drop_nulls(value: &mut Value) {
    if let Some(object) = value.as_object_mut() {
        object.retain(|_, member| !member.is_null());
        object.values_mut().for_each(drop_nulls);
    }
}

/// What was done to the ref; everything that moved none is something else, and is named.
fn activity(event: &Event) -> (u64, &str) {
    let is_zero = |oid: &Option<String>| {
        let oid = oid.as_deref().unwrap_or_default();
        !oid.is_empty() && oid.bytes().all(|byte| byte == b'0')
    };
    if !matches!(event.kind.as_str(), "ref.committed" | "ref.out_of_band") {
        (OTHER, &event.kind)
    } else if is_zero(&event.new_oid) {
        (DELETE, "Delete")
    } else if is_zero(&event.old_oid) {
        (CREATE, "Create")
    } else {
        (UPDATE, "Update")
    }
}
