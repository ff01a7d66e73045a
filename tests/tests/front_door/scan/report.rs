//! Reports for programs.

use serde_json::Value;

use super::{Desk, planted};

#[track_caller]
pub fn is_valid(text: &str) -> Value {
    let schema = include_str!("../../../schemas/sarif-2.1.0.json");
    // One pattern of it has a bracket too many, which strict engines refuse.
    let bracket = "[a-zA-Z]{2}-[a-zA-Z]{2}]?$";
    assert!(schema.contains(bracket));
    let schema = schema.replace(bracket, "[a-zA-Z]{2}-[a-zA-Z]{2}$");
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap();
    let document: Value = serde_json::from_str(text).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(&document)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert!(!validator.is_valid(&serde_json::json!({"version": "2.1.0"})));
    document
}

#[test]
fn sarif_is_as_the_published_schema_says() {
    let desk = Desk::repository();
    desk.write("clean", "x");
    is_valid(&desk.scan(&["clean", "--sarif"]).passes().text());
    desk.write("a b/ü.env", format!("x\nü = {}\n", planted(1)));
    let document = is_valid(&desk.scan(&["a b", "--sarif"]).fails(&[]).text());
    let run = &document["runs"][0];
    let result = &run["results"][0];
    assert_eq!(result["ruleId"], "github-pat");
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(run["tool"]["driver"]["rules"][index]["id"], "github-pat");
    let physical = &result["locations"][0]["physicalLocation"];
    assert_eq!(physical["artifactLocation"]["uri"], "a%20b/%C3%BC.env");
    assert_eq!(physical["region"]["startLine"], 2);
    assert_eq!(physical["region"]["startColumn"], 5, "in code points");
    assert_eq!(result["properties"]["column"], 6, "in bytes");
    assert_eq!(run["invocations"][0]["exitCode"], 1);
    // Everything else that can stand in a report.
    desk.write(format!("n/{}", planted(2)), "x");
    desk.commit(&planted(3));
    desk.git(&["tag", "-a", "-m", &planted(4), &format!("v-{}", planted(5))]);
    let said = desk.scan(&["--history", "--sarif"]);
    let history = is_valid(&said.text());
    // The name of the tag stands in the tag too.
    assert_eq!(history["runs"][0]["results"].as_array().unwrap().len(), 6);
    let fingerprints = &history["runs"][0]["results"][0]["partialFingerprints"];
    assert_eq!(*fingerprints, Value::Null, "not without a key");
    desk.scan(&["--history", "--write-baseline", "../b"])
        .passes();
    let known = desk
        .scan(&["--history", "--sarif", "--baseline", "../b"])
        .passes();
    let known = is_valid(&known.text());
    for result in known["runs"][0]["results"].as_array().unwrap() {
        assert_eq!(result["suppressions"][0]["kind"], "external");
        assert!(result["partialFingerprints"]["refwardenSecret/v1"].is_string());
    }
    let broken = is_valid(&desk.scan(&["none", "--sarif"]).fails(&[]).text());
    let invocation = &broken["runs"][0]["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    assert_eq!(invocation["exitCode"], 2);
}

#[test]
fn json_has_everything_but_the_secret() {
    let desk = Desk::repository();
    desk.write("a", format!("x\n  {}\n", planted(1)));
    let commit = desk.commit("Add");
    let report = desk.json(&["--history"]);
    let finding = &report.lines[0];
    for (key, expected) in [
        ("type", Value::from("finding")),
        ("status", "new".into()),
        ("rule", "github-pat".into()),
        ("place", "blob".into()),
        ("path", "a".into()),
        ("commit", commit.into()),
        ("line", 2.into()),
        ("column", 3.into()),
        ("checksum", "valid".into()),
        ("severity", "critical".into()),
        ("confidence", "high".into()),
    ] {
        assert_eq!(finding[key], expected, "{key}: {finding}");
    }
    let length =
        finding["span"]["end"].as_u64().unwrap() - finding["span"]["start"].as_u64().unwrap();
    assert_eq!(length, 40);
    assert_eq!(finding["fingerprint"].as_str().unwrap().len(), 64);
    let (first, again) = (desk.json(&["a"]), desk.json(&["a"]));
    assert_eq!(first.lines, again.lines, "without a key they are stable");
    for (key, expected) in [("findings", 1), ("files", 1), ("commits", 1), ("errors", 0)] {
        assert_eq!(report.summary[key], expected, "{key}");
    }
}

#[test]
fn rules_are_listed() {
    let desk = Desk::new();
    desk.scan(&["--rules"])
        .passes()
        .says(&["github-pat", "GitHub", " rules, ruleset "]);
    let text = desk.scan(&["--rules", "--json"]).passes().text();
    let rules: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let pat = rules
        .iter()
        .find(|rule| rule["id"] == "github-pat")
        .unwrap();
    assert!(pat["source"].as_str().unwrap().starts_with("https://"));
    desk.write("x", "x");
    let report = desk.json(&["x"]);
    assert_eq!(report.summary["rules"], rules.len());
}

#[test]
fn a_reader_that_goes_away_does_not_change_the_exit_code() {
    let desk = Desk::new();
    for number in 0..300 {
        desk.write(format!("f{number}"), planted(1).repeat(20));
    }
    let program = refwarden_testkit::program("refwarden");
    for option in ["", "--json", "--sarif"] {
        let mut command = desk.command("bash".as_ref());
        let scan = format!("'{}' scan . {option} | head -c 1", program.display());
        command.args(["-c", &format!("{scan}; exit ${{PIPESTATUS[0]}}")]);
        let outcome = refwarden_testkit::run(command, b"");
        assert_eq!(outcome.code, Some(1), "{outcome}");
        assert_eq!(outcome.said(), "", "{outcome}");
    }
}
