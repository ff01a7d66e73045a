//! Baselines and keys.

use serde_json::Value;

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

use super::{Desk, planted};

#[track_caller]
fn read(desk: &Desk, name: &str) -> Value {
    let text = std::fs::read_to_string(desk.path().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn what_a_baseline_knows_does_not_count() {
    let desk = Desk::new();
    desk.write("t/a", planted(1));
    desk.write("t/b", planted(2));
    desk.scan(&["t", "--write-baseline", "known.json"])
        .passes()
        .says(&[
            "0 findings (2 in the baseline)",
            "baseline written to known.json",
        ]);
    desk.scan(&["t", "--baseline", "known.json"])
        .passes()
        .says(&["0 findings (2 in the baseline)"]);
    desk.write("t/c", planted(3));
    let said = desk.scan(&["t", "--baseline", "known.json"]);
    assert_eq!(said.code, Some(1), "{said}");
    said.says(&["t/c:1:1", "1 finding (2 in the baseline)"]);
    let report = desk.json(&["t", "--baseline", "known.json"]);
    assert_eq!(report.counted(), ["t/c:1:1"]);
    assert_eq!(report.places("known"), ["t/a:1:1", "t/b:1:1"]);
    // It may be brought up to date in place; what was known keeps its fingerprint.
    let before = read(&desk, "known.json");
    desk.scan(&[
        "t",
        "--baseline",
        "known.json",
        "--write-baseline",
        "known.json",
    ])
    .passes();
    let after = read(&desk, "known.json");
    assert_eq!(before["key"], after["key"]);
    assert_eq!(before["findings"][0], after["findings"][0]);
    assert_eq!(after["findings"].as_array().unwrap().len(), 3);
    desk.scan(&["t", "--baseline", "known.json"]).passes();
}

/// Only a file is replaced, and it stays what it was otherwise.
#[test]
fn what_is_no_file_is_not_replaced() {
    let desk = Desk::new();
    desk.write("a", planted(1));
    desk.write("real.json", "");
    let real = desk.path().join("real.json");
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o600)).unwrap();
    let link = desk.path().join("link.json");
    std::os::unix::fs::symlink("real.json", &link).unwrap();
    desk.scan(&["a", "--write-baseline", "link.json"]).passes();
    assert!(link.is_symlink());
    assert_eq!(read(&desk, "real.json")["findings"][0]["path"], "a");
    assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let pipe = desk.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for name in ["pipe", "."] {
        let refused = desk.scan(&["a", "--write-baseline", name]);
        assert_eq!(refused.code, Some(2), "{refused}");
        refused.says(&["it is no file"]);
    }
    assert!(pipe.symlink_metadata().unwrap().file_type().is_fifo());
}

#[test]
fn it_works_for_histories_too() {
    let desk = Desk::repository();
    desk.write("a", planted(1));
    desk.commit("Begin");
    desk.scan(&["--history", "--write-baseline", "../known.json"])
        .passes();
    desk.scan(&["--history", "--baseline", "../known.json"])
        .passes();
    desk.write("b", planted(2));
    desk.git(&["add", "-A"]);
    let report = desk.json(&["--staged", "--baseline", "../known.json"]);
    assert_eq!(report.counted(), ["b:1:1"]);
}

#[test]
fn keys_are_random_or_given() {
    let desk = Desk::new();
    desk.write("t/a", planted(1));
    for name in ["one", "two"] {
        desk.scan(&["t", "--write-baseline", name]).passes();
    }
    let (one, two) = (read(&desk, "one"), read(&desk, "two"));
    let print = |it: &Value| it["findings"][0]["fingerprint"].clone();
    assert_ne!(print(&one), print(&two));
    desk.write("key", "ab".repeat(32));
    desk.write("other", "cd".repeat(32));
    let key = ["--fingerprint-key", "key"];
    desk.scan(&[&["t", "--write-baseline", "three"], &key[..]].concat())
        .passes();
    let three = read(&desk, "three");
    assert_eq!(
        three["key"],
        Value::Null,
        "a key of its own stays where it is"
    );
    let keyed = desk.json(&[&["t", "--baseline", "three"], &key[..]].concat());
    assert_eq!(keyed.places("known"), ["t/a:1:1"]);
    assert_eq!(keyed.lines[0]["fingerprint"], print(&three));
    for (arguments, words) in [
        (&["--baseline", "three"][..], "a key that it does not hold"),
        (
            &["--baseline", "three", "--fingerprint-key", "other"],
            "made with another key",
        ),
        (
            &["--baseline", "one", "--fingerprint-key", "key"],
            "a key of its own",
        ),
        (&["--fingerprint-key", "t/a"], "holds no key"),
        (&["--fingerprint-key", "none"], "cannot be read"),
        (&["--baseline", "none"], "cannot be read"),
        (&["--baseline", "key"], "cannot be read"),
        (&["--write-baseline", "none/x"], "cannot be written"),
    ] {
        let said = desk.scan(&[&["t"], arguments].concat()).fails(&[words]);
        assert_eq!(said.code, Some(2), "{said}");
    }
}
