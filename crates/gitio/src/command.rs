//! Starts `git` with an environment that no pusher and no login shell has a say in.
//!
//! The environment is emptied, and only what git needs is put back. `GIT_DIR` is always given,
//! which also spares the ownership check of repository discovery (`safe.directory`), so root may
//! read a repository that belongs to somebody else.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek as _, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Variables of a quarantine (git-receive-pack(1), "Quarantine environment").
pub const QUARANTINE_VARIABLES: [&str; 3] = [
    "GIT_QUARANTINE_PATH",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
];

/// What git inherits besides.
const INHERITED: [&str; 4] = ["PATH", "HOME", "TMPDIR", "USER"];

/// Longest standard error that is kept for an error, in bytes.
const STDERR_MAX: usize = 4096;

/// Why a git command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// It could not be started or talked to.
    #[error("git {command}: {source}")]
    Io {
        /// The subcommand.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended with another status than zero.
    #[error("git {command} failed ({status}): {stderr}")]
    Failed {
        /// The subcommand.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said, at most 4 KiB; for logs, not for pushers.
        stderr: String,
    },
    /// It printed what this crate does not understand.
    #[error("git {command} printed something unexpected: {what}")]
    Unexpected {
        /// The subcommand.
        command: String,
        /// What was expected.
        what: &'static str,
    },
}

/// Where a command looks for objects besides the repository's own: the quarantine, or nowhere.
#[derive(Clone, Debug, Default)]
pub struct ObjectEnv(Vec<(OsString, OsString)>);

impl ObjectEnv {
    /// The repository's objects and no others.
    pub fn repository_only() -> Self {
        Self::default()
    }

    /// Takes the quarantine's variables from this process's environment.
    pub fn from_env() -> Self {
        let taken = QUARANTINE_VARIABLES
            .into_iter()
            .filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
        Self(taken.collect())
    }

    /// New objects in a directory of their own, and those they build upon in others
    /// (`GIT_ALTERNATE_OBJECT_DIRECTORIES`, git(1)). The repository's own are not among them
    /// unless they are named.
    pub fn apart(directory: &Path, others: &[&Path]) -> Self {
        let others: Vec<OsString> = others.iter().map(|path| quoted(path)).collect();
        let pairs = [
            (QUARANTINE_VARIABLES[1], directory.as_os_str().to_owned()),
            (QUARANTINE_VARIABLES[2], others.join(OsStr::new(":"))),
        ];
        Self(pairs.map(|(name, value)| (name.into(), value)).to_vec())
    }

    /// The value of one of the variables.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        let found = self.0.iter().find(|(key, _)| key == name)?;
        Some(&found.1)
    }
}

/// A path in a list: quoted as in C where it would be read as something else (git(1)).
fn quoted(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes();
    if !bytes.starts_with(b"\"") && !bytes.iter().any(|byte| matches!(byte, b':' | b'\n')) {
        return path.as_os_str().to_owned();
    }
    let mut out = vec![b'"'];
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
    OsString::from_vec(out)
}

/// A program's path as the value of a setting that git gives to a shell, such as
/// `uploadpack.packObjectsHook`. A plain path git starts without one. None where it is no text.
pub fn for_shell(program: &Path) -> Option<String> {
    let path = program.to_str()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.+-,:@".contains(&byte);
    if path.bytes().all(plain) {
        return Some(path.to_owned());
    }
    Some(format!("'{}'", path.replace('\'', r"'\''")))
}

/// Adds settings to those that the command has in its environment (git-config(1),
/// `GIT_CONFIG_COUNT`).
pub fn configure(command: &mut Command, settings: &[(&str, &str)]) {
    let count = command
        .get_envs()
        .find(|(name, _)| *name == "GIT_CONFIG_COUNT");
    let count = count.and_then(|(_, value)| value?.to_str()?.parse::<usize>().ok());
    let before = count.unwrap_or(0);
    for (number, (key, value)) in settings.iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{}", before + number), key);
        command.env(format!("GIT_CONFIG_VALUE_{}", before + number), value);
    }
    command.env("GIT_CONFIG_COUNT", (before + settings.len()).to_string());
}

/// The directory of a repository's own hooks, relative to it.
pub const OWN_HOOKS: &str = "hooks";

/// Has git run the repository's own hooks, whatever the host's configuration or a file that the
/// repository's includes says. For `receive-pack`, which looks for them from its git directory.
pub fn run_own_hooks(command: &mut Command) {
    configure(command, &[("core.hooksPath", OWN_HOOKS)]);
}

/// A git command that is being put together.
pub struct Git {
    command: Command,
    name: String,
}

impl Git {
    /// A plumbing command on a repository: neither system nor user configuration applies.
    pub fn new(gitdir: &Path, objects: &ObjectEnv, subcommand: &str) -> Self {
        let mut git = Self::bare(gitdir, subcommand);
        git.command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            // What is missing is missing: no network, and no program that a repository's own
            // configuration names for reaching it.
            .env("GIT_NO_LAZY_FETCH", "1")
            .envs(objects.0.iter().map(|(name, value)| (name, value)))
            .args(["--no-pager", "-c", "core.quotePath=false"])
            .args(["-c", "core.attributesFile=/dev/null"])
            .args(["-c", "core.fsmonitor=false"])
            // Otherwise git maps packs whole, and a pack of 1 GiB shows as memory in use.
            .args(["-c", "core.packedGitWindowSize=4m"])
            .args(["-c", "core.packedGitLimit=32m"])
            .arg(subcommand);
        git
    }

    /// A serving command (`upload-pack`, `receive-pack`), to which the host's own configuration
    /// does apply. The repository is trusted whoever owns it: the caller has chosen it.
    pub fn serving(gitdir: &Path, subcommand: &str) -> Self {
        let mut git = Self::bare(gitdir, subcommand);
        git.command
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .env_remove("GIT_DIR")
            .arg(subcommand);
        git
    }

    /// A command in somebody's own clone, as that person would type it: with all of the environment
    /// and configuration. Never for a repository that is served.
    pub fn as_user(directory: &Path, subcommand: &str) -> Self {
        let mut command = Command::new("git");
        command
            .env("LC_ALL", "C")
            .arg("--no-pager")
            .arg("-C")
            .arg(directory)
            .arg(subcommand)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        Self {
            command,
            name: subcommand.to_owned(),
        }
    }

    /// What a git process asks a program to run in its own place (`uploadpack.packObjectsHook`), with
    /// the environment that it gave that program.
    pub fn asked(arguments: &[OsString]) -> Command {
        let mut command = Command::new("git");
        command.args(arguments);
        command
    }

    fn bare(gitdir: &Path, subcommand: &str) -> Self {
        let mut command = Command::new("git");
        command.env_clear();
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("GIT_DIR", gitdir)
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_GRAFT_FILE", "/dev/null/none")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        Self {
            command,
            name: subcommand.to_owned(),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Hands out the command, for callers with an event loop of their own.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Starts it; standard input and output are pipes, standard error is kept for an error.
    pub fn spawn(mut self) -> Result<Process, GitError> {
        // Where there is no room for it, what git says is lost and nothing else.
        let said = tempfile::tempfile().ok();
        if let Some(file) = said.as_ref().and_then(|file| file.try_clone().ok()) {
            self.command.stderr(file);
        }
        let child = self.command.stdin(Stdio::piped()).spawn();
        match child {
            Ok(child) => Ok(Process {
                child,
                command: self.name,
                done: false,
                said,
            }),
            Err(source) => Err(GitError::Io {
                command: self.name,
                source,
            }),
        }
    }

    /// Runs it to its end with this standard input; answers its standard output.
    pub fn output(mut self, input: &[u8]) -> Result<Vec<u8>, GitError> {
        let (output, name) = self.run(input)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let kept = output.stderr.get(..STDERR_MAX).unwrap_or(&output.stderr);
        Err(GitError::Failed {
            command: name,
            status: output.status,
            stderr: String::from_utf8_lossy(kept).trim().to_owned(),
        })
    }

    /// Runs it to its end; answers whether it ended with status zero, and its standard error.
    pub(crate) fn judged(mut self) -> Result<(bool, Vec<u8>), GitError> {
        let (output, _) = self.run(b"")?;
        Ok((output.status.success(), output.stderr))
    }

    fn run(&mut self, input: &[u8]) -> Result<(std::process::Output, String), GitError> {
        let name = self.name.clone();
        let io = |source| GitError::Io {
            command: name.clone(),
            source,
        };
        self.command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(io)?;
        let stdin = child.stdin.take();
        let output = std::thread::scope(|scope| {
            // A broken pipe is no error: the command may not want its input. Its status tells.
            if let Some(mut stdin) = stdin.filter(|_| !input.is_empty()) {
                scope.spawn(move || stdin.write_all(input));
            }
            child.wait_with_output()
        });
        Ok((output.map_err(io)?, name))
    }
}

/// A running git, killed when dropped.
pub struct Process {
    child: Child,
    command: String,
    done: bool,
    said: Option<File>,
}

impl Process {
    /// Takes the write end of its standard input; dropping it is end of file.
    pub fn stdin(&mut self) -> Result<ChildStdin, GitError> {
        let taken = self.child.stdin.take();
        taken.ok_or_else(|| self.unexpected("its standard input is taken already"))
    }

    /// Takes the read end of its standard output.
    pub fn stdout(&mut self) -> Result<ChildStdout, GitError> {
        let taken = self.child.stdout.take();
        taken.ok_or_else(|| self.unexpected("its standard output is taken already"))
    }

    /// Waits for its end; an error unless that was status zero.
    pub fn finish(mut self) -> Result<(), GitError> {
        drop(self.child.stdin.take());
        if let Some(mut rest) = self.child.stdout.take() {
            let _ = std::io::copy(&mut rest.by_ref(), &mut std::io::sink());
        }
        let status = self.child.wait().map_err(|source| self.io(source))?;
        self.done = true;
        if status.success() {
            return Ok(());
        }
        Err(GitError::Failed {
            command: self.command.clone(),
            status,
            stderr: self.said(),
        })
    }

    /// What it said on standard error, [`STDERR_MAX`] bytes at most.
    fn said(&mut self) -> String {
        let mut said = Vec::new();
        if let Some(file) = &mut self.said {
            let _ = file.rewind();
            let _ = file.take(STDERR_MAX as u64).read_to_end(&mut said);
        }
        String::from_utf8_lossy(&said).trim().to_owned()
    }

    /// An error of talking to it.
    pub fn io(&self, source: std::io::Error) -> GitError {
        GitError::Io {
            command: self.command.clone(),
            source,
        }
    }

    /// An error of understanding it.
    pub fn unexpected(&self, what: &'static str) -> GitError {
        GitError::Unexpected {
            command: self.command.clone(),
            what,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.done {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
