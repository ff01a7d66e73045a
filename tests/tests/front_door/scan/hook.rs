//! git hooks as docs/scanning.md has them.

use std::os::unix::fs::PermissionsExt as _;

use refwarden_testkit::program;

use super::{Desk, planted, tells_nothing};

#[test]
fn a_plain_hook_stops_a_commit() {
    let desk = Desk::repository();
    let directory = program("refwarden").parent().unwrap().display().to_string();
    let hook = desk.path().join(".git/hooks/pre-commit");
    std::fs::write(
        &hook,
        format!("#!/bin/sh\nPATH='{directory}':$PATH\nexec refwarden scan --staged\n"),
    )
    .unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    desk.write("a", "clean\n");
    desk.commit("Passes");
    desk.write("a", planted(1));
    // With -a and with a path, git gives the hook an index of its own.
    for arguments in [
        &["commit", "-q", "-a", "-m", "x"][..],
        &["commit", "-q", "-m", "x", "a"],
    ] {
        let refused = desk.git.run(&desk.path(), arguments);
        tells_nothing(&refused);
        refused.fails(&["a:1:1: github-pat", "1 finding"]);
    }
    // In a linked worktree git sets GIT_DIR.
    desk.write("a", "clean\n");
    desk.git(&["worktree", "add", "-q", "--detach", "linked"]);
    let linked = desk.path().join("linked");
    std::fs::write(linked.join("b"), planted(2)).unwrap();
    desk.git.text(&linked, &["add", "b"]);
    let refused = desk.git.run(&linked, &["commit", "-q", "-m", "x"]);
    refused.fails(&["b:1:1: github-pat"]);
}

/// Each `entry` of the hook definition is run as the framework would run it.
#[test]
fn the_definition_for_pre_commit_works() {
    let text = include_str!("../../../../.pre-commit-hooks.yaml");
    let entries: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("entry: "))
        .collect();
    assert_eq!(entries.len(), 2);
    let desk = Desk::repository();
    desk.write("a", "1\n");
    let first = desk.commit("Begin");
    let directory = program("refwarden").parent().unwrap().display().to_string();
    let run = |entry: &str| {
        let mut command = desk.command("sh".as_ref());
        command.args(["-c", &format!("PATH='{directory}':$PATH; {entry}")]);
        command.env("PRE_COMMIT_FROM_REF", &first);
        let outcome = refwarden_testkit::run(command, b"");
        tells_nothing(&outcome);
        outcome
    };
    for entry in &entries {
        run(entry).passes();
    }
    desk.write("b", planted(1));
    desk.git(&["add", "b"]);
    run(entries[0]).fails(&["b:1:1: github-pat"]);
    desk.commit("Add");
    desk.git(&["rm", "-q", "b"]);
    desk.commit("Remove");
    run(entries[0]).passes();
    run(entries[1]).fails(&["b:1:1: github-pat"]);
}
