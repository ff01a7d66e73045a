//! `--config gitleaks.toml`, and the generic rules.

use super::report::is_valid;
use super::{Desk, planted};

const CONFIG: &str = r#"
title = "Ours"
[allowlist]
paths = ['vendor/']
[[rules]]
id = "our-token"
description = "A token of ours"
regex = '\bours-([0-9a-f]{16})\b'
secretGroup = 1
keywords = ["ours-"]
"#;

#[test]
fn a_gitleaks_file_takes_the_place_of_the_rules() {
    let desk = Desk::new();
    desk.write("rules.toml", CONFIG);
    let token = format!("ours-{}", "0123456789abcdef");
    desk.write("a", format!("one\n{token}\n{}\n", planted(3)));
    desk.write("vendor/b", &token);
    desk.write("allowed", format!("{token} # gitleaks:allow\n"));
    let report = desk.json(&["--config", "rules.toml", "a", "vendor", "allowed"]);
    assert_eq!(report.counted(), ["a:2:6"]);
    let listed = desk.scan(&["--config", "rules.toml", "--rules"]).passes();
    assert!(listed.text().contains("our-token"), "{listed}");
    assert!(!listed.text().contains("github-pat"), "{listed}");

    desk.write("base.toml", "[extend]\nuseDefault = true\n");
    let refused = desk.scan(&["--config", "base.toml", "a"]);
    assert_eq!(refused.code, Some(2), "{refused}");
    refused.says(&["base.toml:1", "--config-default"]);
    let with = [
        "--config",
        "base.toml",
        "--config-default",
        "rules.toml",
        "a",
    ];
    assert_eq!(desk.json(&with).counted(), ["a:2:6"]);
    desk.write("broken.toml", CONFIG.replace("[0-9", "[9-0"));
    let refused = desk.scan(&["--config", "broken.toml", "a"]);
    assert_eq!(refused.code, Some(2), "{refused}");
    refused.says(&["broken.toml:8"]);
}

/// An allow-list of commits speaks for those that it names, in a history and in a range.
#[test]
fn commits_in_an_allow_list() {
    let desk = Desk::repository();
    let token = |digit: char| format!("ours-{}\n", digit.to_string().repeat(16));
    desk.write("a", token('1'));
    let first = desk.commit(&format!("First, {}", token('3').trim()));
    desk.write("b", token('2'));
    desk.commit("Second");
    let config = format!("{CONFIG}[[rules.allowlists]]\ncommits = [\"{first}\"]\n");
    desk.write("../rules.toml", config);
    let all = format!("{}..HEAD", "0".repeat(40));
    for way in [["--history"].as_slice(), &["--range", &all]] {
        for packed in [false, true] {
            if packed {
                desk.git(&["repack", "-adq"]);
            }
            let report = desk.json(&[way, &["--config", "../rules.toml"]].concat());
            assert_eq!(report.counted(), ["b:1:6"], "{way:?}");
        }
    }
    // What others bring in too is not only the commit's.
    desk.git(&["rm", "-q", "a"]);
    desk.commit("Gone");
    desk.write("a", token('1'));
    desk.commit("Back");
    let report = desk.json(&["--history", "--config", "../rules.toml"]);
    assert_eq!(report.counted(), ["a:1:6", "b:1:6"]);
}

#[test]
fn a_rule_without_keywords_is_warned_of() {
    let desk = Desk::new();
    desk.write("rules.toml", CONFIG.replace("keywords", "tags"));
    desk.write("a", format!("ours-{}\n", "0123456789abcdef"));
    let said = desk.scan(&["--config", "rules.toml", "a"]);
    said.fails(&["rules.toml:6: rule \"our-token\" has no keywords"]);
}

/// Nothing is scanned with a file that cannot be used, and what is wrong is said with its line.
#[test]
fn a_file_that_cannot_be_used_is_an_error_with_its_line() {
    let desk = Desk::new();
    desk.write("a", planted(1));
    let rule = |text: &str| format!("[[rules]]\nid = \"r\"\n{text}\n");
    for (text, words) in [
        ("[[rules".to_owned(), "rules.toml:1:"),
        (
            "rules = 3".to_owned(),
            "rules.toml:1: rules: expected a list of tables",
        ),
        (
            rule("regex = 'a('"),
            "rules.toml:3: rule \"r\": regex is not a regular expression",
        ),
        (
            rule("regex = '(?=a)'"),
            "rules.toml:3: rule \"r\": regex is not a regular expression",
        ),
        (
            rule("regex = '(?:[a-z]{1000}){900}'"),
            "rules.toml:3: rule \"r\": regex is too large",
        ),
        (
            rule("regex = 'a'\nentropy = 'high'"),
            "rules.toml:4: entropy: expected a number",
        ),
        (
            rule("regex = 'a'\n[[rules.allowlists]]"),
            "rules.toml:4: an empty allow-list",
        ),
    ] {
        desk.write("rules.toml", &text);
        let said = desk.scan(&["--config", "rules.toml", "a"]).fails(&[words]);
        assert_eq!(said.code, Some(2), "{text}: {said}");
        assert!(said.text().is_empty(), "{text}: {said}");
    }
    std::fs::remove_file(desk.path().join("rules.toml")).unwrap();
    let said = desk.scan(&["--config", "rules.toml", "a"]);
    assert_eq!(said.code, Some(2), "{said}");
}

#[test]
fn generic_rules_are_asked_for() {
    let desk = Desk::new();
    desk.write("a.py", "api_secret = \"pK7vQ2mX9tR4wZ8nB3cL6yH1\"\n");
    desk.scan(&["a.py"]).passes();
    let said = desk.scan(&["--generic", "a.py"]);
    assert_eq!(said.code, Some(1), "{said}");
    said.says(&["generic-"]);
}

#[test]
fn places_in_a_gitleaksignore_do_not_count() {
    let desk = Desk::repository();
    let token = planted(5);
    desk.write("dir/a", format!("one\n{token}\n"));
    desk.write("b", &token);
    let first = desk.commit("Begin");
    // A line that says no place is told, and one for another line has no effect.
    let list = "# seen\ndir/a:github-pat:2\nb:github-pat:7\nwhat\n";
    desk.write("../list", list);
    let files = ["dir", "b", "--ignore-file", "../list"];
    let report = desk.json(&files);
    assert_eq!(report.counted(), ["b:1:1"]);
    assert_eq!(report.places("ignored"), ["dir/a:2:1"]);
    assert_eq!(report.summary["ignored"], 1);
    desk.scan(&files)
        .fails(&["list:4: expected file:rule:line"])
        .says(&["1 finding (1 ignored)"]);
    let sarif = is_valid(&desk.scan(&[&files[..], &["--sarif"]].concat()).text());
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let suppressed = |it: &&serde_json::Value| it["suppressions"][0]["kind"] == "external";
    assert_eq!(results.iter().filter(suppressed).count(), 1);

    // The other form holds for one commit, and for what stays of it later.
    let list = format!("{first}:b:github-pat:1\ndir\\a:github-pat:2\n");
    desk.write("../list", list);
    desk.write("b", format!("more\n{token}\n"));
    desk.commit("More");
    let history = ["--history", "--ignore-file", "../list"];
    desk.scan(&history).passes().says(&["(2 ignored)"]);
    desk.scan(&files).fails(&["b:2:1"]);

    // By its own name it counts with --config alone, as for gitleaks; a missing one is an error
    // where it is named.
    desk.write("rules.toml", CONFIG);
    desk.write("c", format!("ours-{}\n", "0123456789abcdef"));
    desk.write(".gitleaksignore", "c:our-token:1\nb:github-pat:2\n");
    desk.scan(&["--config", "rules.toml", "c"]).passes();
    desk.scan(&["b"]).fails(&["b:2:1"]);
    let refused = desk.scan(&["b", "--ignore-file", "none"]);
    assert_eq!(refused.code, Some(2), "{refused}");
    refused.says(&["none cannot be read"]);
}
