//! A repository under guard and the pushes that are made to it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use refwarden_testkit::{Outcome, Repository, Via, run, with_token};
use tempfile::TempDir;

use crate::parts::Parts;
use crate::plan::Push;

/// Refs and what they name.
pub type Refs = BTreeMap<String, String>;

/// Branches that are there from the beginning, and again after each trial.
const BRANCHES: [&str; 4] = ["one", "two", "three", "four"];

/// A repository, and a clone that has made everything in it.
pub struct Ground<'a> {
    /// The repository.
    pub repository: Repository<'a>,
    /// Its id in the ledger.
    pub id: String,
    /// Its refs when it was adopted.
    pub base: Refs,
    clone: TempDir,
    root: String,
}

impl Drop for Ground<'_> {
    fn drop(&mut self) {
        // Thousands of them take room.
        let _ = std::fs::remove_dir_all(self.path());
    }
}

/// A push, made ready.
pub struct Ready {
    number: u64,
    /// Options and refspecs.
    pub arguments: Vec<String>,
    /// What each ref is to become; none for a deletion.
    pub moves: BTreeMap<String, Option<String>>,
    /// A push of the same refs that comes afterwards.
    pub next: Vec<String>,
    /// The approval that it needs.
    pub request: Option<String>,
}

impl Ready {
    /// A push that makes a branch of its own, where nothing else is pushed.
    pub fn beside(&self, which: usize) -> String {
        let oid = self.next[0].trim_start_matches('+').split(':').next();
        format!("{}:refs/heads/beside-{}-{which}", oid.unwrap(), self.number)
    }
}

impl<'a> Ground<'a> {
    /// Makes one.
    pub fn new(parts: &'a Parts, name: &str, reftable: bool, sha256: bool) -> Self {
        let stack = &parts.stack;
        let format = if sha256 { "sha256" } else { "sha1" };
        let path = stack.started().repositories.join(format!("{name}.git"));
        std::fs::create_dir_all(&path).unwrap();
        let object_format = format!("--object-format={format}");
        let mut init = vec!["init", "-q", "--bare", "-b", "main", &object_format];
        if reftable {
            init.push("--ref-format=reftable");
        }
        stack.git().run(&path, &init).passes();
        let repository = Repository {
            stack,
            name: name.to_owned(),
            path,
            format: format.to_owned(),
        };
        let clone = tempfile::tempdir().unwrap();
        let git = stack.git();
        git.run(clone.path(), &["init", "-q", "--bare", &object_format])
            .passes();
        let mut ground = Self {
            repository,
            id: String::new(),
            base: Refs::new(),
            clone,
            root: String::new(),
        };
        let made = ground.import("begin", &[("root", None)]);
        ground.root.clone_from(&made["root"]);
        let mut arguments = vec!["push".to_owned(), "-q".to_owned()];
        arguments.push(ground.repository.path.display().to_string());
        for branch in ["main"].iter().chain(&BRANCHES) {
            arguments.push(format!("{}:refs/heads/{branch}", ground.root));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        git.run(ground.clone.path(), &arguments).passes();
        ground.repository.git(&["pack-refs", "--all"]).passes();
        ground.repository.install().passes();
        ground.id = ground
            .repository
            .git(&["config", "refwarden.repository"])
            .passes()
            .text();
        ground.base = ground.refs();
        ground
    }

    /// Where the refs are.
    pub fn refs(&self) -> Refs {
        let format = "--format=%(refname) %(objectname)";
        let text = self
            .repository
            .git(&["for-each-ref", format])
            .passes()
            .text();
        refs(&text)
    }

    /// The directory of the repository.
    pub fn path(&self) -> &Path {
        &self.repository.path
    }

    /// Makes commits, each named and with a parent, and returns them by name.
    fn import(&self, trial: &str, commits: &[(&str, Option<&str>)]) -> BTreeMap<String, String> {
        let mut stream = String::new();
        for (name, parent) in commits {
            let content = format!("{trial} {name}\n");
            let _ = write!(
                stream,
                "commit refs/trial/{trial}/{name}\ncommitter Ada <ada@example.org> 1700000000 +0000\n\
                 data {}\n{content}",
                content.len()
            );
            if let Some(parent) = parent {
                let _ = writeln!(stream, "from {parent}");
            }
            let _ = write!(
                stream,
                "M 100644 inline file\ndata {}\n{content}\n",
                content.len()
            );
        }
        let git = self.repository.stack.git();
        git.feed(
            self.clone.path(),
            &["fast-import", "--quiet", "--force"],
            stream.as_bytes(),
        )
        .passes();
        let prefix = format!("refs/trial/{trial}/");
        let text = git.text(
            self.clone.path(),
            &["for-each-ref", "--format=%(refname) %(objectname)", &prefix],
        );
        let named = |(name, oid): (String, String)| (name[prefix.len()..].to_owned(), oid);
        refs(&text).into_iter().map(named).collect()
    }

    /// Makes a push ready: commits, and the approval where one is needed.
    pub fn ready(&self, number: u64, push: Push) -> Ready {
        let live = self.refs();
        let new = format!("new-{number}");
        let [ahead, rewritten, gone, _] = BRANCHES;
        let several = [new.as_str(), ahead, rewritten, gone];
        let names: &[&str] = match push {
            Push::Create => &several[..1],
            Push::FastForward => &several[1..2],
            Push::Force => &several[2..3],
            Push::Delete => &several[3..],
            Push::Several | Push::Atomic => &several,
            Push::Approved => &["main"],
        };
        let mut commits = Vec::new();
        let next: Vec<String> = names.iter().map(|name| format!("next-{name}")).collect();
        for (name, next) in names.iter().zip(&next) {
            let parent = match *name {
                "main" | "one" => live.get(&format!("refs/heads/{name}")),
                _ => None,
            };
            commits.push((*name, Some(parent.unwrap_or(&self.root).as_str())));
            commits.push((next.as_str(), Some(self.root.as_str())));
        }
        let made = self.import(&number.to_string(), &commits);
        let mut ready = Ready {
            number,
            arguments: Vec::new(),
            moves: BTreeMap::new(),
            next: Vec::new(),
            request: None,
        };
        if push == Push::Atomic {
            ready.arguments.push("--atomic".to_owned());
        }
        for (name, next) in names.iter().zip(&next) {
            let target = format!("refs/heads/{name}");
            let new = (*name != gone).then(|| made[*name].clone());
            let what = new.clone().unwrap_or_default();
            ready.arguments.push(format!("+{what}:{target}"));
            ready.moves.insert(target.clone(), new);
            let target = if *name == "main" {
                format!("refs/heads/beside-{number}")
            } else {
                target
            };
            ready.next.push(format!("+{}:{target}", made[next]));
        }
        if push == Push::Approved {
            ready.request = Some(self.approved(&ready));
        }
        ready
    }

    fn approved(&self, ready: &Ready) -> String {
        let stack = self.repository.stack;
        let refused = self
            .push(&stack.token("ada"), false, &ready.arguments)
            .fails(&["RW201"]);
        let said = refused.said();
        let line = said
            .lines()
            .find_map(|line| line.split("refwarden: ").nth(1));
        let line: serde_json::Value = serde_json::from_str(line.unwrap().trim()).unwrap();
        let request = line["request"].as_str().unwrap().to_owned();
        let (status, body) = stack
            .api("grace")
            .decide(&request, "approve", "Looked at it.");
        assert_eq!(status, 200, "{body}");
        request
    }

    /// The command of a push.
    pub fn command(&self, token: &str, by_http: bool, arguments: &[String]) -> Command {
        let via = if by_http { Via::Http } else { Via::Local };
        let git = with_token(self.repository.stack.git(), token, via);
        let mut command = git.command(self.clone.path());
        let (options, refspecs): (Vec<_>, Vec<_>) =
            arguments.iter().partition(|it| it.starts_with('-'));
        command.arg("push").args(options);
        command.arg(self.repository.url(via)).args(refspecs);
        command
    }

    /// Pushes.
    pub fn push(&self, token: &str, by_http: bool, arguments: &[String]) -> Outcome {
        run(self.command(token, by_http, arguments), b"")
    }

    /// Clones through the proxy.
    pub fn read(&self, token: &str) -> Outcome {
        let git = with_token(self.repository.stack.git(), token, Via::Http);
        let into = tempfile::tempdir().unwrap();
        let url = self.repository.http_url();
        git.run(into.path(), &["clone", "-q", "--bare", &url, "."])
    }
}

fn refs(text: &str) -> Refs {
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs
        .map(|(name, oid)| (name.to_owned(), oid.to_owned()))
        .collect()
}
