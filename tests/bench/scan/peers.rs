//! The competitors and how each is told to do the same.

use std::path::{Path, PathBuf};
use std::process::Command;

use refwarden_testkit::program;

use super::process::on_one_core;

/// Exit code that is asked for when something is found, so that it is not taken for an error.
const FOUND: i32 = 7;

/// What is to be scanned.
#[derive(Clone, Copy)]
pub enum Job<'j> {
    /// Files below a directory.
    Tree(&'j Path),
    /// Files below a directory, by the rules of a `gitleaks.toml`.
    Rules(&'j Path, &'j Path),
    /// All that a bare repository's refs reach.
    History(&'j Path),
    /// What the second commit reaches and the first does not.
    Range(&'j Path, &'j str, &'j str),
}

/// A competitor.
pub struct Peer {
    /// Its name, with its mode.
    pub name: String,
    /// What it calls its version.
    pub version: String,
    /// Exit codes that mean it has done its work.
    pub codes: Vec<i32>,
    program: PathBuf,
    home: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Refwarden { generic: bool },
    Git,
    Gitleaks,
    Betterleaks,
    Kingfisher { turbo: bool },
    Ripsecrets,
}

/// Installs and lists them; Refwarden first.
pub fn all(work: &Path) -> Vec<Peer> {
    let output = Command::new("install/scan-peers.sh")
        .arg(work.join("peers"))
        .stderr(std::process::Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("install/scan-peers.sh: {error}; start in the project"));
    assert!(output.status.success(), "install/scan-peers.sh failed");
    let home = work.join("home");
    std::fs::create_dir_all(&home).unwrap();
    let peer = |name: &str, program: PathBuf, kind, codes: &[i32], version: &str| Peer {
        name: name.to_owned(),
        version: said(&program, version),
        codes: codes.to_vec(),
        program,
        home: home.clone(),
        kind,
    };
    let refwarden = program("refwarden");
    let git = which("git");
    let mut all = vec![
        peer(
            "Refwarden",
            refwarden.clone(),
            Kind::Refwarden { generic: false },
            &[0, 1],
            "--version",
        ),
        peer(
            "Refwarden --generic",
            refwarden,
            Kind::Refwarden { generic: true },
            &[0, 1],
            "--version",
        ),
        peer("git alone, reading", git, Kind::Git, &[0], "--version"),
    ];
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (name, path) = line.split_once(' ').unwrap();
        let path = PathBuf::from(path);
        let mut add = |name: &str, kind, codes: &[i32], version: &str| {
            all.push(peer(name, path.clone(), kind, codes, version));
        };
        match name {
            "gitleaks" => add(
                "gitleaks, no decoding",
                Kind::Gitleaks,
                &[0, FOUND],
                "version",
            ),
            "betterleaks" => {
                add(
                    "betterleaks, no decoding",
                    Kind::Betterleaks,
                    &[0, FOUND],
                    "version",
                );
            }
            "kingfisher" => {
                for (name, turbo) in [("kingfisher --turbo", true), ("kingfisher", false)] {
                    let kind = Kind::Kingfisher { turbo };
                    add(name, kind, &[0, 200, 205], "--version");
                }
            }
            "ripsecrets" => add("ripsecrets", Kind::Ripsecrets, &[0, 1], "--version"),
            other => panic!("{other} is not known"),
        }
    }
    all
}

impl Peer {
    /// How it does a job; none where it has no such thing.
    pub fn command(&self, job: Job<'_>) -> Option<Command> {
        let mut command = on_one_core(&self.program);
        command.env("HOME", &self.home).current_dir(&self.home);
        match self.kind {
            Kind::Refwarden { generic } => {
                if generic && matches!(job, Job::Rules(..)) {
                    return None;
                }
                refwarden(&mut command, job, generic);
            }
            Kind::Git => git(&mut command, job)?,
            Kind::Gitleaks => gitleaks(&mut command, job),
            // Their rules have another form.
            Kind::Betterleaks | Kind::Kingfisher { .. } if matches!(job, Job::Rules(..)) => {
                return None;
            }
            Kind::Betterleaks => betterleaks(&mut command, job),
            Kind::Kingfisher { turbo } => kingfisher(&mut command, job, turbo),
            Kind::Ripsecrets => match job {
                Job::Tree(path) => {
                    command.arg(path);
                }
                Job::Rules(..) | Job::History(_) | Job::Range(..) => return None,
            },
        }
        Some(command)
    }

    /// How many findings a report of its holds.
    pub fn findings(&self, report: &str) -> usize {
        let mark = match self.kind {
            Kind::Refwarden { .. } => "\"status\":\"new\"",
            Kind::Gitleaks => "\"RuleID\":",
            Kind::Betterleaks => "\"rule_id\":",
            Kind::Kingfisher { .. } => "\"snippet\":",
            Kind::Git => return 0,
            Kind::Ripsecrets => return report.lines().filter(|line| line.contains(':')).count(),
        };
        report.matches(mark).count()
    }
}

fn refwarden(command: &mut Command, job: Job<'_>, generic: bool) {
    command.args(["scan", "--json", "--jobs", "1"]);
    if generic {
        command.arg("--generic");
    }
    match job {
        Job::Tree(path) => command.arg(path),
        Job::Rules(path, rules) => command.arg("--config").arg(rules).arg(path),
        Job::History(path) => command.args(["--history", "--repo"]).arg(path),
        Job::Range(path, from, to) => {
            let range = format!("{from}..{to}");
            command.args(["--range", &range, "--repo"]).arg(path)
        }
    };
}

/// What it takes to read the same objects and do nothing with them.
fn git(command: &mut Command, job: Job<'_>) -> Option<()> {
    let Job::History(path) = job else { return None };
    let batch = "--batch-all-objects --unordered --buffer --batch";
    let alias = format!("alias.read=!git cat-file {batch} >/dev/null");
    command.arg("-C").arg(path).args(["-c", &alias, "read"]);
    Some(())
}

fn gitleaks(command: &mut Command, job: Job<'_>) {
    match job {
        Job::Tree(path) => command.arg("dir").arg(path),
        Job::Rules(path, rules) => command.arg("dir").arg(path).arg("--config").arg(rules),
        Job::History(path) => command.arg("git").arg(path).arg("--log-opts=--all"),
        Job::Range(path, from, to) => {
            let range = format!("--log-opts={from}..{to}");
            command.arg("git").arg(path).arg(range)
        }
    };
    command.args(["--no-banner", "--no-color", "--log-level", "error"]);
    command.args(["--max-decode-depth", "0", "--max-archive-depth", "0"]);
    command.args(["--report-format", "json", "--report-path", "-"]);
    command.args(["--exit-code", &FOUND.to_string()]);
}

fn betterleaks(command: &mut Command, job: Job<'_>) {
    match job {
        Job::Tree(path) | Job::Rules(path, _) => command.arg("filesystem").arg(path),
        Job::History(path) => command.arg("git").arg(path).arg("--log-opts=--all"),
        Job::Range(path, from, to) => {
            let range = format!("--log-opts={from}..{to}");
            command.arg("git").arg(path).arg(range)
        }
    };
    command.args([
        "--no-banner",
        "--no-color",
        "--log-level",
        "error",
        "--jobs",
        "1",
    ]);
    command.args([
        "--max-decode-depth",
        "0",
        "--max-archive-depth",
        "0",
        "--jsonl",
    ]);
    command.arg(format!("--exit-code={FOUND}"));
}

fn kingfisher(command: &mut Command, job: Job<'_>, turbo: bool) {
    command.arg("scan");
    match job {
        Job::Tree(path) | Job::Rules(path, _) => command.arg(path).args(["--git-history", "none"]),
        Job::History(path) => command.arg(path).args(["--git-history", "full"]),
        Job::Range(path, from, to) => command.arg(path).args([
            "--git-history",
            "full",
            "--since-commit",
            from,
            "--branch",
            to,
        ]),
    };
    command.args([
        "--no-validate",
        "--no-update-check",
        "--no-extract-archives",
    ]);
    command.args(["--jobs", "1", "--format", "jsonl"]);
    if turbo {
        command.arg("--turbo");
    }
}

fn which(name: &str) -> PathBuf {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&search)
        .map(|it| it.join(name))
        .find(|it| it.is_file());
    found.unwrap_or_else(|| panic!("{name} is not in PATH"))
}

fn said(program: &Path, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
