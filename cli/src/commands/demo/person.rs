//! git as a person or an agent runs it: in a working copy, with a name, with a token.

use std::path::Path;
use std::process::Command;

use refwarden_gitio::Git;
use secrecy::{ExposeSecret as _, SecretString};

use super::shell::{Ran, Shell, run};
use crate::failure::Outcome;

/// Who commits in the demo.
const IDENTITY: [(&str, &str); 4] = [
    ("user.name", "Demo Agent"),
    ("user.email", "agent@example.org"),
    ("commit.gpgSign", "false"),
    ("core.hooksPath", "/dev/null"),
];

/// A git command in `directory`. The token travels in the environment, where no list of
/// processes shows it to others. The person's own configuration is left out, so that the demo
/// is the same everywhere.
pub fn git(directory: &Path, token: Option<&SecretString>, args: &[&str]) -> Command {
    let (subcommand, rest) = args.split_first().unwrap_or((&"version", &[]));
    let mut command = Git::serving(directory, subcommand).into_command();
    let header = token.map(|token| format!("Authorization: Bearer {}", token.expose_secret()));
    let header = header
        .iter()
        .map(|value| ("http.extraHeader", value.as_str()));
    let safe = [("safe.directory", "*")];
    let mut count = 0;
    for (key, value) in safe.into_iter().chain(IDENTITY).chain(header) {
        command.env(format!("GIT_CONFIG_KEY_{count}"), key);
        command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
        count += 1;
    }
    command
        .env("GIT_CONFIG_COUNT", count.to_string())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env_remove("GIT_NO_REPLACE_OBJECTS")
        .env_remove("GIT_GRAFT_FILE")
        .args(rest)
        .current_dir(directory);
    command
}

/// Someone in a working copy.
pub struct Person<'a> {
    /// The working copy.
    pub directory: &'a Path,
    /// The narrator.
    pub shell: &'a Shell,
}

impl Person<'_> {
    /// Runs git, shown as typed.
    pub fn git(&self, args: &[&str]) -> Outcome<Ran> {
        let typed = format!("git {}", args.join(" "));
        self.shell.run(&typed, git(self.directory, None, args))
    }

    /// Runs git with a token; shown with a variable in its place.
    pub fn git_with(&self, token: &SecretString, args: &[&str]) -> Outcome<Ran> {
        self.shell
            .run(&authorized(args), git(self.directory, Some(token), args))
    }

    /// Runs git and shows nothing.
    pub fn ask(&self, args: &[&str]) -> Outcome<Ran> {
        run(git(self.directory, None, args))
    }
}

/// A git command with a token, as typed.
pub fn authorized(args: &[&str]) -> String {
    format!(
        "git -c http.extraHeader=\"Authorization: Bearer $TOKEN\" {}",
        args.join(" ")
    )
}
