//! What sshd says about a session: in arguments, in the environment, and in the file of
//! `ExposeAuthInfo` (`sshd_config(5)`).

use std::path::PathBuf;

use secrecy::SecretString;

use crate::fault::Fault;

/// Longest file of `ExposeAuthInfo` that is read, in bytes.
const AUTH_INFO_MAX: u64 = 64 << 10;

/// A session.
pub struct Session {
    /// Where the repositories stand.
    pub root: PathBuf,
    /// What the client wants done; empty for somebody who came to type.
    pub command: String,
    /// The token that the client sent.
    pub token: Option<SecretString>,
    /// The OpenSSH certificate that sshd let it in with.
    pub certificate: Option<String>,
    /// The client's address.
    pub address: Option<String>,
    /// The protocol version that the client asked git for.
    pub protocol: Option<String>,
}

impl Session {
    /// Reads it.
    pub fn read() -> Result<Self, Fault> {
        let mut root = variable("HOME").map(PathBuf::from);
        let mut command = variable("SSH_ORIGINAL_COMMAND");
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match (argument.as_str(), arguments.next()) {
                ("--root", Some(value)) => root = Some(value.into()),
                ("-c", Some(value)) => command = Some(value),
                _ => {
                    let text = format!("refwarden-shell does not know the argument {argument}");
                    return Err(Fault::hook(text));
                }
            }
        }
        let address = variable("SSH_CONNECTION");
        let address = address.and_then(|line| Some(line.split(' ').next()?.to_owned()));
        Ok(Self {
            root: root.ok_or_else(|| Fault::hook("the session has no home directory"))?,
            command: command.unwrap_or_default(),
            token: variable("REFWARDEN_TOKEN").map(SecretString::from),
            certificate: certificate()?,
            address,
            protocol: variable("GIT_PROTOCOL").filter(|it| is_plain(it)),
        })
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Keys and values such as `version=2`, separated by colons.
fn is_plain(protocol: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=:._-".contains(&byte);
    protocol.len() <= 256 && protocol.bytes().all(plain)
}

fn certificate() -> Result<Option<String>, Fault> {
    use std::io::Read as _;
    let Some(file) = variable("SSH_USER_AUTH") else {
        return Ok(None);
    };
    let mut text = String::new();
    let read = std::fs::File::open(file)
        .and_then(|file| file.take(AUTH_INFO_MAX).read_to_string(&mut text));
    read.map_err(|_| Fault::hook("what sshd says of the session cannot be read"))?;
    Ok(certificate_in(&text))
}

/// Lines are `publickey <type> <base64>`, one for each method that was needed.
fn certificate_in(text: &str) -> Option<String> {
    let keys = text
        .lines()
        .filter_map(|line| line.strip_prefix("publickey "));
    let is_certificate = |key: &&str| {
        let kind = key.split(' ').next().unwrap_or_default();
        kind.ends_with("-cert-v01@openssh.com")
    };
    keys.filter(|key| is_certificate(key))
        .map(str::to_owned)
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_from_a_key() {
        let line = "ssh-ed25519-cert-v01@openssh.com AAAA";
        let text = format!("password\npublickey ssh-ed25519 BBBB\npublickey {line}\n");
        assert_eq!(certificate_in(&text).as_deref(), Some(line));
        assert_eq!(certificate_in("publickey ssh-ed25519 BBBB\n"), None);
        assert_eq!(certificate_in(line), None);
    }

    #[test]
    fn only_plain_protocols_pass() {
        assert!(is_plain("version=2"));
        assert!(!is_plain("version=2\nx") && !is_plain("$(id)") && !is_plain(&"a".repeat(257)));
    }
}
