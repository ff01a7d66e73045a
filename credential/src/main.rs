//! `git-credential-refwarden`: a git credential helper (gitcredentials(7)) that trades what an
//! identity provider says of its user for a token of Refwarden's, good for minutes.
//!
//! `git config --global credential.https://git.example.org.helper refwarden` is all that a client
//! needs. Nothing that lasts is stored: of people who signed in by device flow, the identity
//! provider's short-lived token is kept until it expires, readable by its user only.
//!
//! What it deliberately does not do: keep refresh tokens, or tokens of Refwarden's.

mod cache;
mod device;
mod question;
mod service;
mod subject;

use std::io::Write as _;
use std::process::ExitCode;

use question::Question;

const HELP: &str = "\
git-credential-refwarden: a git credential helper that gets short-lived tokens

  git config --global credential.https://git.example.org.helper refwarden

Git runs it as `git credential-refwarden get|store|erase` (gitcredentials(7)).
Who you are is taken from the first of these that is there:
  REFWARDEN_SUBJECT_TOKEN, REFWARDEN_SUBJECT_TOKEN_FILE
                     a token of an identity provider that the service trusts
  GitHub Actions     with `permissions: id-token: write`
  device flow        you are shown a link and a code, once per session
An agent adds its own: REFWARDEN_ACTOR_TOKEN or REFWARDEN_ACTOR_TOKEN_FILE.
REFWARDEN_SCOPE narrows the token further: repo:GLOB ref:GLOB verb:fetch path:GLOB
With credential.useHttpPath = true a token is good for one repository only.

Exit codes: 0 answered, or nothing to do; 1 no token could be had; 2 wrong usage.";

/// Why there is no token: one sentence, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    what: String,
    next: Option<&'static str>,
}

impl Failure {
    /// One sentence.
    pub fn new(what: impl Into<String>) -> Self {
        let what = what.into();
        Self { what, next: None }
    }

    /// Adds what to do.
    #[must_use]
    pub const fn next(mut self, next: &'static str) -> Self {
        self.next = Some(next);
        self
    }
}

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("get") => get(),
        Some("erase") => erase(),
        Some("-h" | "--help") => {
            let _ = writeln!(std::io::stdout(), "{HELP}");
            ExitCode::SUCCESS
        }
        Some("--version") => {
            let version = env!("CARGO_PKG_VERSION");
            let _ = writeln!(std::io::stdout(), "git-credential-refwarden {version}");
            ExitCode::SUCCESS
        }
        // `store`: git has nothing that is worth storing, since the next push gets a token of its
        // own. Others: a helper ignores operations that it does not know (gitcredentials(7)).
        Some(_) => ExitCode::SUCCESS,
        None => {
            let _ = writeln!(std::io::stderr(), "{HELP}");
            ExitCode::from(2)
        }
    }
}

fn get() -> ExitCode {
    let found = Question::read(std::io::stdin().lock()).and_then(|question| {
        let base = question.base()?;
        service::token(&base, question.path.as_deref())
    });
    match found {
        Ok(answer) => {
            let text = answer.render();
            let written = std::io::stdout().write_all(text.as_bytes());
            if written.is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(failure) => {
            let mut stderr = std::io::stderr();
            let _ = writeln!(stderr, "error: refwarden: {}", failure.what);
            if let Some(next) = failure.next {
                let _ = writeln!(stderr, "hint:  {next}");
            }
            // Keeps git from asking for a password, which would not help.
            let _ = std::io::stdout().write_all(b"quit=1\n");
            ExitCode::FAILURE
        }
    }
}

/// The token was refused: whoever signed in is asked to sign in anew.
fn erase() -> ExitCode {
    if let Ok(question) = Question::read(std::io::stdin().lock())
        && let Ok(base) = question.base()
    {
        cache::forget(&base);
    }
    ExitCode::SUCCESS
}
