//! Headers of commits and tags that came through a view. They exist in the original alone, and
//! say how the view's object is to be had back byte for byte.
//!
//! * `refwarden-signed <name in the view>`, followed by `refwarden-gpgsig`,
//!   `refwarden-gpgsig-sha256` or `refwarden-mergetag`: what the client signed was the view's
//!   object. Masking gives the header back under its own name (the signature of a tag, at its
//!   end), where the result has that name; under other rules it is dropped.
//! * `refwarden-names verbatim`: digits in the message are no names of the original, whatever
//!   they look like. Otherwise somebody who guesses an original name could write it in a message
//!   and see it turned into the view's.

use std::ops::Range;

use refwarden_gitio::objects::Kind;
use refwarden_model::{ObjectFormat, Oid};

use super::commit::{Field, SIGNATURES, drop_where};
use super::mention::Names;
use super::splice;
use crate::hash::object_id;

/// What the kept headers begin with.
pub(crate) const KEPT: &[u8] = b"refwarden-";

/// The name of the object that was signed.
pub(crate) const SIGNED: &[u8] = b"refwarden-signed";

/// Says that digits name nothing.
pub(crate) const NAMES: &[u8] = b"refwarden-names";

/// The value of [`NAMES`].
pub(crate) const VERBATIM: &[u8] = b"verbatim";

/// Whether a header is one of those that are kept for a signature.
pub(super) fn is_kept(name: &[u8]) -> bool {
    name == SIGNED || own_name(name).is_some()
}

/// What a kept header is called in the view.
fn own_name(name: &[u8]) -> Option<&[u8]> {
    let own = name.strip_prefix(KEPT)?;
    SIGNATURES.contains(&own).then_some(own)
}

fn value<'b>(bytes: &'b [u8], fields: &[Field], name: &[u8]) -> Option<&'b [u8]> {
    let mut named = fields
        .iter()
        .filter(|field| bytes.get(field.name.clone()) == Some(name));
    bytes.get(named.next()?.value.clone())
}

/// Names as an object tells them: it may say that what stands in it are none.
pub(super) struct Told<'n, N: Names> {
    names: &'n N,
    verbatim: bool,
}

impl<'n, N: Names> Told<'n, N> {
    /// Reads the header, which the view does not have.
    pub(super) fn of(
        bytes: &[u8],
        fields: &[Field],
        names: &'n N,
        edits: &mut Vec<(Range<usize>, Vec<u8>)>,
    ) -> Self {
        let verbatim = value(bytes, fields, NAMES) == Some(VERBATIM);
        for field in fields {
            if bytes.get(field.name.clone()) == Some(NAMES) {
                edits.push((field.all.clone(), Vec::new()));
            }
        }
        Self { names, verbatim }
    }
}

impl<N: Names> Names for Told<'_, N> {
    fn linked(&self, oid: Oid) -> Oid {
        self.names.linked(oid)
    }

    fn mentioned(&self, digits: &str) -> Option<String> {
        if self.verbatim {
            return None;
        }
        self.names.mentioned(digits)
    }
}

/// What is being masked, and where its signature at the end begins.
pub(super) struct Object(pub(super) ObjectFormat, pub(super) Kind, pub(super) usize);

impl Object {
    /// The view's object with its signature, where that has the name that was signed.
    pub(super) fn signed(
        &self,
        bytes: &[u8],
        fields: &[Field],
        edits: &[(Range<usize>, Vec<u8>)],
    ) -> Option<Vec<u8>> {
        let name = Oid::parse(value(bytes, fields, SIGNED)?).ok()?;
        let mut edits = edits.to_vec();
        let gone = |name: &[u8]| SIGNATURES.contains(&name) || name == SIGNED;
        let mut end = Vec::new();
        let mut renamed = Vec::new();
        for field in fields {
            let Some(own) = own_name(bytes.get(field.name.clone())?) else {
                continue;
            };
            // What must not be told does not return.
            if edits
                .iter()
                .any(|(span, _)| span.start < field.all.end && field.all.start < span.end)
            {
                return None;
            }
            if self.1 == Kind::Tag && own == b"gpgsig" {
                end = unfolded(bytes.get(field.value.clone())?);
                renamed.push((field.all.clone(), Vec::new()));
            } else {
                renamed.push((field.name.clone(), own.to_vec()));
            }
        }
        drop_where(bytes, fields, &mut edits, gone);
        edits.extend(renamed);
        if self.1 == Kind::Tag && !end.is_empty() {
            edits.retain(|(span, _)| span.start != self.2);
            edits.push((self.2..bytes.len(), end));
        }
        edits.sort_by_key(|(span, _)| span.start);
        let signed = splice(bytes, &edits);
        (object_id(self.0, self.1, &signed) == name).then_some(signed)
    }
}

/// Lines as the continuation of a header (gitformat-signature(5)).
pub(crate) fn folded(lines: &[u8]) -> Vec<u8> {
    let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
    let mut out = Vec::with_capacity(lines.len());
    for byte in lines {
        out.push(*byte);
        if *byte == b'\n' {
            out.push(b' ');
        }
    }
    out
}

fn unfolded(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for line in value.split(|byte| *byte == b'\n') {
        let line = if out.is_empty() {
            line
        } else {
            line.strip_prefix(b" ").unwrap_or(line)
        };
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out
}
