//! What a scan says beyond its findings.

use std::fmt;

use crate::finding::{Finding, Step};

/// Everything that is known of one input.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Inspection {
    /// What was found, sorted by layers, span and rule id;
    /// [`FINDINGS_MAX`](crate::FINDINGS_MAX) at most.
    pub findings: Vec<Finding>,
    /// How many findings there were. Where more than the maximum, what two rules found in one
    /// place counts twice.
    pub total: u64,
    /// What could not be looked into. While this is not empty, no finding means nothing.
    pub unread: Vec<Unread>,
}

/// A part of the input that nobody has looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unread {
    /// The layers around it, outermost first; empty for the input itself.
    pub via: Vec<Step>,
    /// Why.
    pub reason: Reason,
}

impl Unread {
    /// Says so of the input itself.
    pub(crate) fn here(reason: Reason) -> Self {
        Self {
            via: Vec::new(),
            reason,
        }
    }
}

/// Why something was not looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Decoding its encoded text would have taken more than 16 bytes of work for each byte.
    TooMuchEncoded,
    /// More containers inside each other than allowed.
    TooDeep,
    /// It unpacks to more than allowed.
    TooLarge,
    /// It unpacks to so many times its own length that it is made to be unpacked in vain.
    Bomb,
    /// More members than allowed.
    TooManyMembers,
    /// Unpacking it takes more memory than allowed.
    TooMuchMemory,
    /// It is not whole, or not what its first bytes say.
    Corrupt,
    /// It is encrypted.
    Encrypted,
    /// A format, or a variety of one, that the scanner does not read.
    Unsupported,
}

impl Reason {
    /// Stable lower-case name, for records and policy.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooMuchEncoded => "encoded",
            Self::TooDeep => "depth",
            Self::TooLarge => "size",
            Self::Bomb => "bomb",
            Self::TooManyMembers => "members",
            Self::TooMuchMemory => "memory",
            Self::Corrupt => "damaged",
            Self::Encrypted => "encrypted",
            Self::Unsupported => "format",
        }
    }

    /// Whether the input is made so that looking into it does not end, as no honest one is.
    pub const fn is_attack(self) -> bool {
        matches!(self, Self::TooMuchEncoded | Self::TooDeep | Self::Bomb)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMuchEncoded => "it holds too much encoded text",
            Self::TooDeep => "too many archives stand inside each other",
            Self::TooLarge => "it unpacks to too much",
            Self::Bomb => "it unpacks to far too much for its length",
            Self::TooManyMembers => "it holds too many files",
            Self::TooMuchMemory => "unpacking it takes too much memory",
            Self::Corrupt => "it is damaged",
            Self::Encrypted => "it is encrypted",
            Self::Unsupported => "its format is not supported",
        })
    }
}
