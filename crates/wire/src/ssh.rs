//! What the login shell asks on behalf of a session that sshd let in.

use refwarden_model::RepositoryId;
use serde::{Deserialize, Serialize};

use crate::hook::Operation;

/// Trades the certificate that authenticated a session for a token.
pub const SSH_TOKEN: &str = "/hook/v1/ssh-token";

/// A session that sshd authenticated by an OpenSSH certificate. The certificate is no secret: it
/// is the host's word, and its credential, that says whose session this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshTokenIn {
    /// The repository that is asked for.
    pub repository: RepositoryId,
    /// What for.
    pub operation: Operation,
    /// The certificate, as one line of the file that sshd's `ExposeAuthInfo` writes, without the
    /// word `publickey`.
    pub certificate: String,
    /// The client's address.
    pub client_address: Option<String>,
}

/// A token for this one operation. It has no `Debug`, so that no log can hold it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshTokenOut {
    /// The token.
    pub token: String,
}
