//! What a client asks for: `git-upload-pack '/team/app.git'` and the like.

use std::path::Path;

use refwarden_gitio::served::RepositoryPath;
use refwarden_model::Code;
use refwarden_wire::hook::Operation;

use crate::fault::Fault;

/// Longest command, in bytes.
const COMMAND_MAX: usize = 4096;

/// A fetch or push of a repository.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    /// Fetch or push.
    pub operation: Operation,
    named: String,
}

impl Asked {
    /// Reads the command, quoted as a shell would have it, of which nothing is ever given to a
    /// shell.
    pub fn parse(command: &str) -> Result<Self, Fault> {
        let words = (command.len() <= COMMAND_MAX)
            .then(|| shlex::split(command))
            .flatten();
        let words = words.unwrap_or_default();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (service, named) = match words.as_slice() {
            [service, named] => (service.strip_prefix("git-"), named),
            ["git", service, named] => (Some(*service), named),
            [] => return Err(refused("no command was given")),
            _ => return Err(refused("only git fetches and pushes are served")),
        };
        let operation = match service {
            Some("upload-pack") => Operation::Fetch,
            Some("receive-pack") => Operation::Push,
            _ => return Err(refused("only git fetches and pushes are served")),
        };
        Ok(Self {
            operation,
            named: (*named).to_owned(),
        })
    }

    /// The repository's place below the root. The root may stand before it, as it does in URLs
    /// from before there was a root, and `.git` may be left out, as git has it.
    pub fn path(&self, root: &Path) -> Option<RepositoryPath> {
        let root = root.to_str()?.trim_end_matches('/');
        let named = self.named.trim_end_matches('/');
        let below = named
            .strip_prefix(root)
            .filter(|rest| rest.starts_with('/'));
        let named = below.unwrap_or(named);
        let named = named.strip_prefix('/').unwrap_or(named);
        let named = named.strip_suffix(".git").unwrap_or(named);
        RepositoryPath::of(format!("{named}.git").split('/'))
    }
}

fn refused(text: &str) -> Fault {
    Fault::new(Code::MalformedInput, format!("{text} over SSH here"))
        .hint("for example: git clone ssh://git@this.host/team/app.git")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(command: &str) -> Option<String> {
        let asked = Asked::parse(command).ok()?;
        let path = asked.path(Path::new("/srv/git/"))?;
        Some(path.as_path().to_str()?.to_owned())
    }

    #[test]
    fn fetches_and_pushes_are_understood_as_clients_write_them() {
        for (command, expected) in [
            ("git-upload-pack '/team/app.git'", "team/app.git"),
            ("git upload-pack '/team/app.git'", "team/app.git"),
            ("git-upload-pack 'team/app'", "team/app.git"),
            ("git-upload-pack /srv/git/app.git/", "app.git"),
            ("git-upload-pack '/srv/github/app'", "srv/github/app.git"),
            (r"git-upload-pack 'it'\''s.git'", "it's.git"),
            ("git-upload-pack '$(id).git'", "$(id).git"),
        ] {
            assert_eq!(path(command).as_deref(), Some(expected), "{command}");
        }
        let push = Asked::parse("git-receive-pack 'a.git'").unwrap();
        assert_eq!(push.operation, Operation::Push);
    }

    #[test]
    fn nothing_else_is_a_command() {
        let long = format!("git-upload-pack '{}'", "a".repeat(COMMAND_MAX));
        for command in [
            "",
            "sh",
            "git-upload-archive 'a.git'",
            "git upload-archive a.git",
            "git-upload-pack",
            "git-upload-pack --timeout=1 'a.git'",
            "git -c core.pager=id upload-pack a.git",
            "git-upload-pack 'a.git' 'b.git'",
            "git-upload-pack 'a.git",
            "git-upload-pack 'a.git'; id",
            "scp -f x",
            &long,
        ] {
            assert!(Asked::parse(command).is_err(), "{command}");
        }
    }

    #[test]
    fn no_path_leaves_the_root() {
        for named in [
            "../a.git",
            "/x/../a.git",
            ".git",
            "x/.git",
            "//etc/a.git",
            "",
            "/",
            "~/a.git/..",
            "a\\b.git",
            "/srv/git/../a.git",
            "/srv/git//a.git",
        ] {
            let named = shlex::try_quote(named).unwrap();
            assert_eq!(path(&format!("git-upload-pack {named}")), None, "{named}");
        }
    }
}
