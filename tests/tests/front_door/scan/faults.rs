//! What cannot be read is an error, and no reason to leave out the rest.

use std::os::unix::fs::PermissionsExt as _;

use refwarden_testkit::{program, run};

use super::{Desk, planted, tells_nothing};

fn mode(path: &std::path::Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_the_others_are_scanned() {
    let desk = Desk::new();
    desk.write("t/a", planted(1));
    desk.write("t/closed", "x");
    desk.write("t/dark/b", "x");
    mode(desk.directory.path(), 0o755);
    mode(&desk.path().join("t/closed"), 0);
    mode(&desk.path().join("t/dark"), 0);
    // Root reads everything: somebody else has to try.
    let copy = desk.directory.path().join("refwarden");
    std::fs::copy(program("refwarden"), &copy).unwrap();
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = desk.command("setpriv".as_ref());
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&copy);
        command
    } else {
        desk.command(&copy)
    };
    command.args(["scan", "t"]);
    let said = run(command, b"");
    mode(&desk.path().join("t/dark"), 0o755);
    tells_nothing(&said);
    assert_eq!(said.code, Some(2), "{said}");
    said.says(&[
        "t/a:1:1: github-pat",
        "t/closed could not be scanned: Permission denied",
        "t/dark could not be scanned: Permission denied",
        "2 errors",
    ]);
}

#[test]
fn reading_that_breaks_off_is_an_error() {
    let desk = Desk::new();
    desk.write("a", planted(1));
    // Opens, and answers the first read with an error.
    let report = desk.json(&["a", "/proc/self/mem"]);
    assert_eq!(report.counted(), ["a:1:1"]);
    assert_eq!(report.summary["exit_code"], 2);
    let error = report.lines.iter().find(|line| line["type"] == "error");
    assert_eq!(error.unwrap()["path"], "/proc/self/mem");
    let said = desk.scan(&["a", "/proc/self/mem", "--write-baseline", "b"]);
    assert_eq!(said.code, Some(2), "{said}");
    said.says(&["no baseline was written", "could not be read"]);
    assert!(!desk.path().join("b").exists());
}

#[test]
fn wrong_usage_is_an_error() {
    let desk = Desk::new();
    desk.write("a", "x");
    for (arguments, words) in [
        (&[][..], "nothing to scan"),
        (&["none"], "none could not be scanned"),
        (&["--staged"], "no repository"),
        (&["--history", "--repo", "none"], "no repository"),
        (&["a", "--history"], "cannot be used with"),
        (&["--history", "--staged"], "cannot be used with"),
        (&["a", "--json", "--sarif"], "cannot be used with"),
        (&["a", "--jobs", "0"], "--jobs"),
        (&["a", "--nonsense"], "--nonsense"),
    ] {
        let said = desk.scan(arguments).fails(&[words]);
        assert_eq!(said.code, Some(2), "{said}");
    }
}

#[test]
fn a_broken_repository_is_an_error_and_the_rest_is_scanned() {
    let desk = Desk::repository();
    desk.write("first", planted(1));
    desk.write("lost", "lost\n");
    desk.write("torn", "torn\n".repeat(1000));
    desk.commit("Begin");
    desk.write("last", planted(2));
    desk.commit("Go on");
    let object = |name: &str| {
        let id = desk.git(&["rev-parse", &format!("HEAD:{name}")]);
        desk.path()
            .join(".git/objects")
            .join(&id[..2])
            .join(&id[2..])
    };
    let (lost, torn) = (object("lost"), object("torn"));
    std::fs::remove_file(lost).unwrap();
    mode(&torn, 0o644);
    std::fs::write(&torn, b"x\x9c\x01nonsense").unwrap();
    let report = desk.json(&["--history"]);
    let mut new = report.counted();
    new.sort();
    assert_eq!(new, ["first:1:1", "last:1:1"]);
    assert_eq!(report.summary["exit_code"], 2);
    assert_eq!(report.summary["errors"], 2);
    let said = desk.scan(&["--history"]);
    said.says(&["lost of commit", "torn of commit", "could not be scanned"]);
    // Without its newest commit nothing can be said at all.
    let head = desk.git(&["rev-parse", "HEAD"]);
    let commit = desk
        .path()
        .join(".git/objects")
        .join(&head[..2])
        .join(&head[2..]);
    std::fs::remove_file(commit).unwrap();
    let said = desk
        .scan(&["--history"])
        .fails(&["cannot be read", "git fsck"]);
    assert_eq!(said.code, Some(2), "{said}");
}

#[test]
fn what_was_not_cloned_is_told_and_not_fetched() {
    let origin = Desk::repository();
    origin.write("a", planted(1));
    origin.commit("Begin");
    origin.write("a", "gone\n");
    origin.commit("Remove");
    origin.git(&["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", origin.path().display());
    let desk = Desk::new();
    desk.git(&["clone", "-q", "--bare", "--depth=1", &url, "shallow"]);
    let said = desk.scan(&["--repo", "shallow"]).passes();
    said.says(&["this clone is shallow", "1 commit,"]);
    desk.git(&[
        "clone",
        "-q",
        "--bare",
        "--filter=blob:none",
        &url,
        "partial",
    ]);
    let said = desk
        .scan(&["--repo", "partial"])
        .fails(&["is missing", "2 errors"]);
    assert_eq!(said.code, Some(2), "{said}");
    let refused = desk.scan(&["--repo", "shallow", "--range", "HEAD~1..HEAD"]);
    assert_eq!(refused.code, Some(2), "{refused}");
}

/// The scanner keeps 10 000 findings of one input and counts the rest.
#[test]
fn findings_beyond_those_that_are_kept_are_counted() {
    let desk = Desk::new();
    desk.write("a", format!("{}\n", planted(1)).repeat(10_500));
    let report = desk.json(&["a"]);
    assert_eq!(report.counted().len(), 10_000);
    assert_eq!(report.summary["not_listed"], 500);
    let said = desk.scan(&["a"]);
    assert_eq!(said.code, Some(1));
    said.says(&["500 more findings are not listed"]);
    let said = desk.scan(&["a", "--write-baseline", "b"]);
    assert_eq!(said.code, Some(2));
    assert!(!desk.path().join("b").exists());
}
