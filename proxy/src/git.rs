//! The git command that serves a request.

use std::path::Path;
use std::process::Command;

use refwarden_gitio::command::{configure, run_own_hooks};
use refwarden_gitio::{Git, shadow};
use refwarden_model::PushId;
use refwarden_wire::fetch::{ERRAND, Errand, SETTING};
use refwarden_wire::hook::Operation;
use secrecy::{ExposeSecret as _, SecretString};

use crate::route::Step;

/// What the hooks of a push learn through the environment.
pub struct Pusher<'a> {
    /// The token; hooks send it on to the service.
    pub token: &'a SecretString,
    /// The push's id.
    pub push_id: PushId,
    /// The client's address.
    pub address: Option<&'a str>,
    /// The client's agent string.
    pub agent: Option<&'a str>,
}

/// Builds the command that serves a shadow: stock `git upload-pack`, and nothing else ever.
pub fn shadow(directory: &Path, step: Step, protocol: Option<&str>) -> Command {
    finish(shadow::upload_pack(directory), directory, step, protocol)
}

/// Builds the command that tells those who push where a shadow's refs are.
pub fn inbox(directory: &Path, protocol: Option<&str>) -> Command {
    let git = shadow::advertise_to_pushers(directory);
    finish(git, directory, Step::Exchange, protocol)
}

/// Has a command that replaces git know the pusher as git's hooks would.
pub fn introduce(command: &mut Command, pusher: &Pusher<'_>) {
    command.env("REFWARDEN_TOKEN", pusher.token.expose_secret());
    command.env("REFWARDEN_PUSH_ID", pusher.push_id.to_string());
    command.env("REFWARDEN_TRANSPORT", "http");
    if let Some(address) = pusher.address {
        command.env("REFWARDEN_CLIENT_ADDRESS", address);
    }
    if let Some(agent) = pusher.agent {
        command.env("REFWARDEN_CLIENT_AGENT", agent);
    }
}

/// Has git make packs through the program that records fetches.
///
/// # Errors
/// When the errand has no JSON form.
pub fn record(command: &mut Command, program: &str, errand: &Errand) -> std::io::Result<()> {
    configure(command, &[(SETTING, program)]);
    command.env(ERRAND, serde_json::to_string(errand)?);
    Ok(())
}

/// Builds the command. `protocol` is the value of the header `Git-Protocol`, checked by
/// [`protocol`]. Nothing of this process's environment or of git's system and user
/// configuration reaches git, so nothing that is configured there is served.
pub fn command(
    directory: &Path,
    operation: Operation,
    step: Step,
    protocol: Option<&str>,
    pusher: Option<&Pusher<'_>>,
) -> Command {
    let subcommand = match operation {
        Operation::Fetch => "upload-pack",
        Operation::Push => "receive-pack",
    };
    let mut git = Git::serving(directory, subcommand);
    if operation == Operation::Fetch {
        git = git.arg("--strict");
    }
    let mut command = finish(git, directory, step, protocol);
    for (name, value) in [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ] {
        command.env(name, value);
    }
    // A path that cannot exist: for a file that does, git prints advice about grafts.
    command.env("GIT_GRAFT_FILE", "/dev/null/none");
    // Whose repository it is matters: its hooks and configuration run as this user.
    for name in ["GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0"] {
        command.env_remove(name);
    }
    if operation == Operation::Push {
        run_own_hooks(&mut command);
    }
    if let Some(pusher) = pusher {
        introduce(&mut command, pusher);
    }
    command
}

/// What a git over HTTP has in common, whatever it serves.
fn finish(mut git: Git, directory: &Path, step: Step, protocol: Option<&str>) -> Command {
    git = git.arg("--stateless-rpc");
    if step == Step::Advertise {
        git = git.arg("--http-backend-info-refs");
    }
    let mut command = git.arg(".").into_command();
    command.current_dir(directory);
    if let Some(protocol) = protocol {
        command.env("GIT_PROTOCOL", protocol);
    }
    command
}

/// Accepts a `Git-Protocol` header that git could have sent: colon-separated keys and values
/// (gitprotocol-http(5)). receive-pack knows no version 2.
pub fn protocol(header: &str, operation: Operation) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=:._-".contains(&byte);
    let good = !header.is_empty() && header.len() <= 256 && header.bytes().all(plain);
    let version_2 = header.split(':').any(|part| part == "version=2");
    (good && !(operation == Operation::Push && version_2)).then_some(header)
}

/// What stands before a ref advertisement of version 0 or 1 (gitprotocol-http(5)); nothing
/// before that of version 2.
pub fn preamble(operation: Operation, protocol: Option<&str>) -> &'static [u8] {
    let version_2 = protocol.is_some_and(|it| it.split(':').any(|part| part == "version=2"));
    match operation {
        Operation::Fetch if version_2 => b"",
        Operation::Fetch => b"001e# service=git-upload-pack\n0000",
        Operation::Push => b"001f# service=git-receive-pack\n0000",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_protocol_headers_pass() {
        use Operation::{Fetch, Push};
        assert_eq!(protocol("version=2", Fetch), Some("version=2"));
        assert_eq!(protocol("version=2", Push), None);
        assert_eq!(protocol("version=1:key", Push), Some("version=1:key"));
        for bad in ["", "version=2\n", "a b", "x;y", "$(id)", &"a".repeat(257)] {
            assert_eq!(protocol(bad, Fetch), None, "{bad:?}");
        }
    }

    #[test]
    fn a_preamble_says_its_own_length() {
        for operation in [Operation::Fetch, Operation::Push] {
            let bytes = preamble(operation, None);
            let length = std::str::from_utf8(&bytes[..4]).unwrap();
            let length = usize::from_str_radix(length, 16).unwrap();
            assert_eq!(&bytes[length..], b"0000");
        }
        assert!(preamble(Operation::Fetch, Some("x:version=2")).is_empty());
    }
}
