//! Notes in views, written and read by real git.

use std::fmt::Write as _;

use super::*;

/// `git notes` makes its commits in the name of whoever asks; what it reads is a working tree's.
impl Desk {
    fn note(&self, of: &str, about: &str, text: &str) {
        let blob = self.git(&["hash-object", "-w", "--stdin"], text.as_bytes());
        let of = format!("--ref={of}");
        self.git(
            &[
                "-c",
                "user.name=A",
                "-c",
                "user.email=a@example.org",
                "notes",
                &of,
                "add",
                "-f",
                "-C",
                &blob,
                about,
            ],
            b"",
        );
    }

    fn shown(&self, name: &str, of: &str, about: &str) -> String {
        self.at(name, &["notes", &format!("--ref={of}"), "show", about], b"")
    }

    fn listed(&self, name: &str, of: &str) -> Vec<String> {
        let listed = self.at(name, &["notes", &format!("--ref={of}"), "list"], b"");
        let names = listed.lines().map(|line| line.split_once(' ').unwrap().1);
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort_unstable();
        names
    }
}

/// Every name and every text of notes of the original of which the view has another.
fn originals(built: &Built) -> Vec<String> {
    let renamed = built.map.iter().filter(|(from, to)| from != to);
    renamed.map(|(from, _)| from.to_string()).collect()
}

#[test]
fn a_note_stands_on_what_its_commit_is_called_in_the_view() {
    for format in ["sha1", "sha256"] {
        let desk = Desk::new(format);
        let mut secrets = history(&desk);
        secrets.push(secret(50));
        let blob = desk.value("r.git", "main:README");
        let masked = desk.value("r.git", "main:conf/app.env");
        desk.note("commits", "main", "said of it\n");
        desk.note("commits", "side", &format!("clean, but {}\n", secret(50)));
        desk.note("commits", "refs/tags/v2", "of a tag\n");
        desk.note("commits", &blob, "of a file\n");
        desk.note("commits", &masked, "of a masked file\n");
        // On what no ref reaches, and nothing may tell of.
        let lost = format!(
            "tree {}\nauthor {ME}\ncommitter {ME}\n\nlost\n",
            desk.value("r.git", "main^{tree}")
        );
        let lost = desk.git(
            &["hash-object", "-t", "commit", "-w", "--stdin"],
            lost.as_bytes(),
        );
        desk.note("commits", &lost, "of what is lost\n");
        desk.note("reviews/bob", "main~3", "twice\n");
        let built = desk.build("r.git", "one.git");
        desk.tells_nothing("one.git", &built, &secrets);
        assert_eq!(desk.shown("one.git", "commits", "main"), "said of it");
        assert_eq!(desk.shown("one.git", "commits", "refs/tags/v2"), "of a tag");
        assert_eq!(desk.shown("one.git", "commits", &blob), "of a file");
        assert_eq!(desk.shown("one.git", "reviews/bob", "main~3"), "twice");
        let said = desk.shown("one.git", "commits", "side");
        assert!(
            said.starts_with("clean, but REFWARDEN-MASKED-github-pat-"),
            "{said}"
        );
        let mut expected = vec![
            desk.value("one.git", "main"),
            desk.value("one.git", "side"),
            desk.value("one.git", "refs/tags/v2"),
            blob,
        ];
        expected.sort_unstable();
        assert_eq!(desk.listed("one.git", "commits"), expected);
        let all = String::from_utf8_lossy(&desk.everything("one.git")).into_owned();
        for absent in ["of a masked file", "of what is lost", &lost, &masked] {
            assert!(!all.contains(absent), "{absent}");
        }
        // The older commits of the notes' history as well.
        let older = desk.at(
            "one.git",
            &["ls-tree", "-r", "--name-only", "refs/notes/commits~3"],
            b"",
        );
        let older: Vec<String> = older.lines().map(|line| line.replace('/', "")).collect();
        assert_eq!(older.len(), 3);
        assert!(older.contains(&desk.value("one.git", "main")));
        // A view of it is it, however it is packed.
        desk.git(&["repack", "-adq"], b"");
        desk.build("r.git", "two.git");
        assert_eq!(desk.refs("one.git"), desk.refs("two.git"));
        let again = desk.build("one.git", "three.git");
        assert_eq!(desk.refs("one.git"), desk.refs("three.git"));
        assert_eq!((again.counts.rewritten, again.counts.renamed), (0, 0));
    }
}

#[test]
fn notes_that_no_secret_touches_keep_their_names() {
    let desk = Desk::new("sha1");
    let clean = commit(1, "refs/heads/main", "m\n", &file("100644", "f", "f\n"));
    desk.import(&clean);
    desk.note("commits", "main", "said\n");
    let built = desk.build("r.git", "one.git");
    assert_eq!(desk.refs("one.git"), desk.refs("r.git"));
    assert_eq!((built.counts.rewritten, built.counts.renamed), (0, 0));
    // Moved from folder to folder: each stands where git finds it.
    for (number, split) in [(2, 2), (3, 4)] {
        let name = desk.value("r.git", "main");
        let (above, below) = name.split_at(split);
        let above = if split == 4 {
            format!("{}/{}", &above[..2], &above[2..])
        } else {
            above.to_owned()
        };
        let path = format!("{above}/{below}");
        desk.import(&commit(
            number,
            "refs/notes/deep",
            "n\n",
            &(String::from("deleteall\n") + &file("100644", &path, "deep\n")),
        ));
        let built = desk.build("r.git", &format!("deep{split}.git"));
        assert_eq!(
            (built.counts.rewritten, built.counts.refs_without_notes),
            (0, 0)
        );
        assert_eq!(
            desk.shown(&format!("deep{split}.git"), "deep", "main"),
            "deep"
        );
    }
}

/// As git divides notes once there are many: into folders by the first digits of a name, and a
/// name of the view has others.
#[test]
fn many_notes_stand_in_folders() {
    let desk = Desk::new("sha1");
    let told = file("100644", "f", &format!("{}\n", secret(1)));
    let commits: String = (1..=400)
        .map(|number| {
            commit(
                number,
                "refs/heads/main",
                &format!("{number}\n"),
                if number == 1 { &told } else { "" },
            )
        })
        .collect();
    desk.import(&commits);
    let names = desk.git(&["rev-list", "main"], b"");
    let mut notes = format!(
        "commit refs/notes/commits\nauthor {ME}\ncommitter {ME}\n{}",
        data("Notes\n")
    );
    for name in names.lines() {
        // Writes notes as git does, into folders where there are many.
        let subject = desk.git(&["log", "-1", "--format=%s", name], b"");
        let text = data(&format!("of {subject}\n"));
        let _ = write!(notes, "N inline {name}\n{text}");
    }
    desk.import(&(notes + "\n"));
    let tree = desk.git(&["ls-tree", "refs/notes/commits"], b"");
    assert!(
        tree.lines().all(|line| line.starts_with("040000")),
        "{tree}"
    );
    let built = desk.build("r.git", "one.git");
    desk.tells_nothing("one.git", &built, &[secret(1)]);
    for revision in ["main", "main~7", "main~200", "main~399"] {
        let subject = desk.git(&["log", "-1", "--format=%s", revision], b"");
        assert_eq!(
            desk.shown("one.git", "commits", revision),
            format!("of {subject}")
        );
    }
    let mut all: Vec<String> = desk
        .at("one.git", &["rev-list", "main"], b"")
        .lines()
        .map(str::to_owned)
        .collect();
    all.sort_unstable();
    assert_eq!(desk.listed("one.git", "commits"), all);
    assert!(originals(&built).len() >= 400);
}

#[test]
fn what_is_no_tree_of_notes_is_not_served_as_one() {
    let desk = Desk::new("sha1");
    history(&desk);
    let main = desk.value("r.git", "main");
    let with = |path: &str| {
        let more = file("100644", path, "x\n");
        commit(
            90,
            "refs/notes/odd",
            "n\n",
            &(String::from("deleteall\n") + &file("100644", &main, "n\n") + &more),
        )
    };
    for path in [
        "README",
        &main[..39],
        &format!("ab/{}", &main[..39]),
        &main.to_ascii_uppercase(),
    ] {
        desk.import(&with(path));
        let built = desk.build("r.git", "odd.git");
        assert_eq!(built.counts.refs_without_notes, 1, "{path}");
        assert!(!desk.refs("odd.git").contains("refs/notes"), "{path}");
        desk.tells_nothing("odd.git", &built, &[]);
        desk.git(&["update-ref", "-d", "refs/notes/odd"], b"");
        std::fs::remove_dir_all(desk.path("odd.git")).unwrap();
    }
    // A branch that somebody calls notes, a tag, a file, and another name for a branch.
    let before = desk.build("r.git", "before.git").map;
    for (name, value) in [
        ("a", "main"),
        ("b", "refs/tags/v1"),
        ("c", "main:README"),
        ("d", "main^{tree}"),
    ] {
        let value = desk.value("r.git", value);
        desk.git(&["update-ref", &format!("refs/notes/{name}"), &value], b"");
    }
    desk.git(&["symbolic-ref", "refs/notes/e", "refs/heads/main"], b"");
    let built = desk.build("r.git", "after.git");
    assert_eq!((built.map, built.counts.refs_without_notes), (before, 5));
    assert_eq!(desk.refs("after.git"), desk.refs("before.git"));
}

#[test]
fn notes_are_extended_as_they_are_built() {
    for format in ["sha1", "sha256"] {
        let desk = Desk::new(format);
        history(&desk);
        let main = desk.value("r.git", "main");
        let side = desk.value("r.git", "side");
        let readme = desk.value("r.git", "main:README");
        let masked = desk.value("r.git", "main:conf/app.env");
        let next = |text: &str, notes: &[(&str, &str)]| {
            let from = if text == "first" {
                ""
            } else {
                "from refs/notes/commits^0\n"
            };
            let mut commit = format!(
                "commit refs/notes/commits\nauthor {ME}\ncommitter {ME}\n{}{from}",
                data(text)
            );
            for (about, text) in notes {
                commit += &file("100644", about, text);
            }
            commit + "\n"
        };
        // Exists, and no ref reaches it yet.
        let late = format!(
            "tree {}\nparent {main}\nauthor {ME}\ncommitter {ME}\n\nlate\n",
            desk.value("r.git", "main^{tree}")
        );
        let late = desk.git(
            &["hash-object", "-t", "commit", "-w", "--stdin"],
            late.as_bytes(),
        );
        let on_main = |rest: &str| {
            commit(
                99,
                "refs/heads/main",
                "More\n",
                &format!("from refs/heads/main^0\n{rest}"),
            )
        };
        let pushes = [
            ("root", String::new()),
            (
                "first",
                next(
                    "first",
                    &[(&main, "one\n"), (&side, &format!("{}\n", secret(77)))],
                ),
            ),
            (
                "another",
                next("another", &[(&desk.value("r.git", "main~2"), "two\n")]),
            ),
            (
                "a commit and nothing on it",
                on_main(&file("100644", "n", "n\n")),
            ),
            (
                "on what is not there",
                next("late", &[(&late, "late\n"), (&main, "three\n")]),
            ),
            (
                "which comes",
                format!("reset refs/heads/late\nfrom {late}\n\n"),
            ),
            ("on a masked file", next("file", &[(&masked, "m\n")])),
            (
                "on a file that was there",
                next("file", &[(&readme, "r\n")]),
            ),
            ("on it again", next("file", &[(&readme, "r2\n")])),
            (
                "the text of a note as a file",
                on_main(&file("100644", "said", "late\n")),
            ),
            (
                "a file that was there as a note",
                next("clean", &[(&side, "clean\n")]),
            ),
            (
                "gone",
                next("gone", &[(&main, "")])
                    .replace(&file("100644", &main, ""), &format!("D {main}\n")),
            ),
            (
                "a branch of notes",
                "reset refs/heads/notes\nfrom refs/notes/commits^0\n\n".to_owned(),
            ),
            (
                "and they are notes no more",
                "reset refs/notes/commits\nfrom 0000000000000000000000000000000000000000\n\n"
                    .replace(&"0".repeat(40), &"0".repeat(main.len())),
            ),
        ];
        let cold = follows(&desk, &pushes);
        assert_eq!(
            cold,
            [
                "root",
                "which comes",
                "on a file that was there",
                "the text of a note as a file",
                "a file that was there as a note",
                "and they are notes no more"
            ]
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn notes_of_generated_histories_are_extended_as_they_are_built(steps in prop::collection::vec(any::<Step>().prop_map(|(a, b, c, d, e)| (a, b, c, d, e % 5)), 2..8)) {
        let desk = Desk::new("sha1");
        let mut pushes: Vec<(&str, String)> = Vec::new();
        for (many, (_, about, _, kind, seed)) in (1..=steps.len()).zip(&steps) {
            let (mut stream, _) = generated(&steps[..many]);
            let text = if kind % 2 == 0 { secret(*seed) } else { format!("clean {seed}") };
            let from = if many > 1 { "from refs/notes/commits^0\n" } else { "" };
            let about = 1 + usize::from(*about) % many;
            let note = format!("{from}N inline :{about}\n{}", data(&text));
            stream += &commit(99, "refs/notes/commits", "Notes\n", &note);
            pushes.push(("notes", stream));
        }
        follows(&desk, &pushes);
        let built = desk.build("r.git", "one.git");
        desk.tells_nothing("one.git", &built, &(0..6).map(secret).collect::<Vec<_>>());
        // Each note stands on what its commit is called in the view, unless no ref reaches it now.
        let names = desk.git(&["notes", "list"], b"");
        let renamed = |line: &str| {
            let from = line.split_once(' ').unwrap().1;
            let found = built.map.iter().find(|(it, _)| it.to_string() == from);
            found.map(|(_, to)| to.to_string())
        };
        let mut expected: Vec<String> = names.lines().filter_map(renamed).collect();
        expected.sort_unstable();
        prop_assert_eq!(desk.listed("one.git", "commits"), expected);
    }
}
