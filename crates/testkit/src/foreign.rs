//! Clients that are not git: dulwich and libgit2 (`PyPI`), isomorphic-git (npm), gitoxide (crates.io), pinned
//! in `tests/foreign/` and installed beside the tests, once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::run::{Outcome, run};

/// Its files.
const FILES: [(&str, &str); 9] = [
    (
        "package.json",
        include_str!("../../../tests/foreign/package.json"),
    ),
    (
        "package-lock.json",
        include_str!("../../../tests/foreign/package-lock.json"),
    ),
    (
        "requirements.txt",
        include_str!("../../../tests/foreign/requirements.txt"),
    ),
    (
        "with_dulwich.py",
        include_str!("../../../tests/foreign/with_dulwich.py"),
    ),
    (
        "with_pygit2.py",
        include_str!("../../../tests/foreign/with_pygit2.py"),
    ),
    (
        "with_isomorphic_git.mjs",
        include_str!("../../../tests/foreign/with_isomorphic_git.mjs"),
    ),
    (
        "gitoxide/Cargo.toml",
        include_str!("../../../tests/foreign/gitoxide/Cargo.toml"),
    ),
    (
        "gitoxide/Cargo.lock",
        include_str!("../../../tests/foreign/gitoxide/Cargo.lock"),
    ),
    (
        "gitoxide/main.rs",
        include_str!("../../../tests/foreign/gitoxide/main.rs"),
    ),
];

/// A client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// dulwich.
    Dulwich,
    /// libgit2, through pygit2.
    Pygit2,
    /// isomorphic-git, in node.
    IsomorphicGit,
    /// gitoxide, which clones and fetches only.
    Gitoxide,
}

impl Foreign {
    /// Those that push.
    pub const PUSHING: [Self; 3] = [Self::Dulwich, Self::Pygit2, Self::IsomorphicGit];

    /// Has it do something: `clone URL DIR`, `commit DIR FILE LINE MESSAGE`, `push DIR REF` or
    /// `fetch DIR`; gitoxide, `clone URL DIR [DEPTH]` or `fetch DIR`.
    #[track_caller]
    pub fn run(self, token: &str, arguments: &[&str]) -> Outcome {
        let directory = installed();
        let (program, script) = match self {
            Self::Dulwich => (directory.join("python/bin/python"), Some("with_dulwich.py")),
            Self::Pygit2 => (directory.join("python/bin/python"), Some("with_pygit2.py")),
            Self::IsomorphicGit => (PathBuf::from("node"), Some("with_isomorphic_git.mjs")),
            Self::Gitoxide => (directory.join("gitoxide/target/debug/with-gitoxide"), None),
        };
        let mut command = Command::new(program);
        let script = script.map(|name| directory.join(name));
        command.args(script).args(arguments);
        command.env("TOKEN", token).env("NO_PROXY", "127.0.0.1");
        run(command, b"")
    }
}

#[track_caller]
fn installed() -> PathBuf {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let here = std::env::current_exe().unwrap();
    let release = here.ancestors().find(|it| it.join("refwarden").is_file());
    let directory = release.unwrap().join("foreign-clients");
    let is_there = |(name, text): &(&str, &str)| {
        std::fs::read_to_string(directory.join(name)).is_ok_and(|found| found == *text)
    };
    let done = directory.join(".done");
    if FILES.iter().all(is_there) && done.exists() {
        return directory;
    }
    std::fs::create_dir_all(directory.join("gitoxide")).unwrap();
    for (name, text) in FILES {
        std::fs::write(directory.join(name), text).unwrap();
    }
    step(
        &directory,
        "npm",
        &["ci", "--no-audit", "--no-fund", "--ignore-scripts"],
    );
    step(&directory, "python3", &["-m", "venv", "--clear", "python"]);
    let pip = [
        "-q",
        "install",
        "--only-binary",
        ":all:",
        "-r",
        "requirements.txt",
    ];
    step(&directory, "python/bin/pip", &pip);
    let build = ["build", "-q", "--locked", "--target-dir", "target"];
    step(&directory.join("gitoxide"), "cargo", &build);
    std::fs::write(done, "").unwrap();
    directory
}

#[track_caller]
fn step(directory: &Path, program: &str, arguments: &[&str]) {
    let path = if program.contains('/') {
        directory.join(program)
    } else {
        PathBuf::from(program)
    };
    let done = Command::new(path)
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; see install/bootstrap.sh"));
    assert!(done.status.success(), "{program} {arguments:?}: {done:?}");
}
