//! Running git: answers as bytes, failures with what git said.

use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use refwarden_gitio::refs::RefValue;
use refwarden_gitio::{Git, ObjectEnv};
use refwarden_model::{ByteText, ObjectFormat, Oid, RefName};

use crate::failure::{Context as _, Failure, Outcome};

/// git in a bare repository that the person named, whoever owns it; only the repository's own
/// configuration applies.
pub fn within(repository: &Path, subcommand: &str) -> Command {
    Git::new(repository, &ObjectEnv::repository_only(), subcommand).into_command()
}

/// The same with the configuration that a server's git would read.
pub fn as_served(repository: &Path, subcommand: &str) -> Command {
    let mut command = Git::serving(repository, subcommand).into_command();
    command.env("GIT_DIR", repository);
    command
}

/// Runs to the end; the standard output.
pub fn output(mut command: Command) -> Outcome<Vec<u8>> {
    let output = finish(&mut command)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(failed(&command, &output))
}

/// Runs to the end; none when it ends with code 1, as `git config --get` does for "not there".
pub fn lookup(mut command: Command) -> Outcome<Option<Vec<u8>>> {
    let output = finish(&mut command)?;
    match output.status.code() {
        Some(0) => Ok(Some(trimmed(output.stdout))),
        Some(1) => Ok(None),
        _ => Err(failed(&command, &output)),
    }
}

/// Runs with `input` on its standard input.
pub fn feed(mut command: Command, input: &[u8]) -> Outcome<Vec<u8>> {
    let mut child = spawn(command.stdin(Stdio::piped()))?;
    let written = match child.stdin.take() {
        Some(mut stdin) => stdin.write_all(input),
        None => Ok(()),
    };
    let output = child
        .wait_with_output()
        .context(|| "git cannot be awaited".to_owned())?;
    if !output.status.success() {
        return Err(failed(&command, &output));
    }
    written.context(|| "git did not read what it was given".to_owned())?;
    Ok(output.stdout)
}

/// Starts it with pipes for output and errors.
pub fn spawn(command: &mut Command) -> Outcome<Child> {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            Failure::new("git cannot be started")
                .why(error)
                .next("install git")
        })
}

/// The failure of a git that was given pipes, once it has ended; none when it ended well.
pub fn ended_badly(child: &mut Child) -> Option<String> {
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut said);
    }
    match child.wait() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("git ended with {status}\n{}", said.trim_end())),
        Err(error) => Some(error.to_string()),
    }
}

fn finish(command: &mut Command) -> Outcome<Output> {
    spawn(command)?
        .wait_with_output()
        .context(|| "git cannot be awaited".to_owned())
}

fn failed(command: &Command, output: &Output) -> Failure {
    let shown = |arg: &OsStr| arg.to_string_lossy().into_owned();
    let words: Vec<String> = command.get_args().map(shown).collect();
    let said = String::from_utf8_lossy(&output.stderr)
        .trim_end()
        .to_owned();
    Failure::new(format!("this failed: git {}", words.join(" ")))
        .why(format!("{}\n{said}", output.status))
}

/// What a repository's refs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refs {
    /// What HEAD names, or its oid when it is detached.
    pub head: ByteText,
    /// Refs that are not symbolic, in order of name.
    pub direct: Vec<(RefName, Oid)>,
    /// Symbolic refs and what they name.
    pub symbolic: Vec<(RefName, RefName)>,
}

/// Reads all refs.
pub fn refs(repository: &Path) -> Outcome<Refs> {
    let problem = || format!("the refs of {} cannot be read", repository.display());
    let opened = refwarden_gitio::Repository::open(repository).context(problem)?;
    let mut all = refwarden_gitio::Refs::new(&opened).all().context(problem)?;
    all.refs.sort();
    all.symrefs.sort();
    let head = match all.head {
        RefValue::Symbolic(target) => ByteText::new(target.as_bytes()),
        RefValue::Direct(oid) => ByteText::new(oid.to_string()),
        RefValue::Missing => return Err(Failure::new(problem()).why("there is no HEAD")),
    };
    Ok(Refs {
        head,
        direct: all.refs,
        symbolic: all.symrefs,
    })
}

/// The hash function of a repository.
pub fn object_format(repository: &Path) -> Outcome<ObjectFormat> {
    let mut command = within(repository, "rev-parse");
    command.args(["--show-object-format"]);
    match trimmed(output(command)?).as_slice() {
        b"sha1" => Ok(ObjectFormat::Sha1),
        b"sha256" => Ok(ObjectFormat::Sha256),
        other => Err(Failure::refused(format!(
            "object format {} is not known",
            refwarden_model::bytes::escape(other)
        ))),
    }
}

/// A configuration value of the repository itself.
pub fn config(repository: &Path, key: &str) -> Outcome<Option<String>> {
    let value = config_bytes(repository, key)?;
    Ok(value.map(|value| value.to_string_lossy().into_owned()))
}

/// The same, byte for byte.
pub fn config_bytes(repository: &Path, key: &str) -> Outcome<Option<OsString>> {
    let mut command = within(repository, "config");
    command.args(["--local", "--get", key]);
    Ok(lookup(command)?.map(OsString::from_vec))
}

/// Sets a configuration value of the repository, or removes it.
pub fn set_config(repository: &Path, key: &str, value: Option<&OsStr>) -> Outcome<()> {
    let mut command = within(repository, "config");
    command.args(["--local"]);
    match value {
        Some(value) => command.args(["--replace-all", key]).arg(value),
        None => command.args(["--unset-all", key]),
    };
    let done = finish(&mut command)?;
    match done.status.code() {
        // 5: there was nothing to remove.
        Some(0) => Ok(()),
        Some(5) if value.is_none() => Ok(()),
        _ => Err(failed(&command, &done)),
    }
}

/// Bytes without line feeds at the end.
pub fn trimmed(mut bytes: Vec<u8>) -> Vec<u8> {
    while bytes.last().is_some_and(|&byte| byte == b'\n') {
        bytes.pop();
    }
    bytes
}

/// Oids, one a line.
pub fn lines(oids: &[Oid]) -> String {
    let mut text = String::new();
    for oid in oids {
        text.push_str(&oid.to_string());
        text.push('\n');
    }
    text
}
