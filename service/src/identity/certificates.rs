//! OpenSSH user certificates (OpenSSH's PROTOCOL.certkeys): who the certificate names that sshd
//! authenticated a session by.
//!
//! That the client holds the certified key is sshd's to check, and the host's to say truly. Here
//! the certificate itself is checked once more, so that no host can speak for somebody whom no
//! authority certified.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use refwarden_config::{Config, IssuerKind, SshAuthority, SshSubject};
use refwarden_model::{Actor, ActorChain, ActorKind};
use ssh_key::certificate::CertType;
use ssh_key::{Algorithm, Certificate, EcdsaCurve, Fingerprint, HashAlg, PublicKey};

use super::TokenError;

/// Longest certificate that is looked at, in bytes.
const CERTIFICATE_MAX: usize = 16 << 10;

/// Longest subject, in bytes; as for claims.
const SUBJECT_MAX: usize = 512;

/// Groups that are taken from a certificate, at most.
const GROUPS_MAX: usize = 200;

/// Critical options that sshd enforces. Any other one limits a certificate in a way that nobody
/// here knows.
const ENFORCED: [&str; 3] = ["force-command", "source-address", "verify-required"];

/// The configured authorities.
#[derive(Debug, Default)]
pub struct Authorities(Vec<(Fingerprint, SshAuthority)>);

/// Whom a certificate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The pusher, and the person behind an agent.
    pub chain: ActorChain,
    /// When the certificate ends.
    pub expires_at: DateTime<Utc>,
}

impl Authorities {
    /// Reads the authorities of the configuration.
    ///
    /// # Errors
    /// One sentence: which key or issuer is wrong, and what was expected.
    pub fn open(config: &Config) -> Result<Self, String> {
        let mut authorities = Vec::new();
        for (index, authority) in config.ssh_authorities.iter().enumerate() {
            let wrong = |what: &str| format!("ssh_authority {}: {what}", index + 1);
            let key = PublicKey::from_openssh(&authority.public_key)
                .map_err(|_| wrong("public_key: expected a line such as 'ssh-ed25519 AAAA…'"))?;
            let curve = EcdsaCurve::NistP256;
            if ![Algorithm::Ed25519, Algorithm::Ecdsa { curve }].contains(&key.algorithm()) {
                return Err(wrong("public_key: expected an Ed25519 or ECDSA P-256 key"));
            }
            let known = config.issuers.iter().any(|it| it.url == authority.issuer);
            if !known {
                return Err(wrong("issuer: expected the url of one of the issuers"));
            }
            if authority.on_behalf_of.is_some() && authority.kind != IssuerKind::Agent {
                return Err(wrong("on_behalf_of: only with kind = \"agent\""));
            }
            if config.tokens.is_none() {
                return Err(wrong(
                    "expected a section [tokens]: certificates are traded",
                ));
            }
            authorities.push((key.fingerprint(HashAlg::Sha256), authority.clone()));
        }
        Ok(Self(authorities))
    }

    /// Says whom a certificate names.
    ///
    /// # Errors
    /// [`TokenError`]: the first thing that is wrong with it.
    pub fn verify(&self, text: &str, now: DateTime<Utc>) -> Result<Certified, TokenError> {
        let malformed = TokenError::Malformed;
        if text.len() > CERTIFICATE_MAX {
            return Err(malformed("the SSH certificate is too long"));
        }
        let certificate = Certificate::from_openssh(text)
            .map_err(|_| malformed("expected an OpenSSH certificate with an end"))?;
        let signer = certificate.signature_key().fingerprint(HashAlg::Sha256);
        let mut known = self.0.iter();
        let (fingerprint, authority) = known
            .find(|(fingerprint, _)| *fingerprint == signer)
            .ok_or(TokenError::Foreign("no ssh_authority has signed it"))?;
        let (from, to) = (certificate.valid_after(), certificate.valid_before());
        let at = u64::try_from(now.timestamp()).unwrap_or_default();
        if at < from {
            return Err(TokenError::NotYetValid);
        }
        if at >= to {
            return Err(TokenError::Expired);
        }
        if to - from > authority.max_lifetime {
            return Err(malformed("the SSH certificate is valid for too long"));
        }
        certificate
            .validate_at(at, [fingerprint])
            .map_err(|_| TokenError::BadSignature)?;
        if certificate.cert_type() != CertType::User {
            return Err(malformed("expected a certificate of a user, not of a host"));
        }
        let mut options = certificate.critical_options().iter();
        if !options.all(|(name, _)| ENFORCED.contains(&name.as_str())) {
            return Err(malformed("it has a critical option that is not known"));
        }
        let expires_at = i64::try_from(to).ok();
        let expires_at = expires_at.and_then(|to| DateTime::from_timestamp(to, 0));
        Ok(Certified {
            chain: chain(&certificate, authority)?,
            expires_at: expires_at.ok_or(malformed("its time is out of range"))?,
        })
    }
}

fn chain(certificate: &Certificate, authority: &SshAuthority) -> Result<ActorChain, TokenError> {
    let subject = match (authority.subject, certificate.valid_principals()) {
        (SshSubject::KeyId, _) => certificate.key_id(),
        (SshSubject::Principal, [one]) => one,
        (SshSubject::Principal, _) => {
            return Err(TokenError::Malformed("expected exactly one principal"));
        }
    };
    let kind = match authority.kind {
        IssuerKind::Human => ActorKind::Human,
        IssuerKind::Agent => ActorKind::Agent,
        IssuerKind::Ci => ActorKind::Ci,
    };
    let mut on_behalf_of = Vec::new();
    if let Some(extension) = &authority.on_behalf_of {
        let person = certificate.extensions().get(extension);
        let person = person.ok_or(TokenError::Malformed("it does not say for whom it acts"))?;
        on_behalf_of.push(actor(authority, person, ActorKind::Human)?);
    }
    let mut pusher = actor(authority, subject, kind)?;
    if let Some(extension) = &authority.groups {
        pusher.groups = groups(certificate.extensions().get(extension))?;
    }
    Ok(ActorChain {
        pusher,
        on_behalf_of,
    })
}

/// The groups of a list with commas.
fn groups(list: Option<&String>) -> Result<Vec<String>, TokenError> {
    let names = list.map(|list| list.split(',')).into_iter().flatten();
    let names = names.map(str::trim).filter(|name| !name.is_empty());
    let groups: Vec<String> = names.take(GROUPS_MAX + 1).map(str::to_owned).collect();
    let is_good = |name: &String| name.len() <= SUBJECT_MAX && !name.chars().any(char::is_control);
    if groups.len() > GROUPS_MAX || !groups.iter().all(is_good) {
        return Err(TokenError::Malformed("its groups are too many or too long"));
    }
    Ok(groups)
}

fn actor(authority: &SshAuthority, subject: &str, kind: ActorKind) -> Result<Actor, TokenError> {
    let good = !subject.is_empty()
        && subject.len() <= SUBJECT_MAX
        && !subject.chars().any(char::is_control);
    if !good {
        return Err(TokenError::Malformed("its subject is empty or too long"));
    }
    Ok(Actor {
        issuer: authority.issuer.clone(),
        subject: subject.to_owned(),
        kind,
        name: None,
        email: None,
        groups: Vec::new(),
        claims: BTreeMap::new(),
    })
}
