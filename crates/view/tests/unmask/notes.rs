//! Notes are read through a view and not written.

use refwarden_view::unmask::Problem;

use super::desk::{Desk, secret};

/// An original with notes on a commit that has another name in the view, and on one that has not.
fn noted() -> Desk {
    let desk = Desk::new("sha1");
    let full = desk.clone_of("original.git", "author", &[]);
    full.git(&["notes", "add", "-m", "of main", "main"]);
    let text = format!("clean but for {}", secret(8));
    full.git(&["notes", "add", "-m", &text, "origin/side"]);
    full.git(&["push", "-q", "origin", "refs/notes/commits"]);
    desk.build("shadow.git");
    desk
}

#[test]
fn notes_are_not_written_and_not_built_upon() {
    let desk = noted();
    let fetch = ["fetch", "-q", "origin", "refs/notes/*:refs/notes/*"];
    for (act, refspec) in [
        (
            &["notes", "add", "-f", "-m", "mine", "HEAD"][..],
            "refs/notes/commits",
        ),
        (
            &["notes", "add", "-f", "-m", "mine", "HEAD"],
            "refs/notes/commits:refs/notes/mine",
        ),
        (&["status"], ":refs/notes/commits"),
        (&["status"], "HEAD:refs/notes/x"),
        (&["status"], "refs/notes/commits:refs/heads/x"),
        (
            &["tag", "-a", "-m", "of notes", "n", "refs/notes/commits"],
            "n",
        ),
        (
            &[
                "merge",
                "-q",
                "--allow-unrelated-histories",
                "-m",
                "both",
                "refs/notes/commits",
            ],
            "HEAD:refs/heads/x",
        ),
        (
            &["reset", "-q", "--hard", "refs/notes/commits^0"],
            "HEAD:refs/heads/x",
        ),
    ] {
        let act = |clone: &super::desk::Clone| {
            clone.git(&fetch);
            clone.git(act);
        };
        desk.refuses(act, &[refspec], Problem::Notes);
    }
}

/// The tree of notes as a branch of its own: names are those of the view then, as they stand.
#[test]
fn what_looks_like_notes_elsewhere_is_what_it_is() {
    let desk = noted();
    let masked = desk.masked(&[]);
    masked.git(&["fetch", "-q", "origin", "refs/notes/commits"]);
    // The secret in one of them stands at its path, in a branch as in the notes.
    for tree in ["FETCH_HEAD~1^{tree}", "FETCH_HEAD^{tree}"] {
        let commit = masked.git(&["commit-tree", "-m", "an orphan", tree]);
        let name = format!("refs/heads/orphan{}", tree.len());
        let sent = desk.send(&masked, &[&format!("{commit}:{name}")]);
        desk.apply(&desk.translate(&sent).unwrap());
        desk.settles(&sent);
    }
}
