//! Signatures of commits, tags and pushes. They were checked on the Git server; here it is
//! judged whether the outcome is what a rule asks for.

use refwarden_model::facts::{CertificateFacts, SignatureFacts, SignatureState};

use super::super::printable;
use crate::rule::Limits;

/// What is wrong with a signature, as the end of a sentence `… is`; none where it will do.
/// `signed` says whether there is one at all, where that is known without checking it.
pub fn problem(
    limits: &Limits,
    signed: Option<bool>,
    signature: Option<&SignatureFacts>,
) -> Option<String> {
    let Some(signature) = signature else {
        let text = match signed {
            Some(false) => "not signed",
            Some(true) => "signed, but the signature was not checked, which counts as a breach",
            None => "not known to be signed, which counts as a breach",
        };
        return Some(text.to_owned());
    };
    match signature.state {
        SignatureState::Unsigned => return Some("not signed".to_owned()),
        SignatureState::Bad => return Some("signed badly".to_owned()),
        SignatureState::UnknownKey => return Some("signed with an unknown key".to_owned()),
        SignatureState::Good => {}
    }
    let kind = signature
        .kind
        .map(refwarden_model::facts::SignatureKind::name);
    let kinds = &limits.signature_kinds;
    if !kinds.is_empty() && !kind.is_some_and(|kind| kinds.contains(kind)) {
        return Some(format!(
            "signed with {}, not {}",
            kind.unwrap_or("something unknown"),
            kinds.iter().copied().collect::<Vec<_>>().join(" or ")
        ));
    }
    let named = [&signature.signer, &signature.key];
    let mut named = named.into_iter().flatten();
    let listed = |name: &String| {
        limits
            .signers
            .iter()
            .any(|glob| glob.is_match(name.as_bytes()))
    };
    if !limits.signers.is_empty() && !named.any(listed) {
        let by = signature.signer.as_ref().or(signature.key.as_ref());
        let by = by.map_or("nobody known", String::as_str);
        return Some(format!(
            "signed by {}, not an allowed signer",
            printable(by)
        ));
    }
    None
}

/// What is wrong with a push's certificate, as a sentence.
pub fn of_push(limits: &Limits, certificate: Option<&CertificateFacts>) -> Option<String> {
    let signature = certificate.map(|certificate| &certificate.signature);
    let problem = problem(limits, None, signature).map(|problem| format!("the push is {problem}"));
    let replayed = certificate.is_some_and(|certificate| !certificate.nonce_ok);
    problem.or_else(|| {
        replayed.then(|| "the push certificate does not carry this push's nonce".to_owned())
    })
}
