//! The index.

use super::{Desk, planted};

#[test]
fn only_what_is_staged_counts() {
    let desk = Desk::repository();
    desk.write("a", planted(1));
    desk.git(&["add", "a"]);
    assert_eq!(
        desk.json(&["--staged"]).counted(),
        ["a:1:1"],
        "before the first commit"
    );
    desk.commit("Begin");
    desk.scan(&["--staged"]).passes();
    desk.write("a", format!("more\n{}\n", planted(1)));
    desk.write("b", planted(2));
    desk.scan(&["--staged"]).passes().says(&["0 files"]);
    desk.git(&["add", "a"]);
    let said = desk.scan(&["--staged"]).passes();
    said.says(&["0 findings (1 there before) in 1 file"]);
    desk.git(&["add", "b"]);
    // What is in the file now is not what would be committed.
    desk.write("b", "clean");
    let said = desk.scan(&["--staged"]);
    assert_eq!(said.code, Some(1), "{said}");
    said.says(&["b:1:1: github-pat", "git add"]);
}

#[test]
fn a_copy_is_new_where_it_is_copied_to() {
    let desk = Desk::repository();
    desk.write("a", planted(1));
    desk.commit("Begin");
    desk.write("a", format!("x\n{}", planted(1)));
    desk.write("copy", format!("x\n{}", planted(1)));
    desk.git(&["add", "-A"]);
    let report = desk.json(&["--staged"]);
    assert_eq!(report.counted(), ["copy:2:1"]);
    assert_eq!(report.places("pre_existing"), ["a:2:1"]);
}

#[test]
fn worktrees_and_submodules_have_an_index_of_their_own() {
    let desk = Desk::repository();
    desk.write("a", "1\n");
    desk.commit("Begin");
    desk.git(&["worktree", "add", "-q", "--detach", "linked"]);
    let inner = desk.path().join("linked");
    std::fs::write(inner.join("b"), planted(1)).unwrap();
    desk.git.text(&inner, &["add", "b"]);
    desk.scan(&["--staged"]).passes();
    assert_eq!(
        desk.json(&["--staged", "--repo", "linked"]).counted(),
        ["b:1:1"]
    );

    let other = Desk::repository();
    other.write("deep/m", planted(2));
    other.commit("Module");
    let url = other.path().display().to_string();
    let allow = "protocol.file.allow=always";
    desk.git(&["-c", allow, "submodule", "add", "-q", &url, "module"]);
    let staged = desk.json(&["--staged"]);
    assert_eq!(
        staged.counted(),
        [""; 0],
        "a submodule is a repository of its own"
    );
    desk.commit("Add a submodule");
    let history = desk.json(&["--history"]);
    assert_eq!(history.counted(), [""; 0]);
    assert_eq!(
        desk.json(&["--history", "--repo", "module/deep"]).counted(),
        ["deep/m:1:1"]
    );
    assert_eq!(
        desk.json(&["module"]).counted(),
        ["module/deep/m:1:1"],
        "as files"
    );
}
