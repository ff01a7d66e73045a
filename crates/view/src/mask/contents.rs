//! Archives and compressed files: a secret inside masks the whole blob.
//!
//! Nothing can be replaced inside: the client would need the same packer. What the scanner cannot
//! look into stays as it is, be it encrypted, damaged, of a format that is not read, or too much;
//! only what is made so that looking does not end is masked whole, too, as text that is made so.
//!
//! What it deliberately does not do: the placeholder tells neither rule nor member, so that it is
//! the same under every path.

use refwarden_scan::{
    Conditions, FINDINGS_MAX, Finding, Format, Inspection, Limits, Unread, with_shorter,
};

use super::{Dependence, Mask};

/// Why a blob is masked as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opaque {
    /// A secret stands inside a container.
    Container,
    /// It is made so that looking into it does not end ([`refwarden_scan::Reason::is_attack`]).
    Attack,
}

impl Opaque {
    /// What stands in its placeholder in place of a rule.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Attack => "unread",
        }
    }

    /// All of them, for those who recognise placeholders.
    pub(crate) const ALL: [Self; 2] = [Self::Container, Self::Attack];

    /// What an inspection says of the blob as a whole.
    pub(super) fn of(inspection: &Inspection) -> Option<Self> {
        let is_attack = |unread: &Unread| unread.reason.is_attack();
        if inspection.unread.iter().any(is_attack) {
            return Some(Self::Attack);
        }
        let contained = inspection.findings.iter().any(Finding::is_contained);
        contained.then_some(Self::Container)
    }
}

/// What is seen in bytes.
pub(super) enum Look {
    /// Findings that stand in the bytes, and are no placeholders.
    Lines(Vec<Finding>),
    /// All of it is to be masked.
    Opaque(Opaque),
}

impl<'r> Mask<'r> {
    /// Looks at a blob, and into it.
    pub(super) fn look(&self, bytes: &[u8], path: Option<&[u8]>) -> Look {
        let inspection = self.at_path.inspect(bytes, path, &Limits::default());
        match Opaque::of(&inspection) {
            Some(why) => Look::Opaque(why),
            // There may have been no room left for what stands inside.
            None if inspection.findings.len() >= FINDINGS_MAX && Format::of(bytes).is_some() => {
                Look::Opaque(Opaque::Container)
            }
            None => Look::Lines(self.open(bytes, inspection.findings)),
        }
    }

    /// How the findings of a blob depend on its path.
    pub fn dependence(&self, bytes: &[u8]) -> Dependence {
        self.dependence_where(bytes, true)
    }

    /// The same; where the blob stands nowhere where [`Mask::has_conditions_for`] may hold
    /// (`conditions` is false), only whether anything is found regardless of the path.
    pub(crate) fn dependence_where(&self, bytes: &[u8], conditions: bool) -> Dependence {
        let Look::Lines(plain) = self.look(bytes, None) else {
            return Dependence::Anywhere;
        };
        if !conditions {
            return Self::depends(!plain.is_empty(), false);
        }
        // Only what is compressed by itself is scanned under the blob's path; members of archives
        // have their own.
        let conditional = if Format::of(bytes).is_some_and(Format::is_compressed) {
            let inside = self.conditional.inspect(bytes, None, &Limits::default());
            !inside.findings.is_empty()
        } else {
            !self
                .open(bytes, self.conditional.scan(bytes, None))
                .is_empty()
        };
        Self::depends(!plain.is_empty(), conditional)
    }

    /// Whether a rule with a path condition is meant for this path, or for what a compressed file
    /// at this path holds: the path without its last extensions.
    pub fn has_conditions_for(&self, path: &[u8]) -> bool {
        let ruleset = self.at_path.ruleset();
        with_shorter(path).any(|path| ruleset.has_conditions_for(path))
    }

    /// For asking of many names in which folders [`Mask::has_conditions_for`] may hold.
    pub(crate) fn conditions(&self) -> Conditions<'r> {
        self.at_path.ruleset().conditions()
    }
}
