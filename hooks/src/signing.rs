//! What the signatures of a push, its commits and its tags are worth, by git and the signers that
//! the host's configuration names.

use std::cell::Cell;
use std::collections::HashMap;

use refwarden_gitio::Repository;
use refwarden_gitio::objects::ReadObjects;
use refwarden_gitio::signatures::{self, Signers};
use refwarden_model::Oid;
use refwarden_model::facts::{
    CertificateFacts, RefFacts, SignatureFacts, SignatureKind, SignatureState,
};

use crate::environment::Certificate;
use crate::fault::Fault;
use crate::host::Host;
use crate::incoming::Incoming;

/// Signatures that are checked; further ones are not known, which counts against the push.
const CHECKED_MAX: usize = 1_000;

/// Tags whose signatures are checked, one process each; likewise.
const TAGS_MAX: usize = 100;

/// The largest push certificate that is read, in bytes.
const CERTIFICATE_MAX: u64 = 4 << 20;

/// The signatures of signed commits, and how to check others.
pub struct Signatures {
    commits: HashMap<Oid, signatures::Checked>,
    signers: Signers,
    tags_left: Cell<usize>,
}

impl Signatures {
    /// Checks those of the commits given, where there is somebody whose signature counts.
    pub fn check(host: &Host, incoming: &Incoming, signed: &[Oid]) -> Result<Self, Fault> {
        let signers = Signers {
            allowed_signers: host.config.allowed_signers.clone(),
            gpg_home: host.config.gpg_home.clone(),
        };
        let mut commits = HashMap::new();
        if signers != Signers::default() {
            let some = signed.get(..CHECKED_MAX).unwrap_or(signed);
            commits = signatures::check(&host.repository, &incoming.objects, some, &signers)?;
        }
        Ok(Self {
            commits,
            signers,
            tags_left: Cell::new(TAGS_MAX),
        })
    }

    /// What is known of a commit's signature of that kind.
    pub fn of(&self, commit: Oid, kind: Option<SignatureKind>) -> Option<SignatureFacts> {
        match self.commits.get(&commit) {
            Some(checked) => Some(facts(checked, kind)),
            // Nobody's signature counts here, or it was one too many.
            None => self.commits.is_empty().then(|| of_nobody(kind)),
        }
    }

    /// What a signed tag's signature is worth; none where there are too many.
    pub fn of_tag(
        &self,
        repository: &Repository,
        incoming: &Incoming,
        tag: Oid,
        kind: Option<SignatureKind>,
    ) -> Result<Option<SignatureFacts>, Fault> {
        if self.signers == Signers::default() {
            return Ok(Some(of_nobody(kind)));
        }
        let Some(left) = self.tags_left.get().checked_sub(1) else {
            return Ok(None);
        };
        self.tags_left.set(left);
        let checked = signatures::check_tag(repository, &incoming.objects, tag, &self.signers)?;
        Ok(Some(facts(&checked, kind)))
    }

    /// What the push's certificate is worth. One that does not list exactly what is pushed is bad,
    /// whoever signed it.
    pub fn of_push(
        &self,
        certificate: Option<&Certificate>,
        updates: &[RefFacts],
        reader: &mut dyn ReadObjects,
    ) -> Result<CertificateFacts, Fault> {
        let Some(certificate) = certificate else {
            return Ok(CertificateFacts {
                signature: state(None, SignatureState::Unsigned),
                nonce_ok: false,
            });
        };
        let (_, bytes) = reader.load(certificate.oid, CERTIFICATE_MAX, &mut |_, _| {})?;
        let bytes = bytes.ok_or_else(|| Fault::malformed("the push certificate is too large"))?;
        let begins = memchr::memmem::find(&bytes, b"\n-----BEGIN ");
        let (listed, signature) = bytes.split_at(begins.map_or(bytes.len(), |at| at + 1));
        let kind = kind(signature);
        let signature = if !lists(listed, updates) {
            state(kind, SignatureState::Bad)
        } else if self.signers == Signers::default() {
            of_nobody(kind)
        } else {
            facts(
                &signatures::check_certificate(listed, signature, &self.signers)?,
                kind,
            )
        };
        Ok(CertificateFacts {
            signature,
            nonce_ok: certificate.nonce_ok,
        })
    }
}

/// Whether a certificate's text lists those updates and no others: after an empty line, each as
/// `<old> <new> <name>`.
fn lists(certificate: &[u8], updates: &[RefFacts]) -> bool {
    let Some(begin) = memchr::memmem::find(certificate, b"\n\n") else {
        return false;
    };
    let lines = certificate.get(begin + 2..).unwrap_or_default();
    let lines = lines.split(|&byte| byte == b'\n');
    let mut listed: Vec<Vec<u8>> = lines
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    let mut pushed: Vec<Vec<u8>> = updates
        .iter()
        .map(|update| {
            let mut line = format!("{} {} ", update.claimed_old, update.new).into_bytes();
            line.extend_from_slice(update.ref_name.as_bytes());
            line
        })
        .collect();
    listed.sort_unstable();
    pushed.sort_unstable();
    listed == pushed
}

fn facts(checked: &signatures::Checked, kind: Option<SignatureKind>) -> SignatureFacts {
    let state = match (checked.grade, kind) {
        (b'G', _) | (b'U', Some(SignatureKind::Gpg | SignatureKind::X509)) => SignatureState::Good,
        (b'U' | b'E', _) => SignatureState::UnknownKey,
        _ => SignatureState::Bad,
    };
    let told = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let is_good = state == SignatureState::Good;
    SignatureFacts {
        kind,
        state,
        signer: is_good.then(|| told(&checked.signer)).flatten(),
        key: told(&checked.key),
    }
}

/// A signature where nobody's counts.
fn of_nobody(kind: Option<SignatureKind>) -> SignatureFacts {
    state(kind, SignatureState::UnknownKey)
}

const fn state(kind: Option<SignatureKind>, state: SignatureState) -> SignatureFacts {
    SignatureFacts {
        kind,
        state,
        signer: None,
        key: None,
    }
}

/// The kind that a signature's beginning tells.
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
