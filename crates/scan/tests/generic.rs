//! Generic rules, path conditions and the order among rules that find the same.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use refwarden_scan::{Finding, FingerprintKey, Ruleset, Scanner, example};

#[track_caller]
fn scan(ruleset: &Ruleset, template: &str, path: Option<&str>) -> Vec<Finding> {
    let text = example::try_expand(template, 1).unwrap();
    let scanner = Scanner::new(ruleset, FingerprintKey::new([7; 32]));
    scanner.scan(&text, path.map(str::as_bytes))
}

fn ids(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| &*finding.rule_id).collect()
}

#[test]
fn generic_rules_stay_out_unless_asked_for() {
    let text = "client_secret = \"{base62:20}7{base62:12}\"";
    let usual = Ruleset::builtin().unwrap();
    assert!(usual.rules().all(|rule| !rule.is_generic()));
    assert!(scan(&usual, text, None).is_empty());

    let all = Ruleset::builtin_and_generic(&[]).unwrap();
    let findings = scan(&all, text, None);
    assert_eq!(ids(&findings), ["generic-secret"]);
    assert!(findings.iter().all(|finding| finding.generic));
    assert_ne!(all.id(), usual.id());
}

#[test]
fn a_surer_rule_takes_what_a_less_sure_one_finds_too() {
    let all = Ruleset::builtin_and_generic(&[]).unwrap();
    for (text, path, expected) in [
        // A token in a place where any password would be found.
        (
            "https://me:ghp_{base62:30}{crc32}@h.prod.internal",
            Some(".git-credentials"),
            "github-pat",
        ),
        (
            "//r/:_authToken=npm_{base62:30}{crc32}",
            Some(".npmrc"),
            "npm-access-token",
        ),
        ("api_token = \"glpat-{base64url:20}\"", None, "gitlab-pat"),
        (
            "DB_PASSWORD={base62:9}7{base62:6}",
            Some(".env"),
            "dotenv-database-password",
        ),
    ] {
        let findings = scan(&all, text, path);
        assert_eq!(ids(&findings), [expected], "{text}");
        assert!(!findings[0].generic, "{text}");
    }
}

#[test]
fn rules_for_one_path_are_silent_elsewhere() {
    let all = Ruleset::builtin_and_generic(&[]).unwrap();
    let mut checked = 0;
    for rule in all.rules().filter(|rule| rule.path().is_some()) {
        for template in rule.examples() {
            for path in [None, Some("src/main.rs")] {
                let findings = scan(&all, template, path);
                assert!(!ids(&findings).contains(&rule.id()), "{template} {path:?}");
            }
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn a_rule_file_from_outside_may_hold_generic_rules() {
    let file = r#"provider = "Test"

[[rule]]
id = "t"
description = "d"
keywords = ["tok_"]
pattern = 'tok_[a-z0-9]{12}\b'
severity = "low"
confidence = "low"
generic = true
"#;
    let marked = Ruleset::from_toml(&[("r.toml", file)]).unwrap();
    let plain = file.replace("generic = true\n", "");
    let plain = Ruleset::from_toml(&[("r.toml", &plain)]).unwrap();
    for (ruleset, expected) in [(&marked, true), (&plain, false)] {
        let findings = scan(ruleset, "tok_{lowernum:12}", None);
        assert_eq!(ids(&findings), ["t"]);
        assert_eq!(findings[0].generic, expected);
    }
    assert_ne!(marked.id(), plain.id());
}
