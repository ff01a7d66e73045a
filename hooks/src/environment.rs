//! What the hook's environment says about a push: push options, token, transport. The
//! environment is set by the proxy, the login shell or sshd; on a local push by the pusher.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use refwarden_model::{Oid, PushId};
use refwarden_wire::hook::MASKED_PUSH;
use secrecy::SecretString;

use crate::fault::Fault;

/// Most push options that are read.
const OPTIONS_MAX: usize = 1000;

/// How a push came.
pub struct Environment {
    /// Push options, without `token=`.
    pub options: Vec<Vec<u8>>,
    /// The pusher's token, from `REFWARDEN_TOKEN` or, as a last resort, a push option.
    pub token: Option<SecretString>,
    /// The id that the proxy or login shell gave.
    pub push_id: Option<PushId>,
    /// `http`, `ssh` or `local`.
    pub transport: String,
    /// The client's address.
    pub client_address: Option<String>,
    /// The client's agent string.
    pub client_agent: Option<String>,
    /// The directory of what the push was before it was translated, where it says that it came
    /// through a view ([`crate::through`]).
    pub masked: Option<PathBuf>,
    /// The push certificate (git-receive-pack(1), "PRE-RECEIVE HOOK").
    pub certificate: Option<Certificate>,
}

/// What receive-pack says of a push certificate.
pub struct Certificate {
    /// The blob that holds it.
    pub oid: Oid,
    /// Whether it carries the nonce that was asked for in this very push.
    pub nonce_ok: bool,
}

impl Environment {
    /// Reads the process's environment.
    pub fn read() -> Result<Self, Fault> {
        let mut options = read_options()?;
        let mut token = text("REFWARDEN_TOKEN").map(SecretString::from);
        options.retain(|option| match option.strip_prefix(b"token=") {
            None => true,
            Some(value) => {
                if token.is_none() {
                    let value = String::from_utf8_lossy(value).into_owned();
                    token = Some(SecretString::from(value));
                }
                false
            }
        });
        let over_ssh = text("SSH_CONNECTION");
        let transport = match text("REFWARDEN_TRANSPORT").as_deref() {
            Some(known @ ("http" | "ssh")) => known.to_owned(),
            _ if over_ssh.is_some() => "ssh".to_owned(),
            _ => "local".to_owned(),
        };
        let address = over_ssh.and_then(|line| Some(line.split(' ').next()?.to_owned()));
        Ok(Self {
            options,
            token,
            push_id: text("REFWARDEN_PUSH_ID").and_then(|id| id.parse().ok()),
            transport,
            client_address: text("REFWARDEN_CLIENT_ADDRESS").or(address).map(bounded),
            client_agent: text("REFWARDEN_CLIENT_AGENT").map(bounded),
            masked: text(MASKED_PUSH).map(PathBuf::from),
            certificate: certificate()?,
        })
    }
}

fn certificate() -> Result<Option<Certificate>, Fault> {
    let Some(oid) = text("GIT_PUSH_CERT") else {
        return Ok(None);
    };
    let oid = Oid::parse(oid.as_bytes());
    let oid = oid.map_err(|_| Fault::malformed("the push certificate has no object id"))?;
    let nonce_ok = text("GIT_PUSH_CERT_NONCE_STATUS").as_deref() == Some("OK");
    Ok((!oid.is_zero()).then_some(Certificate { oid, nonce_ok }))
}

fn read_options() -> Result<Vec<Vec<u8>>, Fault> {
    let Some(count) = text("GIT_PUSH_OPTION_COUNT") else {
        return Ok(Vec::new());
    };
    let count = count.parse::<usize>().ok();
    let count = count.filter(|&count| count <= OPTIONS_MAX);
    let count = count.ok_or_else(|| Fault::malformed("too many push options"))?;
    (0..count)
        .map(|index| {
            let value = std::env::var_os(format!("GIT_PUSH_OPTION_{index}"));
            let value = value.ok_or_else(|| Fault::malformed("a push option is missing"))?;
            Ok(value.as_bytes().to_vec())
        })
        .collect()
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// At most 200 characters of what a client says about itself.
fn bounded(text: impl AsRef<str>) -> String {
    text.as_ref().chars().take(200).collect()
}
