//! Commits and tags: each after all that it names.

use std::borrow::Cow;
use std::ops::Range;

use refwarden_gitio::objects::Kind;
use refwarden_model::Oid;

use super::maps::{Backward, Forward};
use super::tree::At;
use super::{Problem, Refusal, UnmaskError, Walk};
use crate::mask::commit::{Field, SIGNATURES, fields, linked, signature, target_of};
use crate::mask::pushed::{KEPT, NAMES, SIGNED, VERBATIM, folded};
use crate::mask::{MENTION_MIN, links, splice};
use crate::placeholder::form;

/// A new commit or tag of the push.
struct Piece<'b> {
    oid: Oid,
    kind: Kind,
    bytes: &'b [u8],
    fields: Vec<Field>,
    message: usize,
    /// What it links to: where, the client's name, the original's.
    links: Vec<(Range<usize>, Oid, Oid)>,
}

impl Walk<'_, '_> {
    /// Translates a commit or tag and all new ones that it reaches.
    pub(super) fn history(&mut self, tip: Oid) -> Result<(), UnmaskError> {
        let mut open = vec![(tip, false)];
        while let Some((oid, ready)) = open.pop() {
            if self.known(oid)?.is_some() {
                continue;
            }
            if !self.sent.contains(&oid) {
                return Err(Problem::Unknown(oid).into());
            }
            let (kind, bytes) = self.masked.load(oid)?.ok_or(Problem::Unreadable(oid))?;
            if ready {
                self.piece(oid, kind, &bytes).map_err(|error| match error {
                    UnmaskError::Refused(refusal) => refusal.at(oid).into(),
                    other => other,
                })?;
                if let Some(refusal) = &mut self.moves.unsound {
                    refusal.object.get_or_insert(oid);
                }
                continue;
            }
            self.step()?;
            open.push((oid, true));
            for below in self.below(oid, kind, &bytes)? {
                open.push((below, false));
            }
        }
        Ok(())
    }

    /// The commits and tags that have to come first.
    fn below(&mut self, oid: Oid, kind: Kind, bytes: &[u8]) -> Result<Vec<Oid>, UnmaskError> {
        match kind {
            Kind::Commit => Ok(links(bytes).parents),
            Kind::Tag => {
                let target = target_of(bytes, &fields(bytes).0)
                    .ok_or(Problem::Unreadable(oid))?
                    .1;
                let header = self
                    .masked
                    .header(target)?
                    .ok_or(Problem::Unreadable(target))?;
                let is_named = matches!(header.kind, Kind::Commit | Kind::Tag);
                Ok(is_named.then_some(target).into_iter().collect())
            }
            Kind::Tree | Kind::Blob => Err(Problem::Unreadable(oid).into()),
        }
    }

    fn piece(&mut self, oid: Oid, kind: Kind, bytes: &[u8]) -> Result<(), UnmaskError> {
        if form(bytes).is_some() {
            return Err(Problem::InMessage.into());
        }
        let (fields, message) = fields(bytes);
        let links = match kind {
            Kind::Tag => target_of(bytes, &fields).into_iter().collect(),
            _ => linked(bytes, &fields),
        };
        let (_, first) = links.first().ok_or(Problem::Unreadable(oid))?;
        let mut originals = vec![match kind {
            Kind::Tag => self.tagged(*first)?,
            _ => self.root(*first, links.get(1..).unwrap_or_default())?,
        }];
        for (_, parent) in links.get(1..).unwrap_or_default() {
            originals.push(self.linked(*parent)?);
        }
        let links = links.into_iter().zip(originals);
        let piece = Piece {
            oid,
            kind,
            bytes,
            fields,
            message,
            links: links
                .map(|((span, masked), original)| (span, masked, original))
                .collect(),
        };
        // The second where the first would read otherwise in the view.
        let written = [piece.original(self, false), piece.original(self, true)];
        let found = written
            .into_iter()
            .find(|written| *piece.masked(self, written) == *bytes);
        let Some(written) = found else {
            let own = self.view.mask.text(bytes);
            let problem = if own == bytes {
                Problem::RoundTrip
            } else {
                Problem::Secret
            };
            return Err(problem.into());
        };
        let original = match written {
            Cow::Borrowed(_) => {
                self.keep(oid)?;
                oid
            }
            Cow::Owned(new) => self.original.made.add(kind, &new)?,
        };
        self.pushed.add(oid, original);
        Ok(())
    }

    /// The original of a commit's tree.
    fn root(&mut self, tree: Oid, parents: &[(Range<usize>, Oid)]) -> Result<Oid, UnmaskError> {
        let mut before = Vec::new();
        for (_, masked) in parents {
            let original = self.linked(*masked)?;
            let here = self
                .masked
                .load(*masked)?
                .ok_or(Problem::Unreadable(*masked))?;
            let there = self.there(original)?.ok_or(Problem::Unreadable(*masked))?;
            if let (Some(here), Some(there)) = (links(&here.1).tree, links(&there.1).tree) {
                before.push((here, there));
            }
        }
        self.tree(tree, &At::root(true), &before)
    }

    /// The original of what a tag names.
    fn tagged(&mut self, target: Oid) -> Result<Oid, UnmaskError> {
        let header = self
            .masked
            .header(target)?
            .ok_or(Problem::Unreadable(target))?;
        match header.kind {
            Kind::Commit | Kind::Tag => self.linked(target),
            kind => self.without_path(target, kind),
        }
    }

    /// A tree or blob that a ref or tag names. It has no path at which a secret could have been.
    pub(super) fn without_path(&mut self, oid: Oid, kind: Kind) -> Result<Oid, UnmaskError> {
        let done = match kind {
            Kind::Tree => self.tree(oid, &At::root(false), &[]),
            _ => self.file(oid, b"100644", &At::root(false), &[]),
        };
        done.map_err(|error| match error {
            UnmaskError::Refused(refusal) if refusal.problem == Problem::Changed => Refusal {
                problem: Problem::WithoutPath,
                ..*refusal
            }
            .into(),
            other => other,
        })
    }
}

impl<'b> Piece<'b> {
    /// What it becomes. `verbatim` says that names in it are not translated, and writes that
    /// into it where anything in it might be taken for one.
    fn original(&self, walk: &Walk<'_, '_>, verbatim: bool) -> Cow<'b, [u8]> {
        let mut edits: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
        for (span, masked, original) in &self.links {
            if masked != original {
                edits.push((span.clone(), original.to_string().into_bytes()));
            }
        }
        let end = match self.kind {
            Kind::Tag => signature(self.bytes, self.message),
            _ => self.bytes.len(),
        };
        let is_signed = end < self.bytes.len() || self.signatures().next().is_some();
        if verbatim {
            let line = [NAMES, b" ", VERBATIM, b"\n"].concat();
            let at = self.behind_headers();
            edits.push((at..at, line));
        } else if !is_signed || !edits.is_empty() {
            edits.extend(self.mentions(walk, self.message..end));
        }
        if edits.is_empty() {
            return Cow::Borrowed(self.bytes);
        }
        self.keep_signatures(end, &mut edits);
        edits.sort_by_key(|(span, _)| span.start);
        Cow::Owned(splice(self.bytes, &edits))
    }

    /// Names in the message, as the original has them.
    fn mentions(&self, walk: &Walk<'_, '_>, span: Range<usize>) -> Option<(Range<usize>, Vec<u8>)> {
        let names = Backward {
            maps: walk.view.maps,
            pushed: &walk.pushed,
            like: self.oid,
        };
        let text = self.bytes.get(span.clone()).unwrap_or_default();
        let format = self.oid.format();
        let new = walk
            .view
            .mask
            .translated(text, format, MENTION_MIN, &names)?;
        Some((span, new))
    }

    /// Where further headers may stand: git wants those that it knows in their order, first.
    fn behind_headers(&self) -> usize {
        self.fields.last().map_or(0, |field| field.all.end)
    }

    fn signatures(&self) -> impl Iterator<Item = &Field> {
        let is_one = |field: &&Field| {
            let name = self.bytes.get(field.name.clone()).unwrap_or_default();
            SIGNATURES.contains(&name)
        };
        self.fields.iter().filter(is_one)
    }

    fn keep_signatures(&self, end: usize, edits: &mut Vec<(Range<usize>, Vec<u8>)>) {
        let signed = [SIGNED, b" ", self.oid.to_string().as_bytes(), b"\n"].concat();
        let mut is_signed = false;
        for field in self.signatures() {
            is_signed = true;
            edits.push((field.name.start..field.name.start, KEPT.to_vec()));
        }
        let mut headers = Vec::new();
        if end < self.bytes.len() {
            is_signed = true;
            let lines = self.bytes.get(end..).unwrap_or_default();
            headers = [KEPT, b"gpgsig ", &folded(lines), b"\n"].concat();
            edits.push((end..self.bytes.len(), Vec::new()));
        }
        if is_signed {
            let at = self.behind_headers();
            edits.push((at..at, [signed, headers].concat()));
        }
    }

    /// What this original looks like in the view.
    fn masked<'w>(&self, walk: &Walk<'_, '_>, original: &'w [u8]) -> Cow<'w, [u8]> {
        let links: Vec<(Oid, Oid)> = self
            .links
            .iter()
            .map(|(_, to, from)| (*from, *to))
            .collect();
        let names = Forward {
            maps: walk.view.maps,
            pushed: &walk.pushed,
            links: &links,
            stand_in: &|digits| walk.view.mask.stand_in(digits),
            like: self.oid,
        };
        match self.kind {
            Kind::Tag => walk.view.mask.tag(original, self.oid.format(), &names),
            _ => walk.view.mask.commit(original, self.oid.format(), &names),
        }
    }
}
