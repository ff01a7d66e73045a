//! Pushes from a masked clone: what comes back, and what is refused.

use refwarden_view::unmask::Problem;

use super::desk::{Clone, Desk, secret};

const MAIN: &[&str] = &["HEAD:refs/heads/main"];
/// Put together here, so that no file of this project has the form of a placeholder.
const FORGED: &str = "REFWARDEN-MASKED-";
const FORCE: &[&str] = &["-f", "HEAD:refs/heads/main"];

/// Acts on `main`, commits, pushes.
fn edit(path: &'static str, change: impl Fn(&str) -> String) -> impl Fn(&Clone) {
    move |clone| {
        clone.edit(path, &change);
        clone.commit("Edit");
    }
}

#[test]
fn edits_beside_a_secret_keep_it() {
    for format in ["sha1", "sha256"] {
        let desk = Desk::new(format);
        desk.accepts(
            edit("conf/app.env", |text| text.replace("A=1", "A=3") + "C=1\n"),
            MAIN,
        );
        desk.accepts(
            edit("conf/app.env", |text| format!("# above\n{text}")),
            MAIN,
        );
        desk.accepts(
            edit("key.pem", |text| text.replace("top\n", "new\ntop\n\n")),
            MAIN,
        );
        desk.accepts(edit("two.txt", |text| text.replace("x\n", "")), MAIN);
        desk.accepts(edit("README", |text| text.to_owned() + "more\n"), MAIN);
        desk.accepts(
            edit("dir/g", |_| "new beside a masked name\n".to_owned()).before(|clone| {
                clone.write("dir/g", "");
            }),
            MAIN,
        );
    }
}

trait Before: Fn(&Clone) + Sized {
    fn before(self, first: impl Fn(&Clone)) -> impl Fn(&Clone) {
        move |clone| {
            first(clone);
            self(clone);
        }
    }
}

impl<F: Fn(&Clone)> Before for F {}

#[test]
fn a_line_may_move_within_its_file_and_go() {
    let desk = Desk::new("sha1");
    desk.accepts(
        |clone| {
            let line = clone.line("two.txt", "a=");
            clone.edit("two.txt", |text| {
                text.replace(&format!("{line}\n"), "") + &line
            });
            clone.commit("Move down");
        },
        MAIN,
    );
    desk.accepts(
        |clone| {
            let line = clone.line("two.txt", "b=");
            clone.edit("two.txt", |text| text.replace(&line, "b=$B"));
            clone.commit("Take from the environment");
        },
        MAIN,
    );
    desk.accepts(
        |clone| {
            let line = clone.line("conf/app.env", "T=");
            clone.edit("conf/app.env", |text| {
                text.replace(&format!("{line}\n"), "")
            });
            clone.commit("Delete the secret");
        },
        MAIN,
    );
    assert!(
        !desk
            .at("original.git")
            .git(&["show", "main:conf/app.env"])
            .contains(&secret(1))
    );
    desk.accepts(
        |clone| {
            clone.git(&["rm", "-q", "key.pem", "bin.dat", "link"]);
            clone.commit("Delete files");
        },
        MAIN,
    );
}

#[test]
fn a_new_secret_is_refused() {
    let desk = Desk::new("sha1");
    let line = |clone: &Clone| clone.line("conf/app.env", "T=");
    let rotated = desk.refuses(
        |clone| {
            let line = line(clone);
            clone.edit("conf/app.env", |text| {
                text.replace(&line, &format!("T={}", secret(11)))
            });
            clone.commit("Rotate");
        },
        MAIN,
        Problem::Secret,
    );
    assert_eq!(
        (rotated.path.unwrap(), rotated.line),
        (b"conf/app.env".to_vec(), Some(2))
    );
    // One that is known is treated as any other: nothing is told by guessing right.
    for guess in [1, 11] {
        let line = |clone: &Clone| clone.line("conf/app.env", "T=");
        desk.refuses(
            |clone| {
                let line = line(clone);
                clone.edit("conf/app.env", |text| {
                    text.replace(&line, &format!("T={}", secret(guess)))
                });
                clone.commit("Guess");
            },
            MAIN,
            Problem::Secret,
        );
    }
    let add = |path: &'static str| {
        move |clone: &Clone| {
            clone.write(path, &format!("t={}\n", secret(12)));
            clone.commit("New");
        }
    };
    desk.refuses(add("new.txt"), MAIN, Problem::Secret);
    let named = format!("n-{}", secret(13));
    desk.refuses(
        |clone| {
            clone.write(&named, "x\n");
            clone.commit("Name");
        },
        MAIN,
        Problem::Secret,
    );
    desk.refuses(
        |clone| clone.commit(&format!("Message {}", secret(14))),
        MAIN,
        Problem::Secret,
    );
}

#[test]
fn placeholders_stay_where_they_are() {
    let desk = Desk::new("sha1");
    let refused = |act: &dyn Fn(&Clone), problem| desk.refuses(act, MAIN, problem);
    let line = |clone: &Clone| clone.line("conf/app.env", "T=");
    let placeholder = |clone: &Clone| line(clone)[2..].to_owned();
    let change = |path: &'static str, change: &dyn Fn(&str, &str) -> String, problem| {
        refused(
            &|clone| {
                let placeholder = placeholder(clone);
                clone.edit(path, |text| change(text, &placeholder));
                clone.commit("Edit");
            },
            problem,
        )
    };
    // The line itself, in many ways.
    let glued = change(
        "conf/app.env",
        &|text, it| text.replace(it, &format!("z{it}z")),
        Problem::Changed,
    );
    assert_eq!(
        (glued.path.unwrap(), glued.line),
        (b"conf/app.env".to_vec(), Some(2))
    );
    change(
        "conf/app.env",
        &|text, it| text.replace(it, &format!("https://evil/?p={it}")),
        Problem::Changed,
    );
    change(
        "conf/app.env",
        &|text, it| text.replace(it, &format!("{it} ")),
        Problem::Changed,
    );
    change(
        "conf/app.env",
        &|text, it| text.replace(it, &format!("{it}\r")),
        Problem::Changed,
    );
    change(
        "conf/app.env",
        &|text, it| text.replace(&format!("T={it}"), &format!("U={it}")),
        Problem::Changed,
    );
    change(
        "conf/app.env",
        &|text, it| format!("{text}{it}\n"),
        Problem::Changed,
    );
    // Twice, elsewhere, forged.
    change(
        "conf/app.env",
        &|text, it| format!("{text}T={it}\n"),
        Problem::Repeated,
    );
    change(
        "two.txt",
        &|text, it| format!("{text}T={it}\n"),
        Problem::Changed,
    );
    change(
        "README",
        &|text, it| format!("{text}T={it}\n"),
        Problem::Changed,
    );
    change(
        "README",
        &|text, _| format!("{text}{FORGED}github-pat-0123456789abcdef\n"),
        Problem::Changed,
    );
    change(
        "README",
        &|text, _| format!("{text}{FORGED}of-old-rules-0123456789abcdef\n"),
        Problem::Changed,
    );
    // The key of many lines, without one of them, or with something between.
    change(
        "key.pem",
        &|text, _| text.replacen("\n\n", "\n", 1),
        Problem::Changed,
    );
    // Files without lines, links.
    change("bin.dat", &|text, _| format!("{text}x\n"), Problem::Changed);
    refused(
        &|clone| {
            let placeholder = placeholder(clone);
            std::os::unix::fs::symlink(&placeholder, clone.path.join("l")).unwrap();
            clone.commit("Link");
        },
        Problem::NotLines,
    );
    refused(
        &|clone| {
            let text = clone.read("conf/app.env");
            std::fs::remove_file(clone.path.join("conf/app.env")).unwrap();
            std::os::unix::fs::symlink(text, clone.path.join("conf/app.env")).unwrap();
            clone.commit("File to link");
        },
        Problem::NotLines,
    );
    refused(
        &|clone| {
            clone.git(&["mv", "conf/app.env", "conf/public.env"]);
            clone.commit("Rename");
        },
        Problem::Changed,
    );
    refused(
        &|clone| {
            clone.git(&["mv", "conf", "moved"]);
            clone.commit("Move the directory");
        },
        Problem::Changed,
    );
    refused(
        &|clone| {
            clone.git(&["mv", "link", "other-link"]);
            clone.commit("Rename the link");
        },
        Problem::NotLines,
    );
    refused(
        &|clone| {
            clone.edit("conf/app.env", |text| text.replace("A=1", "A=2"));
            clone.git(&["update-index", "--chmod=+x", "conf/app.env"]);
            clone.git(&["config", "core.fileMode", "true"]);
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(clone.path.join("conf/app.env"), mode).unwrap();
            clone.commit("Edit and mode");
        },
        Problem::Changed,
    );
    // Names, messages, authors.
    refused(
        &|clone| {
            let placeholder = placeholder(clone);
            clone.write(&placeholder, "x\n");
            clone.commit("Name");
        },
        Problem::InName,
    );
    refused(
        &|clone| {
            let name = std::fs::read_dir(clone.path.join("dir")).unwrap().next();
            let name = name.unwrap().unwrap().file_name().into_string().unwrap();
            clone.git(&["mv", &format!("dir/{name}"), &format!("sub/{name}")]);
            clone.commit("Move a name");
        },
        Problem::InName,
    );
    refused(
        &|clone| clone.commit(&format!("See {}", placeholder(clone))),
        Problem::InMessage,
    );
    refused(
        &|clone| {
            let author = format!("--author={} <a@example.org>", placeholder(clone));
            clone.git(&["commit", "-q", "--allow-empty", "-m", "m", &author]);
        },
        Problem::InMessage,
    );
    desk.refuses(
        |clone| {
            let arguments = [
                "--amend",
                "--allow-empty",
                "--no-edit",
                "--date=1700000001 +0000",
            ];
            clone.git(&[&["commit", "-q"], &arguments[..]].concat());
        },
        FORCE,
        Problem::InMessage,
    );
}

#[test]
fn a_changed_mode_alone_keeps_the_secret() {
    let desk = Desk::new("sha1");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    desk.accepts(
        |clone| {
            std::fs::set_permissions(
                clone.path.join("conf/app.env"),
                std::fs::Permissions::clone(&mode),
            )
            .unwrap();
            clone.commit("Executable");
        },
        MAIN,
    );
    desk.accepts(
        edit("dir/k", str::to_owned).before(|clone| {
            let name = std::fs::read_dir(clone.path.join("dir")).unwrap().next();
            let name = name.unwrap().unwrap().file_name().into_string().unwrap();
            clone.edit(&format!("dir/{name}/f"), |text| {
                text.to_owned() + "below a masked name\n"
            });
            clone.write("dir/k", "k\n");
        }),
        MAIN,
    );
}

#[test]
fn history_is_rewritten_as_by_anybody() {
    let desk = Desk::new("sha1");
    // Commits upon topic, to be merged, picked, rebased.
    desk.accepts(
        |clone| {
            clone.git(&["checkout", "-q", "topic"]);
            clone.edit("conf/app.env", |text| text.replace("A=1", "A=2"));
            clone.commit("On topic");
            clone.write("topic.txt", "t\n");
            clone.commit("A file");
        },
        &["topic"],
    );
    desk.accepts(
        |clone| {
            clone.git(&["merge", "-q", "--no-edit", "origin/topic"]);
        },
        MAIN,
    );
    desk.accepts(
        |clone| {
            clone.git(&["revert", "--no-edit", "-m", "1", "HEAD"]);
        },
        MAIN,
    );
    desk.accepts(
        |clone| {
            clone.git(&["cherry-pick", "-x", "origin/topic~1"]);
        },
        MAIN,
    );
    // The file goes and comes back.
    desk.accepts(
        |clone| {
            clone.git(&["rm", "-q", "two.txt"]);
            clone.commit("Remove");
            clone.git(&["revert", "--no-edit", "HEAD"]);
        },
        MAIN,
    );
    // From a branch without any of it.
    desk.accepts(
        |clone| {
            clone.git(&["checkout", "-q", "side"]);
            clone.git(&[
                "cherry-pick",
                "-x",
                "origin/main~5^{/Add the configuration}",
            ]);
        },
        &["side"],
    );
    desk.accepts(
        |clone| {
            clone.git(&["checkout", "-q", "topic"]);
            clone.write("again.txt", "a\n");
            clone.commit("Again");
            clone.git(&["rebase", "-q", "origin/side"]);
        },
        &["-f", "topic"],
    );
    desk.accepts(
        |clone| {
            clone.git(&["checkout", "-q", "topic"]);
            clone.edit("conf/app.env", |text| text.to_owned() + "Z=1\n");
            clone.git(&["add", "-A"]);
            clone.git(&["commit", "-q", "--amend", "-m", "Amended"]);
        },
        &["-f", "topic"],
    );
    // All of it in one commit upon the root.
    desk.accepts(
        |clone| {
            clone.git(&["reset", "-q", "--soft", "HEAD^{/Root}"]);
            clone.git(&["commit", "-q", "-m", "Squashed"]);
        },
        FORCE,
    );
}

#[test]
fn octopus_and_new_branches_and_deletions() {
    let desk = Desk::new("sha1");
    desk.accepts(
        |clone| {
            for (name, path) in [("a", "a.txt"), ("b", "b.txt")] {
                clone.git(&["checkout", "-q", "-b", name, "origin/topic"]);
                clone.write(path, "x\n");
                clone.commit(name);
            }
            clone.git(&["checkout", "-q", "-b", "octopus", "origin/topic"]);
            clone.edit("conf/app.env", |text| text.to_owned() + "O=1\n");
            clone.commit("Of its own");
            clone.git(&["merge", "-q", "--no-edit", "a", "b"]);
            assert_eq!(
                clone
                    .git(&["rev-list", "--parents", "-1", "HEAD"])
                    .split(' ')
                    .count(),
                4
            );
        },
        &["a", "b", "octopus"],
    );
    desk.accepts(
        |_| {},
        &[
            "origin/topic:refs/heads/same",
            "origin/main~1:refs/heads/older",
        ],
    );
    desk.accepts(
        |_| {},
        &[
            ":refs/heads/same",
            ":refs/heads/older",
            "--atomic",
            "origin/side:refs/heads/s2",
        ],
    );
}

#[test]
fn files_too_large_to_hold_stay_or_go() {
    let desk = Desk::empty("sha1");
    let author = desk.clone_of("original.git", "author", &[]);
    let big = "0123456789abcde\n".repeat((17 << 20) / 16);
    author.git(&["checkout", "-q", "-b", "main"]);
    author.write("big", &format!("{big}t={}\n", secret(1)));
    author.write("small", "s\n");
    author.commit("Big");
    author.git(&["push", "-q", "origin", "main"]);
    desk.build("shadow.git");
    desk.accepts(edit("small", |text| text.to_owned() + "more\n"), MAIN);
    desk.refuses(
        edit("big", |text| text.to_owned() + "x\n"),
        MAIN,
        Problem::Changed,
    );
    let placeholder = desk.masked(&[]).read("big").trim().to_owned();
    let add = |end: String| {
        let text = format!("{big}{end}\n");
        move |clone: &Clone| {
            clone.write("new", &text);
            clone.commit("New");
        }
    };
    desk.refuses(add(placeholder), MAIN, Problem::NotLines);
    desk.refuses(add(secret(2)), MAIN, Problem::Secret);
    desk.accepts(add("clean".to_owned()), MAIN);
}

#[test]
fn a_directory_of_secrets_stays_where_it_is() {
    let desk = Desk::new("sha1");
    // The tree of `conf` as that of a commit, so that `conf/app.env` is at `app.env`.
    desk.refuses(
        |clone| {
            let tree = clone.git(&["rev-parse", "HEAD:conf"]);
            let commit = clone.git(&["commit-tree", "-p", "HEAD", "-m", "Up", &tree]);
            clone.git(&["reset", "-q", "--hard", &commit]);
        },
        MAIN,
        Problem::Changed,
    );
    // A history without parents has the files that the view's had at these paths.
    desk.accepts(
        |clone| {
            clone.git(&["checkout", "-q", "--orphan", "fresh"]);
            clone.commit("All in one");
        },
        &["fresh"],
    );
}
