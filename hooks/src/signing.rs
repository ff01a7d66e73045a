//! What the signatures of a push's commits are worth, by git and the signers that the host's
//! configuration names.

use std::collections::HashMap;

use refwarden_gitio::signatures::{self, Signers};
use refwarden_model::Oid;
use refwarden_model::facts::{SignatureFacts, SignatureKind, SignatureState};

use crate::fault::Fault;
use crate::host::Host;
use crate::incoming::Incoming;

/// Signatures that are checked; further ones are not known, which counts against the push.
const CHECKED_MAX: usize = 1_000;

/// The signatures of signed commits.
#[derive(Default)]
pub struct Signatures(HashMap<Oid, signatures::Checked>);

impl Signatures {
    /// Checks those of the commits given, where there is somebody whose signature counts.
    pub fn check(host: &Host, incoming: &Incoming, signed: &[Oid]) -> Result<Self, Fault> {
        let signers = Signers {
            allowed_signers: host.config.allowed_signers.clone(),
            gpg_home: host.config.gpg_home.clone(),
        };
        if signers == Signers::default() {
            return Ok(Self::default());
        }
        let some = signed.get(..CHECKED_MAX).unwrap_or(signed);
        let checked = signatures::check(&host.repository, &incoming.objects, some, &signers);
        Ok(Self(checked?))
    }

    /// What is known of a commit's signature of that kind.
    pub fn of(&self, commit: Oid, kind: Option<SignatureKind>) -> Option<SignatureFacts> {
        let unknown = |state| SignatureFacts {
            kind,
            state,
            signer: None,
            key: None,
        };
        let Some(checked) = self.0.get(&commit) else {
            // Nobody's signature counts here, or it was one too many.
            return self
                .0
                .is_empty()
                .then(|| unknown(SignatureState::UnknownKey));
        };
        let state = match (checked.grade, kind) {
            (b'G', _) | (b'U', Some(SignatureKind::Gpg | SignatureKind::X509)) => {
                SignatureState::Good
            }
            (b'U' | b'E', _) => SignatureState::UnknownKey,
            _ => SignatureState::Bad,
        };
        let told = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let is_good = state == SignatureState::Good;
        Some(SignatureFacts {
            signer: is_good.then(|| told(&checked.signer)).flatten(),
            key: told(&checked.key),
            ..unknown(state)
        })
    }
}

/// The kind that a signature's first line tells.
pub fn kind(line: &[u8]) -> Option<SignatureKind> {
    let has = |mark: &[u8]| memchr::memmem::find(line, mark).is_some();
    if has(b"BEGIN PGP SIGNATURE") {
        Some(SignatureKind::Gpg)
    } else if has(b"BEGIN SSH SIGNATURE") {
        Some(SignatureKind::Ssh)
    } else if has(b"BEGIN SIGNED MESSAGE") {
        Some(SignatureKind::X509)
    } else {
        None
    }
}
