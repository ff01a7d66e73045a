//! The one error of the command line: what happened, why, and what to do next.

use std::fmt::Display;
use std::process::ExitCode;

use crate::output;

/// Why a command ends without having done its work.
#[derive(Debug)]
pub struct Failure {
    what: String,
    why: Option<String>,
    next: Option<String>,
    code: u8,
}

/// What a command comes to.
pub type Outcome<T = ExitCode> = Result<T, Failure>;

impl Failure {
    /// An error: exit code 2.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: None,
            next: None,
            code: 2,
        }
    }

    /// A refusal or a difference: exit code 1.
    pub fn refused(what: impl Into<String>) -> Self {
        Self {
            code: 1,
            ..Self::new(what)
        }
    }

    /// Adds the cause.
    pub fn why(mut self, why: impl Display) -> Self {
        self.why = Some(why.to_string());
        self
    }

    /// Adds what to do next.
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The same as an error: where 1 says something else than "refused".
    pub const fn into_error(mut self) -> Self {
        self.code = 2;
        self
    }

    /// Writes it to standard error.
    pub fn print(&self) {
        let red = output::style(output::Stream::Error);
        eprintln!("{}error{}: {}", red.red, red.reset, self.what);
        for line in self.why.iter().flat_map(|why| why.lines()) {
            eprintln!("  {line}");
        }
        for line in self.next.iter().flat_map(|next| next.lines()) {
            eprintln!("{}next{}: {line}", red.bold, red.reset);
        }
    }

    /// What happened.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The exit code it stands for.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    /// Whether it is a refusal, which trying again does not change.
    pub const fn is_refusal(&self) -> bool {
        self.code == 1
    }

    /// The sentence and its cause on one line.
    pub fn one_line(&self) -> String {
        match &self.why {
            Some(why) => format!("{}: {}", self.what, why.replace('\n', " ")),
            None => self.what.clone(),
        }
    }
}

/// Adds to a result what was being done when it failed.
pub trait Context<T> {
    /// Turns the error into a [`Failure`] that begins with `what`.
    fn context(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| Failure::new(what()).why(error))
    }
}
