//! Files and links: what was left alone is the original's, what was changed goes line by line.

use refwarden_gitio::objects::Kind;
use refwarden_model::Oid;

use super::lines::{Earlier, Wrong};
use super::moves::Moved;
use super::tree::{At, Pair, is_file, only};
use super::{Problem, UnmaskError, Walk};
use crate::build::WHOLE_MAX;
use crate::mask::Dependence;
use crate::placeholder::{FORM_MAX, PREFIX, form};

impl Walk<'_, '_> {
    /// The original of a file or symbolic link.
    pub(super) fn file(
        &mut self,
        blob: Oid,
        mode: &[u8],
        at: &At,
        pairs: &[&Pair],
    ) -> Result<Oid, UnmaskError> {
        let alike = pairs.iter().filter(|pair| pair.is(blob, mode));
        let known = only(alike.map(|pair| pair.original));
        if let Some(known) = known.map_err(|problem| at.refuse(problem, None))? {
            return Ok(known);
        }
        self.step()?;
        let unreadable = || at.refuse(Problem::Unreadable(blob), None);
        let header = self.masked.header(blob)?.ok_or_else(unreadable)?;
        if header.kind != Kind::Blob {
            return Err(unreadable());
        }
        if header.size > WHOLE_MAX {
            return self.large(blob, at);
        }
        let (_, bytes) = self.masked.load(blob)?.ok_or_else(unreadable)?;
        let path = Some(at.original.as_slice()).filter(|path| !path.is_empty());
        let (written, moved) = if form(&bytes).is_some() {
            match self.restored(blob, &bytes, mode, at, pairs)? {
                Restored::Whole(original) => return Ok(original),
                Restored::Lines(written) => (written, self.carried(&bytes, at)),
                Restored::Moved(written, moved) => (written, moved),
            }
        } else {
            (bytes.clone(), Vec::new())
        };
        if *self.view.mask.blob(&written, path) != *bytes {
            let own = self.view.mask.blob(&bytes, path);
            if *own != *bytes {
                let same = own.iter().zip(&bytes).take_while(|(a, b)| a == b).count();
                let before = bytes.get(..same).unwrap_or_default();
                let line = 1 + memchr::memchr_iter(b'\n', before).count();
                return Err(at.refuse(Problem::Secret, Some(line)));
            }
            if self.view.moves.is_none() {
                return Err(at.refuse(Problem::RoundTrip, None));
            }
            // What the client has written is not at fault, so that this may tell something of the
            // secrets around it. Where people are asked, it is for them alone.
            let refusal = at.refusal(Problem::RoundTrip, None);
            self.moves.unsound.get_or_insert_with(|| refusal.into());
        }
        if written == bytes {
            self.keep(blob)?;
            return Ok(blob);
        }
        let original = self.original.made.add(Kind::Blob, &written)?;
        self.pushed.changed.insert(original);
        self.sizes.insert(original, bytes.len() as u64);
        self.note(&moved, at, original)?;
        Ok(original)
    }

    /// A changed file with its secrets; a link or a whole file as it once was.
    fn restored(
        &mut self,
        blob: Oid,
        bytes: &[u8],
        mode: &[u8],
        at: &At,
        pairs: &[&Pair],
    ) -> Result<Restored, UnmaskError> {
        let mut earlier = Earlier::default();
        let parents = pairs.iter().filter(|pair| pair.mode == mode);
        for pair in parents.filter(|_| is_file(mode)) {
            self.add(&mut earlier, pair.masked, pair.original)?;
        }
        let wrong = match earlier.restore(bytes) {
            Ok(written) => return Ok(Restored::Lines(written)),
            Err(wrong) => wrong,
        };
        let mut wrong = wrong;
        if at.has_commit && !matches!(wrong, Wrong::Ambiguous(_)) {
            let versions = self.versions_of(at)?;
            let same = versions.iter().filter(|pair| pair.is(blob, mode));
            let known = only(same.map(|pair| pair.original));
            if let Some(known) = known.map_err(|problem| at.refuse(problem, None))? {
                return Ok(Restored::Whole(known));
            }
            let versions = versions.iter().filter(|pair| pair.mode == mode);
            for pair in versions.filter(|_| is_file(mode)) {
                self.add(&mut earlier, pair.masked, pair.original)?;
            }
            match earlier.restore(bytes) {
                Ok(written) => return Ok(Restored::Lines(written)),
                Err(still) => wrong = still,
            }
        }
        if !is_file(mode) {
            return Err(at.refuse(Problem::NotLines, Some(wrong.line())));
        }
        if self.may_move_to(at) {
            let (written, moved) = self.moved(&earlier, bytes, at)?;
            return Ok(Restored::Moved(written, moved));
        }
        Err(at.refuse(wrong.problem(), Some(wrong.line())))
    }

    fn add(
        &mut self,
        earlier: &mut Earlier,
        masked: Oid,
        original: Oid,
    ) -> Result<(), UnmaskError> {
        // Above the limit it is masked whole, and has no lines.
        let here = self.masked.load(masked)?;
        let there = self.there(original)?;
        if let (Some((_, here)), Some((_, there))) = (here, there) {
            earlier.add(&here, &there);
        }
        Ok(())
    }

    /// A file that is too large to hold: as it is, or not at all.
    fn large(&mut self, blob: Oid, at: &At) -> Result<Oid, UnmaskError> {
        let mut large = self.view.mask.large();
        let mut has_form = false;
        // What may be the beginning of a placeholder that the next piece ends.
        let mut tail: Vec<u8> = Vec::new();
        self.masked.stream(blob, &mut |_, piece| {
            large.push(piece);
            tail.extend_from_slice(piece);
            has_form = has_form || form(&tail).is_some();
            let excess = tail.len().saturating_sub(PREFIX.len() + FORM_MAX);
            tail.drain(..excess);
        })?;
        if has_form {
            return Err(at.refuse(Problem::NotLines, None));
        }
        let told = match large.finish()?.0 {
            Dependence::Clean => false,
            Dependence::OnlyByPath => self.view.mask.has_conditions_for(&at.original),
            Dependence::Anywhere | Dependence::ByPath => true,
        };
        if told {
            return Err(at.refuse(Problem::Secret, None));
        }
        self.keep(blob)?;
        Ok(blob)
    }
}

/// What a changed file comes to.
enum Restored {
    /// An object of the original.
    Whole(Oid),
    /// New bytes.
    Lines(Vec<u8>),
    /// New bytes, with secrets where they did not stand.
    Moved(Vec<u8>, Vec<Moved>),
}
