//! Somebody's own clone: git as that person would type it.

use std::path::PathBuf;

use refwarden_gitio::{Git, GitError};

use crate::failure::{Context as _, Outcome};

/// A clone.
pub struct LocalClone {
    directory: PathBuf,
}

impl LocalClone {
    /// The one around a directory.
    pub fn find(directory: PathBuf) -> Outcome<Self> {
        let clone = Self { directory };
        clone.text("rev-parse", &["--git-dir"])?;
        Ok(clone)
    }

    /// A clone, from the working tree of one of its branches.
    pub fn at(directory: &str) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// Runs git to its end; what it prints.
    pub fn git(&self, command: &str, arguments: &[&str], input: &[u8]) -> Outcome<Vec<u8>> {
        let output = self.attempt(command, arguments, input);
        output.context(|| format!("git {command} does not do what it has to"))
    }

    /// The same, as text without the line feed at its end.
    pub fn text(&self, command: &str, arguments: &[&str]) -> Outcome<String> {
        let output = self.git(command, arguments, b"")?;
        Ok(String::from_utf8_lossy(&output).trim_end().to_owned())
    }

    /// Its lines.
    pub fn lines(&self, command: &str, arguments: &[&str]) -> Outcome<Vec<String>> {
        let text = self.text(command, arguments)?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// What git prints, or how it failed.
    pub fn attempt(
        &self,
        command: &str,
        arguments: &[&str],
        input: &[u8],
    ) -> Result<Vec<u8>, GitError> {
        let git = Git::as_user(&self.directory, command).args(arguments);
        git.output(input)
    }
}
