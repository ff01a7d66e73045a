//! Each format, read back, with everything that a pusher can choose.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Format, Writer};
use crate::db::events::Event;
use crate::db::records::Finding;

fn hostile() -> Event {
    Event {
        repository_id: Uuid::from_u128(1),
        seq: 7,
        recorded_at: DateTime::<Utc>::from_timestamp_micros(1_767_225_600_123_456).unwrap(),
        kind: "push.denied".into(),
        actor: "=cmd|'/c calc'!A1 \\ \"x\"\r\nsecond=line|".into(),
        push_id: Some(Uuid::from_u128(2)),
        request_id: None,
        ref_name: Some(b"=refs/heads/\xff\n|a=b\"\\,\t\x1b[31m".to_vec()),
        old_oid: Some("0".repeat(40)),
        new_oid: Some("a".repeat(40)),
        codes: vec!["RW301".into(), "RW201".into()],
        summary: "\tRefused: a|b = c\nnext \\ \u{2028}".into(),
    }
}

fn written(format: Format, events: &[Event], findings: &[Finding]) -> String {
    let mut writer = Writer::new(format);
    let mut out = String::new();
    writer.begin(&mut out);
    for event in events {
        if format.is_of_findings() {
            for finding in findings {
                writer.finding(&mut out, event, "-app", finding);
            }
        } else {
            writer.event(&mut out, event, "-app");
        }
    }
    writer.end(&mut out);
    out
}

/// A reader of RFC 4180, which has quoted cells only.
fn cells(text: &str) -> Vec<Vec<String>> {
    let mut rows = vec![vec![]];
    let mut rest = text;
    while let Some(after) = rest.strip_prefix('"') {
        let (mut cell, mut left) = (String::new(), after);
        loop {
            let end = left.find('"').unwrap();
            cell.push_str(&left[..end]);
            left = &left[end + 1..];
            match left.strip_prefix('"') {
                Some(more) => {
                    cell.push('"');
                    left = more;
                }
                None => break,
            }
        }
        rows.last_mut().unwrap().push(cell);
        rest = if let Some(next) = left.strip_prefix(',') {
            next
        } else {
            rows.push(vec![]);
            left.strip_prefix("\r\n").unwrap()
        };
    }
    assert_eq!(rest, "");
    rows.pop();
    rows
}

#[test]
fn csv_has_one_row_each_and_no_formulas() {
    let plain = Event {
        actor: "ada".into(),
        ref_name: None,
        push_id: None,
        ..hostile()
    };
    let rows = cells(&written(Format::Csv, &[hostile(), plain], &[]));
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    assert_eq!(rows[0][..4], ["time", "repository", "event", "kind"]);
    assert_eq!(rows[1][0], "2026-01-01T00:00:00.123456Z");
    assert_eq!(rows[1][1], "'-app");
    assert_eq!(rows[1][4], format!("'{}", hostile().actor));
    assert_eq!(rows[1][5], r#"'=refs/heads/\xff\x0a|a=b"\\,\x09\x1b[31m"#);
    assert_eq!(rows[1][10], "RW301 RW201");
    assert_eq!(rows[1][11], format!("'{}", hostile().summary));
    assert_eq!(rows[2][4], "ada");
    assert_eq!(rows[2][5], "");
    for cell in rows.iter().flatten() {
        let first = cell.chars().next().unwrap_or('x');
        assert!(!"=+-@\t\r\n".contains(first), "{cell:?}");
    }
}

#[test]
fn json_lines_are_those_of_the_api() {
    let text = written(Format::Jsonl, &[hostile(), hostile()], &[]);
    let lines: Vec<refwarden_wire::api::EventOut> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], crate::api::event_out(hostile(), "-app".into()));
}

/// The reverse of the extension's escapes.
fn extension(line: &str) -> Vec<(String, String)> {
    let (mut key, mut value, mut pairs) = (String::new(), String::new(), vec![]);
    let mut chars = line.chars();
    let mut in_value = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if in_value => value.push(match chars.next().unwrap() {
                'n' => '\n',
                'r' => '\r',
                c @ ('\\' | '=') => c,
                c => panic!("no escape: {c}"),
            }),
            '=' if !in_value => in_value = true,
            // An equals sign that is not escaped ends a key, which the last word is.
            '=' => {
                let (before, next) = value.rsplit_once(' ').unwrap();
                let (before, next) = (before.to_owned(), next.to_owned());
                pairs.push((std::mem::replace(&mut key, next), before));
                value.clear();
            }
            c if in_value => value.push(c),
            c => key.push(c),
        }
    }
    pairs.push((key, value));
    pairs
}

#[test]
fn cef_has_one_line_each_whose_header_and_extension_are_read_back() {
    let event = Event {
        kind: "odd|kind\\\n".into(),
        ..hostile()
    };
    let text = written(Format::Cef, &[hostile(), event], &[]);
    let lines: Vec<&str> = text.split_terminator('\n').collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[1].contains(r"|odd\|kind\\ |odd\|kind\\ |"), "{text}");
    let parts: Vec<&str> = lines[0].splitn(8, '|').collect();
    assert_eq!(parts[..3], ["CEF:0", "Refwarden", "Refwarden"]);
    assert_eq!(parts[4..7], ["push.denied", "push.denied", "5"]);
    let pairs = extension(parts[7]);
    let get = |key: &str| {
        let found = pairs.iter().find(|(it, _)| it == key);
        found.map(|(_, value)| value.as_str()).unwrap()
    };
    assert_eq!(get("rt"), "1767225600123");
    assert_eq!(get("suser"), hostile().actor);
    assert_eq!(get("msg"), hostile().summary);
    assert_eq!(get("cs2"), r#"=refs/heads/\xff\x0a|a=b"\\,\x09\x1b[31m"#);
    assert_eq!(get("outcome"), "failure");
    assert_eq!(pairs.len(), 17);
}

/// The schema's objects take no further members, and each member has the type that it has there.
/// `actor` is one of the profile `host`.
#[track_caller]
fn only_known(line: &Value) {
    let check = |object: &Value, texts: &[&str], numbers: &[&str], others: &[&str]| {
        for (key, value) in object.as_object().unwrap() {
            let key = key.as_str();
            let is_good = texts.contains(&key) && value.as_str().is_some_and(|it| !it.is_empty())
                || numbers.contains(&key) && value.is_i64()
                || others.contains(&key) && (value.is_object() || value.is_array());
            assert!(is_good, "{key}: {value}");
        }
    };
    check(
        line,
        &[
            "activity_name",
            "category_name",
            "class_name",
            "severity",
            "status",
            "status_detail",
            "message",
        ],
        &[
            "activity_id",
            "category_uid",
            "class_uid",
            "type_uid",
            "severity_id",
            "status_id",
            "time",
        ],
        &["actor", "entity", "metadata", "unmapped"],
    );
    check(&line["actor"]["user"], &["name"], &[], &[]);
    check(&line["entity"], &["type", "name", "uid"], &["type_id"], &[]);
    let metadata = &line["metadata"];
    let texts = ["version", "uid", "event_code", "correlation_uid"];
    check(metadata, &texts, &["sequence"], &["product", "profiles"]);
    let product = &metadata["product"];
    check(product, &["name", "vendor_name", "version"], &[], &[]);
    assert_eq!(metadata["profiles"], serde_json::json!(["host"]));
    assert_eq!(line["entity"]["type_id"], 99);
    let unmapped = ["repository", "old", "new", "request"];
    check(&line["unmapped"], &unmapped, &[], &[]);
}

#[test]
fn ocsf_has_what_the_class_requires() {
    let moved = |old: &str, new: &str| Event {
        kind: "ref.committed".into(),
        old_oid: Some(old.repeat(40)),
        new_oid: Some(new.repeat(40)),
        ..hostile()
    };
    let bare = Event {
        kind: "repository.adopted".into(),
        push_id: None,
        ref_name: None,
        old_oid: None,
        new_oid: None,
        codes: vec![],
        ..hostile()
    };
    let events = [
        moved("0", "a"),
        moved("a", "b"),
        moved("a", "0"),
        hostile(),
        bare,
    ];
    let text = written(Format::Ocsf, &events, &[]);
    let lines: Vec<Value> = text
        .split_terminator('\n')
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 5);
    for (line, activity) in lines.iter().zip([1, 3, 4, 99, 99]) {
        // Required by base event, IAM and Entity Management of 1.3.0.
        for key in [
            "activity_id",
            "category_uid",
            "class_uid",
            "entity",
            "metadata",
            "severity_id",
            "time",
            "type_uid",
        ] {
            assert!(!line[key].is_null(), "{key}");
        }
        assert_eq!(line["activity_id"], activity);
        assert_eq!(line["type_uid"], 300_400 + activity);
        assert_eq!(line["metadata"]["version"], "1.3.0");
        assert_eq!(line["time"], 1_767_225_600_123_i64);
        assert_eq!(line["actor"]["user"]["name"], hostile().actor);
        only_known(line);
    }
    assert_eq!(lines[3]["activity_name"], "push.denied");
    assert_eq!(lines[3]["status"], "Failure");
    assert_eq!(lines[0]["status"], "Success");
}

#[test]
fn sarif_is_one_document_however_many_findings_there_are() {
    let finding = |path: Option<&[u8]>| Finding {
        push_id: Uuid::from_u128(2),
        ordinal: 0,
        rule_id: "github-pat".into(),
        fingerprint: "f".into(),
        place: "message".into(),
        object_oid: None,
        path: path.map(Into::into),
        path_text: None,
        commit_oid: Some("c".repeat(40)),
        line: 3,
        column_: 9,
        redacted: "ghp_**\"".into(),
        pre_existing: path.is_none(),
        checksum: None,
    };
    let all = [finding(Some(b"a b/\xff\n:x")), finding(None)];
    for count in 0..=2 {
        let text = written(Format::Sarif, &[hostile()], &all[..count]);
        let document: Value = serde_json::from_str(&text).unwrap();
        let results = document["runs"][0]["results"].as_array().unwrap();
        assert_eq!(results.len(), count);
    }
    let text = written(Format::Sarif, &[hostile(), hostile()], &all);
    let document: Value = serde_json::from_str(&text).unwrap();
    let results = document["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    let physical = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(physical["artifactLocation"]["uri"], "a%20b/%FF%0A%3Ax");
    assert_eq!(physical["region"]["startLine"], 3);
    assert_eq!(results[1]["suppressions"][0]["kind"], "external");
}
