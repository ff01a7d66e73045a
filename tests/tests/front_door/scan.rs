//! `refwarden scan` on real files and repositories. Whatever it prints holds no secret.

mod baseline;
mod faults;
mod files;
mod gitleaks;
mod history;
mod hook;
mod inside;
mod odd;
mod report;
mod staged;

pub use report::is_valid as valid_sarif;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use refwarden_testkit::{Git, Outcome, program, run};
use serde_json::Value;
use tempfile::TempDir;

use crate::shared::secret;

/// Secrets that tests plant: `secret(SEEDS.start)` and so on.
const SEEDS: std::ops::Range<u64> = 7000..7020;

/// A secret of these tests.
fn planted(number: u64) -> String {
    assert!(number < SEEDS.end - SEEDS.start);
    secret(SEEDS.start + number)
}

/// A directory of its own, git without anybody's configuration, and `refwarden`.
struct Desk {
    directory: TempDir,
    git: Git,
}

impl Desk {
    /// An empty directory.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("home");
        std::fs::create_dir_all(home.join("work")).unwrap();
        let git = Git::new(&home);
        let desk = Self { directory, git };
        std::fs::create_dir(desk.path()).unwrap();
        desk
    }

    /// An empty repository.
    fn repository() -> Self {
        Self::of_format("sha1")
    }

    fn of_format(format: &str) -> Self {
        let desk = Self::new();
        let option = format!("--object-format={format}");
        desk.git(&["init", "-q", "-b", "main", &option]);
        desk
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("tree")
    }

    #[track_caller]
    fn git(&self, arguments: &[&str]) -> String {
        self.git.text(&self.path(), arguments)
    }

    #[track_caller]
    fn write(&self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) {
        let path = self.path().join(OsStr::from_bytes(name.as_ref()));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Commits everything; the commit.
    #[track_caller]
    fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// A command in the directory.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).env_clear();
        self.git.environment(&mut command);
        command
    }

    /// Runs `refwarden scan` in the directory. Whatever it prints holds no planted secret.
    #[track_caller]
    fn scan(&self, arguments: &[&str]) -> Outcome {
        self.scan_with(arguments, b"")
    }

    #[track_caller]
    fn scan_with(&self, arguments: &[&str], input: &[u8]) -> Outcome {
        let mut command = self.command(&program("refwarden"));
        command.arg("scan").args(arguments);
        let outcome = run(command, input);
        tells_nothing(&outcome);
        outcome
    }

    /// The findings that count, and the summary, of a scan with `--json`.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Report {
        let outcome = self.scan(&[arguments, &["--json"]].concat());
        let lines = outcome.text();
        let parse = |line: &str| -> Value {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {outcome}"))
        };
        let mut lines: Vec<Value> = lines.lines().map(parse).collect();
        let summary = lines.pop().unwrap_or_else(|| panic!("nothing: {outcome}"));
        assert_eq!(summary["type"], "summary", "{outcome}");
        assert_eq!(summary["exit_code"], outcome.code.unwrap(), "{outcome}");
        Report { lines, summary }
    }
}

/// What `--json` says.
struct Report {
    lines: Vec<Value>,
    summary: Value,
}

impl Report {
    /// Findings with a status, as `path:line:column`, or in place of the path what it is in.
    fn places(&self, status: &str) -> Vec<String> {
        let with = |line: &&Value| line["type"] == "finding" && line["status"] == status;
        let name = |line: &Value| {
            let path = line["path"].as_str().or(line["place"].as_str());
            format!("{}:{}:{}", path.unwrap(), line["line"], line["column"])
        };
        self.lines.iter().filter(with).map(name).collect()
    }

    /// Findings that count.
    fn counted(&self) -> Vec<String> {
        self.places("new")
    }
}

#[track_caller]
fn tells_nothing(outcome: &Outcome) {
    let said = outcome.everything();
    for seed in SEEDS {
        let secret = secret(seed);
        let encoded = STANDARD.encode(&secret);
        assert!(!said.contains(&secret), "a secret is printed");
        assert!(!said.contains(&encoded[..encoded.len() - 4]), "so it is");
        assert!(
            !said.contains(&secret[5..30]),
            "most of a secret is printed"
        );
    }
}
