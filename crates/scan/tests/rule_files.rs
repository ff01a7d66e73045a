//! A bad rule stops the start, and says where it stands.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use refwarden_scan::{FingerprintKey, Ruleset, Scanner};

const GOOD: &str = r#"provider = "Test"

[[rule]]
id = "t"
description = "d"
keywords = ["tok_"]
pattern = 'tok_([a-z0-9]{8,20})'
severity = "low"
confidence = "high"
"#;

/// The message for the good file with one piece replaced.
#[track_caller]
fn check(from: &str, to: &str, expected: &str) {
    let text = GOOD.replacen(from, to, 1);
    assert_ne!(text, GOOD, "nothing replaced");
    let message = Ruleset::from_toml(&[("r.toml", &text)])
        .unwrap_err()
        .to_string();
    assert!(message.contains(expected), "{message}");
}

#[test]
fn the_good_file_loads() {
    let ruleset = Ruleset::from_toml(&[("r.toml", GOOD)]).unwrap();
    assert_eq!(ruleset.rules().count(), 1);
    assert_eq!(ruleset.id().to_string().len(), 64);
    assert!(
        Ruleset::builtin_with(&[("r.toml", GOOD)])
            .unwrap()
            .rules()
            .count()
            > 30
    );
}

#[test]
fn faults_name_file_line_and_expectation() {
    check(
        "severity = \"low\"",
        "severity = \"dire\"",
        "r.toml:8: unknown variant `dire`, expected",
    );
    check(
        "keywords",
        "keyword",
        "r.toml:6: unknown field `keyword`, expected one of",
    );
    check(
        "pattern = 'tok_([a-z0-9]{8,20})'\n",
        "",
        "missing field `pattern`",
    );
    check(
        "{8,20})",
        "{8,20}",
        "r.toml:7: rule \"t\": pattern is not a regular expression",
    );
    check(
        "{8,20}",
        "{8,20}){9999}(",
        "r.toml:7: rule \"t\": pattern is too large",
    );
}

#[test]
fn values_have_bounds() {
    let with = |line: &str| format!("severity = \"low\"\n{line}");
    let check = |line: &str, expected: &str| check("severity = \"low\"", &with(line), expected);
    check(
        "entropy = 9.0",
        "r.toml:4: rule \"t\": entropy: expected 0 to 8",
    );
    check(
        "secret_group = 2",
        "rule \"t\": secret_group: expected 0 to 1",
    );
    check(
        "max_length = 100000",
        "rule \"t\": max_length: expected 1 to 65536",
    );
    check("path = '('", "path is not a regular expression");
    check("allow = ['(']", "allow is not a regular expression");
}

#[test]
fn ids_are_unique_and_plain() {
    check("\"t\"", "\"T T\"", "id: expected lower-case");
    let twice = [("a.toml", GOOD), ("b.toml", GOOD)];
    let message = Ruleset::from_toml(&twice).unwrap_err().to_string();
    assert_eq!(message, "b.toml:4: rule \"t\" stands already in a.toml");
}

#[test]
fn what_changes_findings_changes_the_id() {
    let id = |text: &str| {
        Ruleset::from_toml(&[("r.toml", text)])
            .unwrap()
            .id()
            .clone()
    };
    assert_eq!(id(GOOD), id(&GOOD.replace("\"d\"", "\"other words\"")));
    assert_ne!(id(GOOD), id(&GOOD.replace("8,20", "8,21")));
    assert_ne!(id(GOOD), id(&GOOD.replace("\"high\"", "\"low\"")));
}

#[test]
fn path_group_allow_and_stopwords_apply() {
    let more = "severity = \"low\"\npath = '\\.env$'\nsecret_group = 1\n\
                allow = ['^allowed']\nstopwords = [\"STOP\"]";
    let text = GOOD.replace("severity = \"low\"", more);
    let ruleset = Ruleset::from_toml(&[("r.toml", &text)]).unwrap();
    let scanner = Scanner::new(&ruleset, FingerprintKey::new([0; 32]));
    let spans = |bytes: &[u8], path: Option<&[u8]>| -> Vec<_> {
        scanner
            .scan(bytes, path)
            .into_iter()
            .map(|finding| finding.span)
            .collect()
    };
    assert_eq!(
        spans(b"a tok_k2n5m8p1", Some(b"x/.env")),
        std::slice::from_ref(&(6..14))
    );
    assert!(spans(b"a tok_k2n5m8p1", Some(b"x/.environment")).is_empty());
    assert!(spans(b"a tok_k2n5m8p1", None).is_empty());
    assert!(spans(b"a tok_allowed12", Some(b".env")).is_empty());
    assert!(spans(b"a tok_nonstop12", Some(b".env")).is_empty());
}
