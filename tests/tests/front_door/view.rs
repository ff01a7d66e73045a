//! `refwarden view build` on real repositories: what a person types, and what a kill leaves.

use std::path::Path;
use std::process::{Command, Stdio};

use refwarden_testkit::{Git, Outcome, program, run};
use serde_json::Value;
use tempfile::TempDir;

use crate::shared::secret;

/// A bare repository with a secret in its history, a cache, and `refwarden`.
struct Desk {
    directory: TempDir,
    git: Git,
}

impl Desk {
    /// `files` in each of `commits` commits; the last file of each holds the secret.
    fn new(commits: usize, files: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let git = Git::new(directory.path());
        git.run(
            directory.path(),
            &["init", "-q", "--bare", "-b", "main", "r.git"],
        )
        .passes();
        let mut stream = String::new();
        let data = |text: &str| format!("data {}\n{text}\n", text.len());
        for commit in 0..commits {
            stream += "commit refs/heads/main\ncommitter A <a@x> 1700000000 +0000\n";
            stream += &data(&format!("Commit {commit}\n"));
            for file in 0..files {
                let text = format!("{commit} {file}\ntext\n");
                stream.extend([format!("M 100644 inline d{file}/f{commit}\n"), data(&text)]);
            }
            let told = format!("user = a\ntoken = {}\nend\n", secret(8100));
            stream.extend(["M 100644 inline config\n".to_owned(), data(&told)]);
        }
        let desk = Self { directory, git };
        desk.git
            .feed(
                &desk.repository(),
                &["fast-import", "--quiet"],
                stream.as_bytes(),
            )
            .passes();
        desk
    }

    fn repository(&self) -> std::path::PathBuf {
        self.directory.path().join("r.git")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("refwarden"));
        command.current_dir(self.directory.path()).env_clear();
        self.git.environment(&mut command);
        command.args(arguments);
        command
    }

    #[track_caller]
    fn refwarden(&self, arguments: &[&str]) -> Outcome {
        let outcome = run(self.command(arguments), b"");
        assert!(
            !outcome.everything().contains(&secret(8100)),
            "a secret is printed"
        );
        outcome
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let outcome = self.refwarden(&[arguments, &["--json"]].concat()).passes();
        serde_json::from_str(&outcome.text()).unwrap_or_else(|error| panic!("{error}: {outcome}"))
    }

    #[track_caller]
    fn at(&self, directory: &Path, arguments: &[&str]) -> String {
        self.git.text(directory, arguments)
    }
}

#[test]
fn a_view_is_built_shown_mapped_cloned_and_dropped() {
    let desk = Desk::new(3, 2);
    let show = ["view", "show", "r.git"];
    desk.refwarden(&show)
        .fails(&["there is no view", "refwarden view build"]);
    let built = desk.json(&["view", "build", "r.git"]);
    assert_eq!(built["generation"], 1, "{built}");
    assert_eq!(desk.json(&show), built);
    assert_eq!(desk.json(&["view", "list"]), built);
    let shadow = Path::new(built["shadow"].as_str().unwrap());
    let all = desk.at(shadow, &["cat-file", "--batch", "--batch-all-objects"]);
    assert!(!all.contains(&secret(8100)));
    desk.at(shadow, &["fsck", "--strict"]);
    let original = desk.at(&desk.repository(), &["rev-parse", "main"]);
    let masked = desk.at(shadow, &["rev-parse", "main"]);
    assert_ne!(original, masked);
    assert!(!all.contains(&original));
    for side in [&original, &masked] {
        let map = desk.json(&["map", &side[..10], "--repository", "r.git"]);
        assert_eq!(
            (&map["original"], &map["masked"]),
            (&original.as_str().into(), &masked.as_str().into())
        );
    }
    desk.refwarden(&["map", &"0".repeat(40), "--repository", "r.git"])
        .fails(&["no such commit"]);
    desk.at(
        desk.directory.path(),
        &[
            "clone",
            "-q",
            &format!("file://{}", shadow.display()),
            "clone",
        ],
    );
    let config = std::fs::read_to_string(desk.directory.path().join("clone/config")).unwrap();
    assert!(
        config.starts_with("user = a\ntoken = REFWARDEN-MASKED-") && config.ends_with("\nend\n"),
        "{config}"
    );
    // Another build, of the same: the same refs.
    let again = desk.json(&["view", "build", "r.git"]);
    assert_eq!(again["generation"], 2, "{again}");
    let shadow = Path::new(again["shadow"].as_str().unwrap());
    assert_eq!(desk.at(shadow, &["rev-parse", "main"]), masked);
    desk.refwarden(&["view", "drop", "r.git"]).passes();
    desk.refwarden(&["view", "drop", "r.git"])
        .fails(&["there is no view"]);
}

#[test]
fn a_killed_build_leaves_the_old_view_or_none() {
    let desk = Desk::new(40, 20);
    let build = ["view", "build", "r.git", "--json"];
    let mut killed = 0;
    for old in [false, true] {
        let before = old.then(|| desk.json(&["view", "build", "r.git"]));
        // Killed when a generation is seen to be under way, at different depths.
        for sign in [
            "shadow.git",
            "shadow.git/objects/pack",
            "shadow.git/packed-refs",
            "commits.map",
        ] {
            let mut command = desk.command(&build);
            let mut child = command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let ended = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break Some(status);
                }
                if under_way(
                    &desk.directory.path().join("refwarden-views"),
                    sign,
                    before.as_ref(),
                ) {
                    break None;
                }
                std::thread::yield_now();
            };
            if ended.is_some_and(|status| status.success()) {
                // It was quicker; then it is whole, which is looked at below.
            } else {
                child.kill().unwrap();
                child.wait().unwrap();
                killed += 1;
            }
            let shown = desk.refwarden(&["view", "show", "r.git", "--json"]);
            if !shown.ok() {
                assert!(!old, "{shown}");
                continue;
            }
            let shown: Value = serde_json::from_str(&shown.text()).unwrap();
            let shadow = Path::new(shown["shadow"].as_str().unwrap());
            desk.at(shadow, &["fsck", "--strict", "--full"]);
            let all = desk.at(shadow, &["cat-file", "--batch", "--batch-all-objects"]);
            assert!(!all.contains(&secret(8100)));
            assert_eq!(desk.at(shadow, &["rev-list", "--count", "main"]), "40");
        }
    }
    assert!(killed > 0, "every build was too quick to be killed");
    desk.json(&["view", "build", "r.git"]);
}

/// Whether a generation that is not the one before has this file.
fn under_way(cache: &Path, sign: &str, before: Option<&Value>) -> bool {
    let old = before.map(|it| it["generation"].to_string());
    let below = |path: &Path| -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let views = below(cache).into_iter().flat_map(|it| below(&it));
    let generations = views.flat_map(|it| below(&it.join("generations")));
    generations
        .filter(|it| it.file_name().and_then(|name| name.to_str()) != old.as_deref())
        .any(|it| it.join(sign).exists())
}
