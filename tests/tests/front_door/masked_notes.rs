//! Notes and submodules in masked clones through the proxy, with real git.

use refwarden_testkit::{Repository, Via, program, run, with_token};

use crate::masked::{Clone, masked_stack, planted, push};
use crate::shared::secret;

const FETCH: [&str; 4] = ["fetch", "-q", "origin", "+refs/notes/*:refs/notes/*"];

#[test]
fn notes_are_read_on_what_their_commits_are_called_and_not_written() {
    let stack = masked_stack();
    for (name, format, seed) in [("noted-1", "sha1", 9700), ("noted-256", "sha256", 9710)] {
        let repository = planted(stack, name, format, seed);
        let work = repository.work();
        let told = format!("seen by bob\nwith {}\nend", secret(seed + 2));
        work.git(&["notes", "add", "-m", &told, "main"]);
        push(&work, &["refs/notes/commits"]);
        let agent = stack.token("ada");
        let clone = Clone::new(&repository, &agent, &[]);
        clone.git(&FETCH);
        let shown = clone.git(&["notes", "show", "HEAD"]);
        let begins = shown.starts_with("seen by bob\nwith REFWARDEN-MASKED-github-pat-");
        assert!(begins && shown.ends_with("\nend"), "{shown}");
        assert!(clone.git(&["log", "-1"]).contains("seen by bob"));
        // A second one comes with the next fetch; one on what no ref of the view reaches does not.
        work.git(&["notes", "add", "-m", "again", "main~1"]);
        let lost = work.git(&["commit-tree", "-m", "lost", "-p", "main", "main^{tree}"]);
        work.git(&["notes", "add", "-m", "of what is lost", &lost]);
        push(&work, &["refs/notes/commits"]);
        clone.git(&FETCH);
        assert_eq!(clone.git(&["notes", "show", "HEAD~1"]), "again");
        assert_eq!(clone.git(&["notes", "list"]).lines().count(), 2);
        let all = String::from_utf8_lossy(&clone.everything()).into_owned();
        assert!(!all.contains("of what is lost") && !all.contains(&lost));
        clone.tells_nothing(
            &repository,
            &(0..4).map(|more| secret(seed + more)).collect::<Vec<_>>(),
        );
        // Written they are not, in plain words, and nothing has moved.
        let before = repository.refs();
        clone.git(&["notes", "add", "-f", "-m", "mine", "HEAD"]);
        for refspec in [
            "refs/notes/commits",
            "refs/notes/commits:refs/notes/mine",
            ":refs/notes/commits",
            "refs/notes/commits:refs/heads/x",
        ] {
            let token = stack.token("ada");
            let git = with_token(stack.git(), &token, Via::Http);
            let outcome = git.run(clone.path(), &["push", "origin", refspec]);
            outcome.fails(&["RW204", "notes are read through a view and not written"]);
        }
        assert_eq!(repository.refs(), before);
    }
}

/// A clone brings its submodules along, each from the view of its own repository, as far as the
/// commits that are linked to have one name in both; the administrator is told of the links.
#[test]
fn submodules_come_from_views_of_their_own() {
    let stack = masked_stack();
    let library = planted(stack, "linked-lib", "sha1", 9720);
    let whole = library.value("refs/heads/main~3").unwrap();
    let renamed = library.value("refs/heads/main").unwrap();
    let user = Repository::unguarded(stack, "linked-user", "sha1");
    let work = user.work();
    let modules = b"[submodule \"lib\"]\n\tpath = dep/lib\n\turl = ../linked-lib.git\n";
    let link = |oid: &str| {
        let entry = format!("160000,{oid},dep/lib");
        work.git(&["update-index", "--add", "--cacheinfo", &entry]);
        work.git(&["commit", "-q", "-m", "Link"]);
    };
    std::fs::write(work.path().join(".gitmodules"), modules).unwrap();
    std::fs::write(work.path().join("conf"), format!("{}\n", secret(9725))).unwrap();
    work.git(&["add", ".gitmodules", "conf"]);
    link(&whole);
    work.git
        .run(
            work.path(),
            &["push", "-q", "origin", "HEAD:refs/heads/main"],
        )
        .passes();
    user.install().passes();
    let agent = stack.token("ada");
    let clone = Clone::new(&user, &agent, &["--recurse-submodules"]);
    assert!(clone.read("conf").contains("REFWARDEN-MASKED-"));
    assert_eq!(clone.read("dep/lib/src/main"), "text\n");
    let inside = |arguments: &[&str]| clone.git(&[&["-C", "dep/lib"], arguments].concat());
    assert!(inside(&["show", "origin/main:conf/app"]).contains("REFWARDEN-MASKED-"));
    // A commit that has another name in the view is not there, under the one or the other.
    link(&renamed);
    push(&work, &["HEAD:refs/heads/main"]);
    let (_clone, outcome) = Clone::attempt(&user, &agent, &["--recurse-submodules"]);
    outcome.fails(&["dep/lib"]);
    let directory = tempfile::tempdir().unwrap();
    let refwarden = |arguments: &[&str]| {
        let mut command = std::process::Command::new(program("refwarden"));
        command.current_dir(directory.path()).env_clear();
        stack.git().environment(&mut command);
        command.args(arguments);
        run(command, b"").passes()
    };
    let path = user.path.to_str().unwrap();
    let told = refwarden(&["view", "build", path]).text();
    assert!(
        told.contains("submodule   lib: 2 links keep their names"),
        "{told}"
    );
    let told = refwarden(&["view", "show", path, "--json"]).text();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        told["counts"]["links"],
        serde_json::json!({ "lib": 2 }),
        "{told}"
    );
}
