//! Commits and annotated tags: spliced header by header, never printed anew.

use std::borrow::Cow;
use std::ops::Range;

use refwarden_gitio::objects::Kind;
use refwarden_model::{ObjectFormat, Oid};

use super::mention::{MENTION_MIN, Names};
use super::{Mask, pushed, splice};

/// Headers that cover the bytes around them, or embed an object with its original names
/// (gitformat-signature(5)).
pub(crate) const SIGNATURES: [&[u8]; 3] = [b"gpgsig", b"gpgsig-sha256", b"mergetag"];

/// First lines of signatures at the end of a tag (`sigs` in git's gpg-interface.c).
const ARMOURS: [&[u8]; 4] = [
    b"-----BEGIN PGP SIGNATURE-----",
    b"-----BEGIN PGP MESSAGE-----",
    b"-----BEGIN SIGNED MESSAGE-----",
    b"-----BEGIN SSH SIGNATURE-----",
];

/// A header with its continuation lines.
pub(crate) struct Field {
    /// From its first byte to behind its last line break.
    pub(crate) all: Range<usize>,
    pub(crate) name: Range<usize>,
    /// Without the last line break.
    pub(crate) value: Range<usize>,
}

/// The headers, and where the message begins. Without a blank line, all is headers.
pub(crate) fn fields(bytes: &[u8]) -> (Vec<Field>, usize) {
    let mut fields: Vec<Field> = Vec::new();
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let length = memchr::memchr(b'\n', rest);
        let line = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
        let next = at + line.len() + usize::from(length.is_some());
        if line.is_empty() {
            return (fields, next);
        }
        match fields.last_mut() {
            Some(last) if line.starts_with(b" ") => {
                last.all.end = next;
                last.value.end = at + line.len();
            }
            _ => {
                let name = memchr::memchr(b' ', line).unwrap_or(line.len());
                let value = (at + name + 1).min(at + line.len());
                fields.push(Field {
                    all: at..next,
                    name: at..at + name,
                    value: value..at + line.len(),
                });
            }
        }
        at = next;
    }
    (fields, bytes.len())
}

/// What a commit links to.
#[derive(Debug, PartialEq, Eq)]
pub struct Links {
    /// The tree; none where the first header is no tree.
    pub tree: Option<Oid>,
    /// The parents, in order.
    pub parents: Vec<Oid>,
}

/// What a commit links to: the tree is its first header and parents follow at once, as in git's
/// own reader.
pub fn links(commit: &[u8]) -> Links {
    let linked = linked(commit, &fields(commit).0);
    let mut oids = linked.into_iter();
    Links {
        tree: oids.next().map(|(_, oid)| oid),
        parents: oids.map(|(_, oid)| oid).collect(),
    }
}

pub(crate) fn linked(commit: &[u8], fields: &[Field]) -> Vec<(Range<usize>, Oid)> {
    let mut found = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let expected: &[u8] = if index == 0 { b"tree" } else { b"parent" };
        let name = commit.get(field.name.clone());
        let value = commit.get(field.value.clone()).unwrap_or_default();
        match Oid::parse(value) {
            Ok(oid) if name == Some(expected) => found.push((field.value.clone(), oid)),
            _ => break,
        }
    }
    found
}

/// The object that a tag names; none where its first header names none.
pub fn target(tag: &[u8]) -> Option<Oid> {
    let (fields, _) = fields(tag);
    target_of(tag, &fields).map(|(_, oid)| oid)
}

pub(crate) fn target_of(tag: &[u8], fields: &[Field]) -> Option<(Range<usize>, Oid)> {
    let first = fields.first()?;
    if tag.get(first.name.clone())? != b"object" {
        return None;
    }
    let oid = Oid::parse(tag.get(first.value.clone())?).ok()?;
    Some((first.value.clone(), oid))
}

/// Where the message of a commit or tag begins.
pub fn message(bytes: &[u8]) -> &[u8] {
    let (_, start) = fields(bytes);
    bytes.get(start..).unwrap_or_default()
}

impl Mask<'_> {
    /// Masks a commit; borrows where nothing changes.
    ///
    /// Spliced are the tree, the parents, secrets in author, committer and message, and names of
    /// affected objects in the message. Any other header that holds a secret or the whole name of
    /// an affected object is dropped, and so are signatures and merged tags once any byte
    /// changes.
    pub fn commit<'b>(
        &self,
        bytes: &'b [u8],
        format: ObjectFormat,
        names: &impl Names,
    ) -> Cow<'b, [u8]> {
        let (fields, message) = fields(bytes);
        let links = linked(bytes, &fields);
        let rest = fields.get(links.len()..).unwrap_or_default();
        let mut edits = renamed(&links, names);
        let names = pushed::Told::of(bytes, rest, names, &mut edits);
        self.headers(bytes, rest, format, &names, &mut edits);
        self.message(bytes, message..bytes.len(), format, &names, &mut edits);
        finish(
            bytes,
            rest,
            edits,
            &pushed::Object(format, Kind::Commit, bytes.len()),
        )
    }

    /// Masks an annotated tag; borrows where nothing changes. As [`Mask::commit`]; a signature
    /// at the end of the message goes as well.
    pub fn tag<'b>(
        &self,
        bytes: &'b [u8],
        format: ObjectFormat,
        names: &impl Names,
    ) -> Cow<'b, [u8]> {
        let (fields, message) = fields(bytes);
        let target = target_of(bytes, &fields);
        let rest = fields.get(usize::from(target.is_some())..);
        let rest = rest.unwrap_or_default();
        let links: Vec<_> = target.into_iter().collect();
        let mut edits = renamed(&links, names);
        let names = pushed::Told::of(bytes, rest, names, &mut edits);
        self.headers(bytes, rest, format, &names, &mut edits);
        let signature = signature(bytes, message);
        self.message(bytes, message..signature, format, &names, &mut edits);
        let signed = bytes.get(signature..).unwrap_or_default();
        let tells = self.is_affected(signed) || self.names_affected(signed, format, &names);
        if signature < bytes.len() && (tells || !edits.is_empty()) {
            edits.push((signature..bytes.len(), Vec::new()));
        }
        finish(
            bytes,
            rest,
            edits,
            &pushed::Object(format, Kind::Tag, signature),
        )
    }

    fn headers(
        &self,
        bytes: &[u8],
        fields: &[Field],
        format: ObjectFormat,
        names: &impl Names,
        edits: &mut Vec<(Range<usize>, Vec<u8>)>,
    ) {
        for field in fields {
            let value = bytes.get(field.value.clone()).unwrap_or_default();
            let name = bytes.get(field.name.clone()).unwrap_or_default();
            let all = bytes.get(field.all.clone()).unwrap_or_default();
            if name == pushed::NAMES {
                continue;
            }
            if matches!(name, b"author" | b"committer" | b"tagger") {
                let masked = self.ident(value, format, names);
                edits.extend(masked.map(|new| (field.value.clone(), new)));
            } else if name == b"tag" {
                let masked = self.text(value);
                if let Cow::Owned(new) = masked {
                    let line = new.into_iter().filter(|byte| *byte != b'\n').collect();
                    edits.push((field.value.clone(), line));
                }
            } else if self.is_affected(all) || self.names_affected(all, format, names) {
                edits.push((field.all.clone(), Vec::new()));
            }
        }
    }

    /// Masks an ident. Its form, `name <mail> time zone`, stays: where masking would break it, a
    /// placeholder takes the place of name and mail.
    fn ident(&self, value: &[u8], format: ObjectFormat, names: &impl Names) -> Option<Vec<u8>> {
        let whole = format.raw_len() * 2;
        let end = memchr::memrchr(b'>', value).map_or(value.len(), |at| at + 1);
        let (person, time) = value.split_at_checked(end)?;
        let mut masked = self.text(person);
        if let Some(new) = self.translated(&masked, format, whole, names) {
            masked = Cow::Owned(new);
        }
        let Cow::Owned(mut masked) = masked else {
            return self.is_affected(value).then(|| self.nobody(value));
        };
        masked.extend_from_slice(time);
        let signs = |bytes: &[u8]| {
            let of = |sign| memchr::memchr_iter(sign, bytes).count();
            (of(b'<'), of(b'>'), of(b'\n'))
        };
        if signs(&masked) == signs(value) && !self.is_affected(&masked) {
            return Some(masked);
        }
        Some(self.nobody(value))
    }

    /// An ident that says nothing of the person; the time stays where it has the form of one.
    fn nobody(&self, value: &[u8]) -> Vec<u8> {
        let digits = self.key.fingerprint(value).to_string();
        let digits = digits.get(..16).unwrap_or_default();
        let at = memchr::memrchr(b'>', value).map_or(value.len(), |at| at + 1);
        let time = value.get(at..).unwrap_or_default();
        let plain = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b' ' | b'+' | b'-');
        let mut ident = format!("masked-{digits} <masked-{digits}>").into_bytes();
        if time.len() <= 20 && time.iter().all(plain) && !time.is_empty() {
            ident.extend_from_slice(time);
        } else {
            ident.extend_from_slice(b" 0 +0000");
        }
        ident
    }

    fn message(
        &self,
        bytes: &[u8],
        span: Range<usize>,
        format: ObjectFormat,
        names: &impl Names,
        edits: &mut Vec<(Range<usize>, Vec<u8>)>,
    ) {
        let text = bytes.get(span.clone()).unwrap_or_default();
        let masked = self.text(text);
        let translated = self.translated(&masked, format, MENTION_MIN, names);
        match (translated, masked) {
            (Some(new), _) | (None, Cow::Owned(new)) => edits.push((span, new)),
            (None, Cow::Borrowed(_)) => {}
        }
    }

    fn names_affected(&self, text: &[u8], format: ObjectFormat, names: &impl Names) -> bool {
        let whole = format.raw_len() * 2;
        self.translated(text, format, whole, names).is_some()
    }
}

fn renamed(links: &[(Range<usize>, Oid)], names: &impl Names) -> Vec<(Range<usize>, Vec<u8>)> {
    let changed = links.iter().filter_map(|(span, oid)| {
        let new = names.linked(*oid);
        (new != *oid).then(|| (span.clone(), new.to_string().into_bytes()))
    });
    changed.collect()
}

/// Where the signature at the end of a tag begins; the tag's length where there is none.
pub(crate) fn signature(tag: &[u8], message: usize) -> usize {
    let mut at = message;
    let mut found = tag.len();
    while let Some(rest) = tag.get(at..).filter(|rest| !rest.is_empty()) {
        // The last armour counts, as in `parse_signed_buffer`.
        if ARMOURS.iter().any(|armour| rest.starts_with(armour)) {
            found = at;
        }
        at += memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
    }
    found
}

/// Drops signatures where anything changes, and splices. A signature that a push through a view
/// brought returns where the result is what was signed.
fn finish<'b>(
    bytes: &'b [u8],
    fields: &[Field],
    mut edits: Vec<(Range<usize>, Vec<u8>)>,
    object: &pushed::Object,
) -> Cow<'b, [u8]> {
    if edits.is_empty() {
        return Cow::Borrowed(bytes);
    }
    if let Some(signed) = object.signed(bytes, fields, &edits) {
        return Cow::Owned(signed);
    }
    drop_where(bytes, fields, &mut edits, |name| {
        SIGNATURES.contains(&name) || pushed::is_kept(name)
    });
    edits.sort_by_key(|(span, _)| span.start);
    Cow::Owned(splice(bytes, &edits))
}

/// Drops headers by their name, those that are not dropped already.
pub(super) fn drop_where(
    bytes: &[u8],
    fields: &[Field],
    edits: &mut Vec<(Range<usize>, Vec<u8>)>,
    goes: impl Fn(&[u8]) -> bool,
) {
    for field in fields {
        let name = bytes.get(field.name.clone()).unwrap_or_default();
        let dropped = edits.iter().any(|(span, _)| *span == field.all);
        if goes(name) && !dropped {
            edits.push((field.all.clone(), Vec::new()));
        }
    }
}
