//! git without anybody's configuration.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Outcome, run};

/// Runs git with a home directory of its own, a fixed identity, and nothing of this process's
/// environment but the path.
#[derive(Clone)]
pub struct Git {
    home: PathBuf,
    variables: Vec<(String, String)>,
}

impl Git {
    /// `home` must exist.
    pub fn new(home: &Path) -> Self {
        Self {
            home: home.to_owned(),
            variables: Vec::new(),
        }
    }

    /// The same with one more environment variable.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut git = self.clone();
        git.variables.push((name.to_owned(), value.to_owned()));
        git
    }

    /// A command in `directory`.
    pub fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new("git");
        command.current_dir(directory).env_clear();
        self.environment(&mut command);
        command
    }

    /// Gives a command the environment that git gets here.
    pub fn environment(&self, command: &mut Command) {
        command
            .env(
                "PATH",
                std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
            )
            .env("HOME", &self.home)
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_AUTHOR_NAME", "Ada")
            .env("GIT_AUTHOR_EMAIL", "ada@example.org")
            .env("GIT_COMMITTER_NAME", "Ada")
            .env("GIT_COMMITTER_EMAIL", "ada@example.org")
            .env("GIT_AUTHOR_DATE", "1700000000 +0000")
            .env("GIT_COMMITTER_DATE", "1700000000 +0000")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    /// Runs git to its end.
    #[track_caller]
    pub fn run(&self, directory: &Path, arguments: &[&str]) -> Outcome {
        self.feed(directory, arguments, b"")
    }

    /// Runs git to its end with `input` on standard input.
    #[track_caller]
    pub fn feed(&self, directory: &Path, arguments: &[&str], input: &[u8]) -> Outcome {
        let mut command = self.command(directory);
        command.args(arguments);
        run(command, input)
    }

    /// Runs git, which must pass, and returns what it prints.
    #[track_caller]
    pub fn text(&self, directory: &Path, arguments: &[&str]) -> String {
        self.run(directory, arguments).passes().text()
    }
}
