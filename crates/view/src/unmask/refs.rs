//! Commands: old and new values in terms of the original.

use refwarden_gitio::objects::Kind;
use refwarden_gitio::{Git, GitError, ObjectEnv, Refs};
use refwarden_model::{Oid, RefName};

use super::{Command, Problem, Refusal, UnmaskError, Walk};
use crate::build::{is_fixed, is_of_notes};
use crate::hash::object_id;
use crate::placeholder::form;

impl Walk<'_, '_> {
    /// Translates all commands, and with them all that they bring.
    pub(super) fn refs(&mut self, commands: &[Command]) -> Result<Vec<Command>, UnmaskError> {
        for command in commands {
            // Before anything is asked of the original: such a ref may exist there.
            if is_of_notes(&command.name) {
                return Err(Refusal::from(Problem::Notes).of(&command.name).into());
            }
            if !self.has_ref(&command.name) {
                return Err(Refusal::from(Problem::RefName).of(&command.name).into());
            }
        }
        let names: Vec<RefName> = commands.iter().map(|it| it.name.clone()).collect();
        let present = Refs::new(self.view.original).resolve(&names)?;
        self.tips = present
            .iter()
            .map(|it| it.value)
            .filter(|it| !it.is_zero())
            .collect();
        let mut done = Vec::with_capacity(commands.len());
        for (command, present) in commands.iter().zip(present) {
            let of = |error: UnmaskError| match error {
                UnmaskError::Refused(refusal) => refusal.of(&command.name).into(),
                other => other,
            };
            if !self.has_ref(&present.target) {
                return Err(of(Problem::RefName.into()));
            }
            if self.present(present.value).map_err(of)? != Some(command.old) {
                return Err(of(Problem::Stale.into()));
            }
            let new = if command.new.is_zero() {
                command.new
            } else if command.new == command.old {
                present.value
            } else {
                self.tip(command.new).map_err(of)?
            };
            if let Some(refusal) = &mut self.moves.unsound {
                refusal.name.get_or_insert_with(|| command.name.clone());
            }
            done.push(Command {
                name: command.name.clone(),
                old: present.value,
                new,
            });
        }
        Ok(done)
    }

    /// Whether a ref of this name can stand in the view.
    fn has_ref(&self, name: &RefName) -> bool {
        let bytes = name.as_bytes();
        let tells = form(bytes).is_some() || self.view.mask.is_affected(bytes);
        !is_fixed(name) && !tells && (self.view.shows)(name)
    }

    /// What a ref's value is called in the view; none where the view does not know it yet.
    fn present(&mut self, value: Oid) -> Result<Option<Oid>, UnmaskError> {
        if value.is_zero() {
            return Ok(Some(value));
        }
        if let Some(masked) = self.view.maps.masked(value) {
            return Ok(Some(masked));
        }
        let format = self.view.original.object_format;
        Ok(match self.original.load(value)? {
            Some((Kind::Blob, bytes)) => Some(object_id(
                format,
                Kind::Blob,
                &self.view.mask.blob(&bytes, None),
            )),
            _ => None,
        })
    }

    /// The original of what a ref is to name.
    fn tip(&mut self, masked: Oid) -> Result<Oid, UnmaskError> {
        let header = self.masked.header(masked)?;
        match header.ok_or(Problem::Unreadable(masked))?.kind {
            Kind::Commit | Kind::Tag => {
                self.history(masked)?;
                self.linked(masked)
            }
            kind => self.without_path(masked, kind),
        }
    }

    /// The original of a commit or tag that is known by now.
    pub(super) fn linked(&self, masked: Oid) -> Result<Oid, UnmaskError> {
        let known = self.known(masked)?;
        Ok(known.ok_or(Problem::Unknown(masked))?)
    }

    /// The original of a commit or tag; none where it is not known.
    pub(super) fn known(&self, masked: Oid) -> Result<Option<Oid>, UnmaskError> {
        if self.view.maps.has_notes(masked) {
            return Err(Problem::Notes.into());
        }
        let candidates: Vec<Oid> = self.view.maps.originals(masked).collect();
        match candidates.as_slice() {
            [] => Ok(self.pushed.original(masked)),
            [one] => Ok(Some(*one)),
            several => {
                // They differ in a signature alone. What the pushed refs reach is meant.
                let mut reached = Vec::new();
                for candidate in several {
                    if self.is_reached(*candidate)? {
                        reached.push(*candidate);
                    }
                }
                match reached.as_slice() {
                    [one] => Ok(Some(*one)),
                    _ => Err(Problem::TwoOriginals(masked).into()),
                }
            }
        }
    }

    fn is_reached(&self, original: Oid) -> Result<bool, UnmaskError> {
        for tip in &self.tips {
            if *tip == original {
                return Ok(true);
            }
            let env = ObjectEnv::repository_only();
            let git = Git::new(&self.view.original.gitdir, &env, "merge-base");
            let git = git.args(["--is-ancestor", &original.to_string(), &tip.to_string()]);
            match git.output(b"") {
                Ok(_) => return Ok(true),
                Err(GitError::Failed { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}
