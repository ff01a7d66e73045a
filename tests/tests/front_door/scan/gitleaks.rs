//! `--config gitleaks.toml`, and the generic rules.

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

#[test]
fn generic_rules_are_asked_for() {
    let desk = Desk::new();
    desk.write("a.py", "api_secret = \"pK7vQ2mX9tR4wZ8nB3cL6yH1\"\n");
    desk.scan(&["a.py"]).passes();
    let said = desk.scan(&["--generic", "a.py"]);
    assert_eq!(said.code, Some(1), "{said}");
    said.says(&["generic-"]);
}
