//! Whole histories and ranges.

use super::{Desk, planted};

#[test]
fn a_secret_that_was_removed_again_is_found_where_it_came_in() {
    let desk = Desk::repository();
    desk.write("a", "1\n");
    desk.commit("Begin");
    desk.write("config/prod.env", format!("\n\nT={}\n", planted(1)));
    let culprit = desk.commit("Add");
    desk.write("config/prod.env", format!("\n\n\nT={}\n", planted(1)));
    desk.commit("Move it");
    desk.git(&["rm", "-q", "config/prod.env"]);
    desk.commit("Remove");
    desk.scan(&["."]).passes();
    let said = desk.scan(&["--history"]);
    assert_eq!(said.code, Some(1), "{said}");
    said.says(&[
        "config/prod.env:3:3: github-pat",
        &format!("came in with commit {}", &culprit[..12]),
        "one later version too",
        "1 finding in 3 files, 4 commits",
    ]);
    let report = desk.json(&["--repo", &desk.path().display().to_string()]);
    assert_eq!(report.lines[0]["commit"], culprit.as_str());
    assert_eq!(report.lines[0]["later_versions"], 1);
}

#[test]
fn a_history_has_no_place_that_is_not_looked_at() {
    for format in ["sha1", "sha256"] {
        let desk = Desk::of_format(format);
        desk.write("a", "1\n");
        let base = desk.commit("Begin");
        desk.commit(&format!("Use {}", planted(1)));
        desk.git(&["tag", "-a", "-m", &format!("Use {}", planted(2)), "v1"]);
        desk.git(&["branch", &format!("x-{}", planted(3))]);
        desk.write(format!("dir/{}", planted(4)), "x\n");
        desk.commit("A name");
        desk.git(&["checkout", "-q", "-b", "side", &base]);
        desk.write("b", "2\n");
        desk.commit("Side");
        desk.git(&["merge", "-q", "--no-commit", "--no-ff", "main"]);
        desk.write("evil", planted(5));
        desk.commit("Merge");
        desk.write("lone", planted(6));
        let blob = desk.git(&["hash-object", "-w", "lone"]);
        desk.git(&["tag", "-a", "-m", "Blob", "heavy", &blob]);
        desk.git(&["checkout", "-q", "--detach"]);
        desk.write("lone", planted(7));
        desk.commit("Not on a branch");
        let report = desk.json(&["--history"]);
        let mut kinds: Vec<(&str, &str)> = report
            .lines
            .iter()
            .map(|it| {
                (
                    it["place"].as_str().unwrap(),
                    it["path"].as_str().unwrap_or("-"),
                )
            })
            .collect();
        kinds.sort_unstable();
        let shown: Vec<_> = kinds.iter().map(|(place, _)| *place).collect();
        let expected = ["blob", "blob", "blob", "commit", "path", "ref_name", "tag"];
        assert_eq!(shown, expected, "{kinds:?}");
        assert_eq!(kinds[0].1, "-", "a tagged blob has no path");
        assert_eq!((kinds[1].1, kinds[2].1), ("evil", "lone"));
        desk.scan(&["--history"])
            .says(&["name of dir/ghp_", "name of ref refs/heads/x-ghp_"]);
    }
}

#[test]
fn what_no_longer_matters_to_git_still_counts() {
    let desk = Desk::repository();
    desk.write("a", "1\n");
    let first = desk.commit("Begin");
    desk.write("a", planted(1));
    let second = desk.commit("Bad");
    // A replacement shows another commit in its place, an attribute calls it binary.
    desk.git(&["replace", &second, &first]);
    desk.write(".gitattributes", "* -diff -text\n");
    desk.commit("Attributes");
    assert_eq!(desk.json(&["--history"]).counted(), ["a:1:1"]);
    let range = desk.json(&["--range", &format!("{first}..{second}")]);
    assert_eq!(range.counted(), ["a:1:1"]);
}

#[test]
fn a_range_has_what_it_brings_and_no_more() {
    let desk = Desk::repository();
    desk.write("old.env", format!("T={}\n", planted(1)));
    let first = desk.commit("Begin");
    desk.write("old.env", format!("# a comment\nT={}\n", planted(1)));
    desk.write("new.env", planted(2));
    desk.commit("Add");
    desk.git(&["rm", "-q", "new.env"]);
    let last = desk.commit("Remove");
    let said = desk.scan(&["--range", &format!("{first}..{last}")]);
    assert_eq!(said.code, Some(1), "{said}");
    said.says(&[
        "new.env:1:1",
        "1 finding (1 there before) in 2 files, 2 commits",
        "rebase",
    ]);
    let report = desk.json(&["--range", &format!("{first}..")]);
    assert_eq!(report.counted(), ["new.env:1:1"]);
    assert_eq!(report.places("pre_existing"), ["old.env:2:3"]);
    desk.scan(&["--range", "HEAD..HEAD"])
        .passes()
        .says(&["0 commits"]);
    let zero = "0".repeat(40);
    let all = desk.json(&["--range", &format!("{zero}..HEAD")]);
    assert_eq!(all.counted(), ["old.env:1:3", "new.env:1:1"]);
    desk.git(&["mv", "old.env", "moved.env"]);
    desk.commit("Move");
    let moved = desk.json(&["--range", "HEAD~1..HEAD"]);
    assert_eq!(
        moved.counted(),
        ["moved.env:2:3"],
        "a secret in another place is new there"
    );
    desk.git(&["tag", "-a", "-m", &planted(3), "v1"]);
    assert_eq!(desk.json(&["--range", "HEAD..v1"]).counted(), ["tag:6:1"]);
    for (bad, words) in [
        ("HEAD", "is no range"),
        ("HEAD...main", "is no range"),
        ("none..HEAD", "'none' names nothing"),
        ("--all..HEAD", "'--all' names nothing"),
    ] {
        let said = desk.scan(&[&format!("--range={bad}")]).fails(&[words]);
        assert_eq!(said.code, Some(2), "{said}");
    }
}

#[test]
fn what_was_taken_out_and_put_back_is_brought_in() {
    let desk = Desk::repository();
    let line = format!("T={}\n", planted(1));
    for (content, message) in [
        (line.clone(), "Begin"),
        (format!("# one\n{line}"), "Keep"),
        ("# one\n".to_owned(), "Remove"),
        (format!("# two\n{line}"), "Put back"),
        (format!("# three\n{line}# the same\n{line}"), "Keep again"),
    ] {
        desk.write("a", content);
        desk.commit(message);
    }
    let culprit = desk.git(&["rev-parse", "HEAD~1"]);
    let report = desk.json(&["--range", "HEAD~4..HEAD"]);
    assert_eq!(report.counted(), ["a:2:3"]);
    assert_eq!(report.places("pre_existing"), ["a:2:3"]);
    let new = report
        .lines
        .iter()
        .find(|it| it["status"] == "new")
        .unwrap();
    assert_eq!(new["commit"], culprit.as_str());
    assert_eq!(new["later_versions"], 1);
    assert_eq!(desk.json(&["--range", "HEAD~4..HEAD~2"]).counted(), [""; 0]);
    assert_eq!(desk.json(&["--range", "HEAD~1..HEAD"]).counted(), [""; 0]);
    let whole = desk.json(&["--history"]);
    assert_eq!(whole.counted(), ["a:1:3"]);
    assert_eq!(whole.lines[0]["later_versions"], 3);
}
