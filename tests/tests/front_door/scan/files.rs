//! Files and trees.

use std::os::unix::fs::symlink;

use super::{Desk, planted};

#[test]
fn everything_in_a_tree_but_git_is_scanned() {
    let desk = Desk::new();
    for name in [
        "a.env",
        ".hidden/b",
        "node_modules/x/c.js",
        "target/d",
        ".gitignore",
    ] {
        desk.write(name, format!("\ntoken = {}\n", planted(1)));
    }
    desk.write("sub/.git/e", planted(1));
    desk.write(".git/f", planted(1));
    desk.write("clean", "nothing\n");
    let said = desk.scan(&["."]);
    assert_eq!(said.code, Some(1), "{said}");
    let said = said.says(&["a.env:2:9: github-pat: ", "ghp_", "What to do", "revoke it"]);
    said.says(&["5 findings in 6 files, "]);
    let report = desk.json(&["."]);
    let mut places = report.counted();
    places.sort();
    assert_eq!(
        places,
        [
            ".gitignore:2:9",
            ".hidden/b:2:9",
            "a.env:2:9",
            "node_modules/x/c.js:2:9",
            "target/d:2:9"
        ]
    );
    assert_eq!(
        desk.json(&["sub/.git/e", ".git"]).counted().len(),
        2,
        "when named"
    );
    desk.scan(&["clean"])
        .passes()
        .says(&["0 findings in 1 file"]);
}

#[test]
fn what_is_found_does_not_depend_on_threads() {
    let desk = Desk::new();
    for number in 0..300u64 {
        let secret = if number % 7 == 0 {
            planted(number % 5)
        } else {
            String::new()
        };
        desk.write(
            format!("d{}/f{number}", number % 11),
            format!("x\n{secret}\n"),
        );
    }
    let one = desk.json(&[".", "--jobs", "1"]);
    assert_eq!(one.counted().len(), 43);
    for jobs in ["2", "8"] {
        assert_eq!(desk.json(&[".", "--jobs", jobs]).lines, one.lines);
    }
}

#[test]
fn links_are_not_followed_and_pipes_not_waited_for() {
    let desk = Desk::new();
    desk.write("elsewhere/secret", planted(1));
    desk.write("tree/plain", "x");
    let tree = desk.path().join("tree");
    symlink("../elsewhere", tree.join("directory")).unwrap();
    symlink("../elsewhere/secret", tree.join("file")).unwrap();
    symlink(".", tree.join("loop")).unwrap();
    symlink(planted(2), tree.join("target")).unwrap();
    desk.command("mkfifo".as_ref())
        .arg("tree/pipe")
        .status()
        .unwrap();
    let report = desk.json(&["tree"]);
    assert_eq!(report.counted(), ["tree/target:1:1"], "the link's own text");
    assert_eq!(report.summary["skipped"], 1, "the pipe");
    let named = desk.json(&["tree/file"]);
    assert_eq!(
        named.counted(),
        ["tree/file:1:1"],
        "a link that is named is followed"
    );
}

#[test]
fn binary_large_and_piped_bytes_are_scanned() {
    let desk = Desk::new();
    let secret = planted(1);
    let mut binary: Vec<u8> = (0..=255u8).cycle().take(10_000).collect();
    let at = binary.len() + 1;
    binary.extend_from_slice(format!("\0{secret}\0").as_bytes());
    desk.write("binary", &binary);
    // Larger than what is held at once, with secrets at both ends and in the middle.
    let filler = "0123456789abcde\n".repeat(400_000);
    let large = format!("{secret}\n{filler}{secret}\n{filler}{secret}");
    desk.write("large", &large);
    let report = desk.json(&["binary"]);
    assert_eq!(report.lines[0]["span"]["start"], at);
    let report = desk.json(&["large"]);
    assert_eq!(
        report.counted(),
        ["large:1:1", "large:400002:1", "large:800003:1"]
    );
    assert_eq!(report.summary["bytes"], large.len());
    let piped = desk.scan_with(&["-"], format!("x\n {secret}").as_bytes());
    assert_eq!(piped.code, Some(1), "{piped}");
    piped.says(&["standard input:2:2: github-pat"]);
}

#[test]
fn names_are_scanned_and_told_without_the_secret() {
    let desk = Desk::new();
    desk.write(format!("keys/{}/inner/file", planted(1)), planted(2));
    desk.write(format!("keys/{}.txt", planted(3)), "x");
    for more in [&[][..], &["--json"], &["--sarif"]] {
        let said = desk.scan(&[&["."], more].concat());
        assert_eq!(said.code, Some(1), "{said}");
        said.says(&["keys/ghp_", "/inner/file"]);
    }
    let report = desk.json(&["."]);
    assert_eq!(report.counted().len(), 3, "{:?}", report.counted());
}
