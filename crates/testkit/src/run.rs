//! Running a program to its end.

use std::fmt;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::planted;

/// How a program ended.
pub struct Outcome {
    /// What was run, for messages.
    pub what: String,
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// Whether it ended with 0.
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }

    /// Standard output as text, without the line feed at its end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// Standard error as text.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Both outputs, for a look through everything.
    pub fn everything(&self) -> String {
        format!("{}\n{}", self.text(), self.said())
    }

    /// No secret that a test planted is told, by the project's programs or by who answers a push.
    #[track_caller]
    fn look(&self) {
        let program = self.what.split(' ').next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or_default();
        if program.starts_with("refwarden") {
            planted::look(&self.what, &self.stdout);
            planted::look(&self.what, &self.stderr);
        } else {
            let lines = self.stderr.split(|it| *it == b'\n');
            let remote = lines.filter(|line| line.starts_with(b"remote:"));
            let remote: Vec<&[u8]> = remote.collect();
            planted::look(&self.what, &remote.join(&b'\n'));
        }
    }

    /// Requires success.
    #[track_caller]
    pub fn passes(self) -> Self {
        assert!(self.ok(), "should have passed: {self}");
        self
    }

    /// Requires failure, and each of `words` in what was said.
    #[track_caller]
    pub fn fails(self, words: &[&str]) -> Self {
        assert!(!self.ok(), "should have failed: {self}");
        self.says(words)
    }

    /// Requires each of `words` in what was said.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        let said = self.everything();
        for word in words {
            assert!(said.contains(word), "should have said {word:?}: {self}");
        }
        self
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what, code, took, ..
        } = self;
        write!(
            f,
            "{what}\nended with {code:?} after {took:?}\n{}",
            self.everything()
        )
    }
}

/// Runs a command to its end with `input` on standard input.
#[track_caller]
pub fn run(mut command: Command, input: &[u8]) -> Outcome {
    let program = command.get_program().to_string_lossy().into_owned();
    let arguments = command
        .get_args()
        .map(|it| it.to_string_lossy().into_owned());
    let what = std::iter::once(program)
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ");
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{what} cannot be started: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A program that does not read to the end is no failure of ours.
        scope.spawn(move || {
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    });
    let outcome = Outcome {
        what,
        code: output.status.code(),
        stdout: output.stdout,
        stderr: output.stderr,
        took: begun.elapsed(),
    };
    outcome.look();
    outcome
}
