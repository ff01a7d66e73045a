//! Who vouches for the people and programs that come over SSH with a certificate.

use serde::{Deserialize, Serialize};

use crate::IssuerKind;

/// A certification authority whose OpenSSH user certificates name pushers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshAuthority {
    /// Its public key, as a line of an `authorized_keys` file; Ed25519 or ECDSA with P-256.
    pub public_key: String,
    /// The issuer whose subjects the certificates name: records, policy and the rule that nobody
    /// approves their own push see the same person as after signing in there. Must be one of
    /// the issuers.
    pub issuer: String,
    /// What kind of actor its certificates name.
    #[serde(default)]
    pub kind: IssuerKind,
    /// Where the subject stands.
    #[serde(default)]
    pub subject: SshSubject,
    /// The extension that names the person for whom an agent acts, a subject of the same issuer,
    /// such as `on-behalf-of@example.com`. A certificate without it is then refused.
    pub on_behalf_of: Option<String>,
    /// The extension that lists the groups of whom the certificate names, with commas between them,
    /// such as `groups@example.com`. A certificate without it names none.
    pub groups: Option<String>,
    /// Longest validity of a certificate, in seconds.
    #[serde(default = "super::server::default_lifetime")]
    pub max_lifetime: u64,
}

/// Where a certificate says whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SshSubject {
    /// Its one principal; one with several is refused.
    #[default]
    Principal,
    /// Its key id, where principals name accounts such as `git`.
    KeyId,
}
