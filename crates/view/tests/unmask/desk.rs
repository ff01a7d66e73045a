//! A repository, its view, and people who clone either: one who sees all, one who sees the view.

use std::path::PathBuf;
use std::process::Command as Process;

use refwarden_gitio::{Git, ObjectEnv, Repository};
use refwarden_model::Oid;
use refwarden_model::facts::SecretMove;
use refwarden_scan::{FingerprintKey, Ruleset, example};
use refwarden_view::Mask;
use refwarden_view::build::{Built, build};
use refwarden_view::unmask::{
    Command, Problem, Refusal, Translated, UnmaskError, View, receive, unmask,
};
use tempfile::TempDir;

pub fn secret(seed: u64) -> String {
    String::from_utf8(example::expand("ghp_{base62:30}{crc32}", seed)).unwrap()
}

pub fn pem(seed: u64) -> String {
    let template = "-----BEGIN {word:RSA} PRIVATE KEY-----{nl}{pem:400}{nl}-----END {word:RSA} PRIVATE KEY-----";
    String::from_utf8(example::expand(template, seed)).unwrap()
}

/// A clone with a work tree.
pub struct Clone {
    pub path: PathBuf,
}

impl Clone {
    pub fn command(&self, arguments: &[&str]) -> Process {
        let mut git = Process::new("git");
        git.current_dir(&self.path).args(arguments).env_clear();
        for (key, value) in [
            ("PATH", std::env::var("PATH").unwrap().as_str()),
            ("HOME", self.path.to_str().unwrap()),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_AUTHOR_NAME", "A"),
            ("GIT_AUTHOR_EMAIL", "a@example.org"),
            ("GIT_AUTHOR_DATE", "1700000000 +0000"),
            ("GIT_COMMITTER_NAME", "A"),
            ("GIT_COMMITTER_EMAIL", "a@example.org"),
            ("GIT_COMMITTER_DATE", "1700000000 +0000"),
            ("GIT_EDITOR", "true"),
            ("LC_ALL", "C"),
        ] {
            git.env(key, value);
        }
        git
    }

    /// Runs git, which has to succeed.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "git {arguments:?}: {text}\n{error}"
        );
        text
    }

    /// What git prints, byte for byte.
    pub fn raw(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        output.stdout
    }

    pub fn read(&self, path: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path.join(path)).unwrap()).into_owned()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn edit(&self, path: &str, change: impl Fn(&str) -> String) {
        self.write(path, &change(&self.read(path)));
    }

    pub fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
    }

    /// The line of a file that holds a placeholder, or its secret.
    pub fn line(&self, path: &str, beginning: &str) -> String {
        let text = self.read(path);
        let line = text.lines().find(|line| line.starts_with(beginning));
        line.unwrap().to_owned()
    }
}

pub struct Desk {
    directory: TempDir,
    /// Whether people are asked where a placeholder stands elsewhere.
    pub may_move: bool,
    /// The rules that mask; the built-in ones where empty.
    pub rules: &'static str,
}

/// A masked push as git has sent it.
pub struct Sent {
    pub commands: Vec<Command>,
    pub pack: Option<PathBuf>,
}

impl Desk {
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn at(&self, name: &str) -> Clone {
        Clone {
            path: self.path(name),
        }
    }

    /// An empty original.
    pub fn empty(format: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let desk = Self {
            directory,
            may_move: false,
            rules: "",
        };
        let option = format!("--object-format={format}");
        std::fs::create_dir(desk.path("original.git")).unwrap();
        desk.at("original.git")
            .git(&["init", "-q", "--bare", "-b", "main", &option]);
        desk
    }

    /// An original with secrets in many places, and its view.
    pub fn new(format: &'static str) -> Self {
        let desk = Self::empty(format);
        let one = desk.clone_of("original.git", "author", &[]);
        one.git(&["checkout", "-q", "-b", "main"]);
        one.write("README", "clean\nfile\n");
        one.write("sub/clean", "clean\n");
        one.commit("Root");
        one.git(&["branch", "side"]);
        one.write("conf/app.env", &format!("A=1\nT={}\nB=2\n", secret(1)));
        one.write(
            "two.txt",
            &format!("x\na={}\nb={}\ny\n", secret(1), secret(2)),
        );
        one.commit("Add the configuration");
        one.write("key.pem", &format!("top\n{}\nend\n", pem(3)));
        one.write("bin.dat", &format!("\0 {}\n", secret(4)));
        one.write(&format!("dir/k-{}/f", secret(5)), "f\n");
        std::os::unix::fs::symlink(format!("/x/{}", secret(6)), one.path.join("link")).unwrap();
        one.commit("Add keys");
        one.git(&["branch", "topic"]);
        one.edit("two.txt", |text| text.replace("y\n", "z\n"));
        one.commit("Change the end");
        one.git(&[
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            &format!("Oops {}", secret(7)),
        ]);
        one.git(&["tag", "-a", "-m", "one", "v1"]);
        one.git(&["push", "-q", "origin", "--all"]);
        one.git(&["push", "-q", "origin", "--tags"]);
        desk.build("shadow.git");
        desk
    }

    /// Commits by git-fast-import(1).
    pub fn import(&self, name: &str, stream: &str) {
        let env = ObjectEnv::repository_only();
        let git = Git::new(&self.path(name), &env, "fast-import");
        git.arg("--quiet").output(stream.as_bytes()).unwrap();
    }

    pub fn clone_of(&self, from: &str, name: &str, options: &[&str]) -> Clone {
        let from = format!("file://{}", self.path(from).display());
        let clone = self.at(name);
        let _ = std::fs::remove_dir_all(&clone.path);
        std::fs::create_dir(&clone.path).unwrap();
        let arguments = [&["clone", "-q"], options, &[&from, "."]].concat();
        clone.git(&arguments);
        clone
    }

    /// A clone by somebody who sees the view.
    pub fn masked(&self, options: &[&str]) -> Clone {
        self.at("shadow.git")
            .git(&["config", "uploadpack.allowFilter", "true"]);
        self.clone_of("shadow.git", "masked", options)
    }

    pub fn with_mask<T>(&self, work: impl FnOnce(&Mask<'_>) -> T) -> T {
        let ruleset = match self.rules {
            "" => Ruleset::builtin(),
            rules => Ruleset::from_toml(&[("test.toml", rules)]),
        };
        let ruleset = ruleset.unwrap_or_else(|error| panic!("{error}"));
        work(&Mask::new(&ruleset, &FingerprintKey::new([7; 32])).unwrap())
    }

    pub fn build(&self, into: &str) -> Built {
        let _ = std::fs::remove_dir_all(self.path(into));
        let original = Repository::open(&self.path("original.git")).unwrap();
        let built = self.with_mask(|mask| build(&original, mask, &self.path(into)));
        built.unwrap_or_else(|error| panic!("{error}"))
    }

    /// A push by real git, caught at the hook of a copy of the shadow.
    pub fn send(&self, clone: &Clone, refspecs: &[&str]) -> Sent {
        let (inbox, caught) = (self.path("inbox.git"), self.path("caught"));
        for path in [&inbox, &caught] {
            let _ = std::fs::remove_dir_all(path);
        }
        let from = self.path("shadow.git");
        let copied = Process::new("cp")
            .arg("-r")
            .args([&from, &inbox])
            .status()
            .unwrap();
        assert!(copied.success());
        std::fs::create_dir_all(&caught).unwrap();
        let there = self.at("inbox.git");
        for (key, value) in [
            ("receive.unpackLimit", "1"),
            ("receive.denyDeleteCurrent", "false"),
        ] {
            there.git(&["config", key, value]);
        }
        let hook = inbox.join("hooks/pre-receive");
        std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
        let catch = caught.display();
        let script = format!(
            "#!/bin/sh\ncat >'{catch}/commands'\ncp \"$GIT_QUARANTINE_PATH\"/pack/*.pack '{catch}/pack' 2>/dev/null\nexit 0\n"
        );
        std::fs::write(&hook, script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&hook, mode).unwrap();
        let url = format!("file://{}", inbox.display());
        clone.git(&[&["push", "-q", &url], refspecs].concat());
        let commands = std::fs::read_to_string(caught.join("commands")).unwrap();
        let commands = commands.lines().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            Command {
                name: refwarden_model::RefName::parse(words[2].as_bytes()).unwrap(),
                old: words[0].parse().unwrap(),
                new: words[1].parse().unwrap(),
            }
        });
        Sent {
            commands: commands.collect(),
            pack: Some(caught.join("pack")).filter(|pack| pack.exists()),
        }
    }

    /// Works with the view as it was built last.
    pub fn with_view<T>(&self, work: impl FnOnce(View<'_, '_>) -> T) -> T {
        let original = Repository::open(&self.path("original.git")).unwrap();
        let shadow = Repository::open(&self.path("shadow.git")).unwrap();
        let built = self.build("again.git");
        let maps = built.maps();
        let key = FingerprintKey::new([8; 32]);
        self.with_mask(|mask| {
            work(View {
                original: &original,
                shadow: &shadow,
                mask,
                maps: &maps,
                shows: &|name| !name.as_bytes().starts_with(b"refs/heads/hidden/"),
                moves: self.may_move.then_some(&key),
            })
        })
    }

    /// Translates what was sent.
    pub fn translate(&self, sent: &Sent) -> Result<Translated, Box<Refusal>> {
        let (objects, into) = (self.path("received"), self.path("translated"));
        for path in [&objects, &into] {
            let _ = std::fs::remove_dir_all(path);
        }
        std::fs::create_dir(&into).unwrap();
        let done = self.with_view(|view| {
            let received = match &sent.pack {
                None => None,
                Some(pack) => {
                    let mut pack = std::fs::File::open(pack).unwrap();
                    receive(view.shadow, &objects, &mut pack, None)?;
                    Some(objects.as_path())
                }
            };
            unmask(view, received, &sent.commands, &into)
        });
        match done {
            Ok(translated) => Ok(translated),
            Err(UnmaskError::Refused(refusal)) => Err(refusal),
            Err(other) => panic!("{other}"),
        }
    }

    /// Does in the original what was translated, as receive-pack does.
    pub fn apply(&self, translated: &Translated) {
        let original = self.path("original.git");
        let env = ObjectEnv::repository_only();
        let index = Git::new(&original, &env, "index-pack").args(["--stdin", "--strict"]);
        let mut process = index.spawn().unwrap();
        let mut stdin = process.stdin().unwrap();
        std::io::copy(&mut translated.pack().unwrap(), &mut stdin).unwrap();
        drop(stdin);
        process.finish().unwrap();
        let there = self.at("original.git");
        for command in &translated.commands {
            let (name, new) = (command.name.lossy(), command.new.to_string());
            let old = command.old.to_string();
            if command.new.is_zero() {
                there.git(&["update-ref", "-d", &name, &old]);
            } else {
                there.git(&["rev-list", "--objects", "--quiet", &new]);
                there.git(&["update-ref", &name, &new, &old]);
            }
        }
        there.git(&["fsck", "--strict", "--full"]);
    }

    /// After a push: a fresh view has what the client pushed, under the client's names.
    pub fn settles(&self, sent: &Sent) {
        self.build("shadow.git");
        for command in &sent.commands {
            let name = command.name.lossy();
            let now = self
                .at("shadow.git")
                .command(&["rev-parse", "-q", "--verify", &name])
                .output();
            let now = String::from_utf8(now.unwrap().stdout).unwrap();
            let zero = command.new.is_zero();
            let expected = if zero {
                String::new()
            } else {
                command.new.to_string()
            };
            assert_eq!(now.trim_end(), expected, "{name}");
        }
        self.tells_nothing();
    }

    /// No planted secret and no original name in the shadow.
    pub fn tells_nothing(&self) {
        let built = self.build("again.git");
        let git = Git::new(
            &self.path("shadow.git"),
            &ObjectEnv::repository_only(),
            "cat-file",
        );
        let all = git
            .args(["--batch", "--batch-all-objects"])
            .output(b"")
            .unwrap();
        let holds = |needle: &[u8]| memchr::memmem::find(&all, needle).is_some();
        for seed in 1..=9 {
            assert!(!holds(secret(seed).as_bytes()), "secret {seed}");
        }
        for line in pem(3).lines().filter(|line| !line.starts_with('-')) {
            assert!(!holds(line.as_bytes()), "a key");
        }
        for (from, to) in built.map {
            assert!(from == to || !holds(from.to_string().as_bytes()) && !holds(from.raw()));
        }
    }

    /// Runs the same commands in a clone that sees all and in one that sees the view, and pushes
    /// from the latter. The original gets what the former has made. Answers which secrets move.
    pub fn accepts(&self, act: impl Fn(&Clone), refspecs: &[&str]) -> Vec<SecretMove> {
        let full = self.clone_of("original.git", "full", &[]);
        let masked = self.masked(&[]);
        act(&full);
        act(&masked);
        let sent = self.send(&masked, refspecs);
        let translated = self
            .translate(&sent)
            .unwrap_or_else(|refusal| panic!("{refusal}"));
        let again = self.translate(&sent).unwrap();
        assert_eq!(
            again.commands, translated.commands,
            "the same push, the same originals"
        );
        self.send_full(&full, refspecs, &translated.commands);
        assert_eq!(again.moves, translated.moves);
        self.apply(&translated);
        self.settles(&sent);
        translated.moves
    }

    /// What a person with full sight would have pushed.
    fn send_full(&self, full: &Clone, refspecs: &[&str], expected: &[Command]) {
        let from = self.path("original.git");
        let _ = std::fs::remove_dir_all(self.path("whole.git"));
        let copied = Process::new("cp")
            .arg("-r")
            .arg(from)
            .arg(self.path("whole.git"))
            .status();
        assert!(copied.unwrap().success());
        let url = format!("file://{}", self.path("whole.git").display());
        full.git(&[&["push", "-q", &url], refspecs].concat());
        for command in expected {
            let name = command.name.lossy();
            let at = self
                .at("whole.git")
                .command(&["rev-parse", "-q", "--verify", &name])
                .output();
            let value = String::from_utf8(at.unwrap().stdout).unwrap();
            let zero = Oid::parse(value.trim_end().as_bytes()).unwrap_or_else(|_| {
                Repository::open(&self.path("whole.git"))
                    .unwrap()
                    .object_format
                    .zero()
            });
            assert_eq!(zero, command.new, "{name}");
        }
    }

    /// A push from a masked clone that is refused, and changes nothing.
    pub fn refuses(
        &self,
        act: impl Fn(&Clone),
        refspecs: &[&str],
        problem: Problem,
    ) -> Box<Refusal> {
        let masked = self.masked(&[]);
        act(&masked);
        let sent = self.send(&masked, refspecs);
        match self.translate(&sent) {
            Err(refusal) => {
                assert_eq!(refusal.problem, problem, "{refusal}");
                refusal
            }
            Ok(_) => panic!("it was translated"),
        }
    }
}
