//! Every default rule against its own examples, and the crate against its own rules.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::{Path, PathBuf};

use refwarden_scan::{FingerprintKey, Ruleset, Scanner, example};

fn key() -> FingerprintKey {
    FingerprintKey::new([7; 32])
}

/// Ids of the rules that find something, each once.
fn found(scanner: &Scanner<'_>, bytes: &[u8], path: Option<&str>) -> Vec<String> {
    let mut ids: Vec<String> = scanner
        .scan(bytes, path.map(str::as_bytes))
        .iter()
        .map(|finding| finding.rule_id.to_string())
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

#[test]
fn every_example_is_found_by_its_rule_alone() {
    let ruleset = Ruleset::builtin_and_generic(&[]).unwrap();
    let scanner = Scanner::new(&ruleset, key());
    for rule in ruleset.rules() {
        for template in rule.examples() {
            for seed in 0..200 {
                let text = example::try_expand(template, seed).unwrap();
                assert_eq!(
                    found(&scanner, &text, rule.example_path()),
                    [rule.id()],
                    "{template} seed {seed}"
                );
            }
        }
    }
}

#[test]
fn no_counter_example_is_found_by_its_rule() {
    let ruleset = Ruleset::builtin_and_generic(&[]).unwrap();
    let scanner = Scanner::new(&ruleset, key());
    for rule in ruleset.rules() {
        for template in rule.counter_examples() {
            for seed in 0..50 {
                let text = example::try_expand(template, seed).unwrap();
                let ids = found(&scanner, &text, rule.example_path());
                assert!(
                    !ids.iter().any(|id| id == rule.id()),
                    "{template} seed {seed}"
                );
            }
        }
    }
}

#[test]
fn every_default_rule_is_complete() {
    let ruleset = Ruleset::builtin_and_generic(&[]).unwrap();
    for rule in ruleset.rules() {
        let id = rule.id();
        let bound = !rule.keywords().is_empty() || rule.path().is_some();
        assert!(bound, "{id}: neither keyword nor path");
        let paths = (rule.path().is_some(), rule.example_path().is_some());
        assert!(
            matches!(paths, (true, true) | (false, false)),
            "{id}: path without example path"
        );
        assert!(rule.examples().len() >= 2, "{id}: examples");
        assert!(rule.counter_examples().len() >= 2, "{id}: counter-examples");
        let own = rule.provider() == "Refwarden";
        assert!(own || rule.source().starts_with("https://"), "{id}: source");
    }
}

/// [`Ruleset::builtin`] trusts its files; this is why it may.
#[test]
fn default_files_pass_the_checks_for_files_from_outside() {
    let files = files_under(&crate_dir().join("rules"));
    let texts: Vec<(String, String)> = files
        .iter()
        .map(|file| {
            (
                file.display().to_string(),
                fs::read_to_string(file).unwrap(),
            )
        })
        .collect();
    let pairs: Vec<(&str, &str)> = texts
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let checked = Ruleset::from_toml(&pairs).unwrap();
    assert_eq!(
        checked.id(),
        Ruleset::builtin_and_generic(&[]).unwrap().id(),
        "a rule file is not embedded"
    );
}

#[test]
fn this_crate_holds_no_secret() {
    let ruleset = Ruleset::builtin_and_generic(&[]).unwrap();
    let scanner = Scanner::new(&ruleset, key());
    let files = files_under(&crate_dir());
    assert!(files.len() > 40, "files of this crate: {}", files.len());
    for file in files {
        let findings = scanner.scan(&fs::read(&file).unwrap(), None);
        let places: Vec<String> = findings
            .iter()
            .map(|finding| format!("{}:{} {}", file.display(), finding.line, finding.rule_id))
            .collect();
        assert!(places.is_empty(), "{places:?}");
    }
}

fn crate_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_under(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_under(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}
