//! Repositories under guard, and working copies that push to them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use crate::git::Git;
use crate::run::{Outcome, run};
use crate::ssh::Sshd;
use crate::stack::Stack;

/// A bare repository.
pub struct Repository<'a> {
    /// The stack that guards it.
    pub stack: &'a Stack,
    /// Its name.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// `sha1` or `sha256`.
    pub format: String,
}

/// How a client reaches a repository.
#[derive(Clone, Copy)]
pub enum Via<'a> {
    /// By its path.
    Local,
    /// Through the proxy.
    Http,
    /// Through sshd.
    Ssh(&'a Sshd),
}

/// A working copy.
pub struct Work<'a> {
    repository: &'a Repository<'a>,
    directory: TempDir,
    _counted: Counted,
    /// git, hermetic, without a token.
    pub git: Git,
}

/// How many working copies there are in this process.
static COPIES: AtomicUsize = AtomicUsize::new(0);

/// Whether tests of this process hold working copies, which they do while they push.
pub fn is_pushing() -> bool {
    COPIES.load(Ordering::SeqCst) > 0
}

struct Counted;

impl Counted {
    fn new() -> Self {
        COPIES.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        COPIES.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<'a> Repository<'a> {
    /// Makes a repository with one commit on `main` and puts it under guard.
    #[track_caller]
    pub fn guarded(stack: &'a Stack, name: &str) -> Self {
        let repository = Self::unguarded(stack, name, "sha1");
        repository.install().passes();
        repository
    }

    /// Makes a repository with one commit on `main`, without hooks.
    #[track_caller]
    pub fn unguarded(stack: &'a Stack, name: &str, format: &str) -> Self {
        let repository = Self::empty(stack, name, format);
        let work = repository.work();
        work.commit(&[(b"README", b"A repository.\n")], "Begin");
        work.git
            .run(
                work.path(),
                &["push", "-q", "origin", "HEAD:refs/heads/main"],
            )
            .passes();
        repository
    }

    /// Makes a repository without commits or hooks.
    #[track_caller]
    pub fn empty(stack: &'a Stack, name: &str, format: &str) -> Self {
        let path = stack.started().repositories.join(format!("{name}.git"));
        std::fs::create_dir_all(&path).unwrap();
        let format_option = format!("--object-format={format}");
        let init = ["init", "-q", "--bare", "-b", "main", &format_option, "."];
        stack.git().run(&path, &init).passes();
        Self {
            stack,
            name: name.to_owned(),
            path,
            format: format.to_owned(),
        }
    }

    /// One that was made before, for example before a restart.
    pub fn named(stack: &'a Stack, name: &str) -> Self {
        Self {
            stack,
            name: name.to_owned(),
            path: stack.started().repositories.join(format!("{name}.git")),
            format: "sha1".to_owned(),
        }
    }

    /// Puts it under guard.
    #[track_caller]
    pub fn install(&self) -> Outcome {
        let path = self.path.display().to_string();
        self.stack
            .refwarden(&["install", &path, "--name", &self.name])
    }

    /// Runs git in it.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> Outcome {
        self.stack.git().run(&self.path, arguments)
    }

    /// A ref's value; none when it does not exist.
    #[track_caller]
    pub fn value(&self, name: &str) -> Option<String> {
        let outcome = self.git(&["rev-parse", "--verify", "-q", name]);
        outcome.ok().then(|| outcome.text())
    }

    /// All refs with their values, and HEAD.
    #[track_caller]
    pub fn refs(&self) -> Vec<u8> {
        let format = "--format=%(refname) %(objectname) %(symref)";
        let mut refs = self.git(&["for-each-ref", format]).passes().stdout;
        refs.extend(std::fs::read(self.path.join("HEAD")).unwrap());
        refs
    }

    /// The zero oid.
    pub fn zero(&self) -> String {
        "0".repeat(if self.format == "sha256" { 64 } else { 40 })
    }

    /// Its URL at the proxy.
    pub fn http_url(&self) -> String {
        format!("{}/{}.git", self.stack.started().proxy_url, self.name)
    }

    /// Its URL.
    pub fn url(&self, via: Via<'_>) -> String {
        match via {
            Via::Local => self.path.display().to_string(),
            Via::Http => self.http_url(),
            Via::Ssh(sshd) => sshd.url(&self.path),
        }
    }

    /// A working copy, with `main` checked out when there is one.
    #[track_caller]
    pub fn work(&self) -> Work<'_> {
        let directory = tempfile::tempdir().unwrap();
        let git = self.stack.git().clone();
        let path = self.path.display().to_string();
        git.run(directory.path(), &["clone", "-q", &path, "."])
            .passes();
        Work {
            repository: self,
            directory,
            _counted: Counted::new(),
            git,
        }
    }
}

/// git with a token that every way of reaching a repository takes along: in the environment
/// for a local path and SSH, as the password for HTTP.
pub fn with_token(git: &Git, token: &str, via: Via<'_>) -> Git {
    let helper = "!f() { echo username=token; echo \"password=$REFWARDEN_TOKEN\"; }; f";
    let git = git
        .with("REFWARDEN_TOKEN", token)
        .with("GIT_CONFIG_COUNT", "1")
        .with("GIT_CONFIG_KEY_0", "credential.helper")
        .with("GIT_CONFIG_VALUE_0", helper);
    match via {
        Via::Ssh(sshd) => git.with("GIT_SSH_COMMAND", &sshd.command()),
        Via::Local | Via::Http => git,
    }
}

impl Work<'_> {
    /// Its directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Runs git in it, which must pass.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git.text(self.path(), arguments)
    }

    /// Writes files, commits everything, and returns the commit.
    #[track_caller]
    pub fn commit(&self, files: &[(&[u8], &[u8])], message: &str) -> String {
        for (name, content) in files {
            let path = self.path().join(OsStr::from_bytes(name));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Pushes with a fresh token of an agent that acts for ada.
    #[track_caller]
    pub fn push(&self, via: Via<'_>, arguments: &[&str]) -> Outcome {
        let token = self.repository.stack.token("ada");
        self.push_with(&token, via, arguments)
    }

    /// Pushes with a token. `arguments` follow `git push`; the URL is put before the first that
    /// is no option.
    #[track_caller]
    pub fn push_with(&self, token: &str, via: Via<'_>, arguments: &[&str]) -> Outcome {
        run(self.push_command(token, via, arguments), b"")
    }

    /// The command that [`push_with`](Self::push_with) runs.
    pub fn push_command(&self, token: &str, via: Via<'_>, arguments: &[&str]) -> Command {
        let url = self.repository.url(via);
        let options = arguments
            .iter()
            .take_while(|it| it.starts_with('-'))
            .count();
        let mut all = vec!["push"];
        all.extend(&arguments[..options]);
        all.push(&url);
        all.extend(&arguments[options..]);
        let mut command = with_token(&self.git, token, via).command(self.path());
        command.args(all);
        command
    }
}
