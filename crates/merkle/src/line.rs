//! A line of an export: an event's number in the log, its hash as it was recorded, and the leaf.
//!
//! `{"index":N,"hash":"…","leaf":{…}}`, in this order and without white space, so that the leaf's
//! bytes stand in it as they are hashed and a reader needs no JSON parser to find them.

use crate::Hash;

/// Why a line of an export cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {{\"index\":N,\"hash\":\"…\",\"leaf\":{{…}}}}")]
pub struct LineError;

/// A line of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The event's number in the log, from 0.
    pub index: u64,
    /// The leaf's hash, as it was recorded when the event was put into the log.
    pub hash: Hash,
    /// The leaf's bytes.
    pub leaf: &'a str,
}

impl<'a> Line<'a> {
    /// Reads a line, with or without its line feed.
    ///
    /// # Errors
    /// [`LineError`] for everything that [`Line`] does not write.
    pub fn parse(line: &'a str) -> Result<Self, LineError> {
        let read = || {
            let rest = line.trim_end_matches(['\n', '\r']);
            let (index, rest) = rest
                .strip_prefix(r#"{"index":"#)?
                .split_once(r#","hash":""#)?;
            let (hash, rest) = rest.split_once(r#"","leaf":"#)?;
            Some(Self {
                index: index.parse().ok()?,
                hash: hash.parse().ok()?,
                leaf: rest.strip_suffix('}')?,
            })
        };
        read().ok_or(LineError)
    }

    /// The event's stream and its number there, as the leaf says.
    pub fn place(&self) -> Option<(&'a str, i64)> {
        let rest = self.leaf.strip_prefix(r#"{"v":1,"stream":""#)?;
        let (stream, rest) = rest.split_once(r#"","seq":"#)?;
        let (seq, _) = rest.split_once(',')?;
        Some((stream, seq.parse().ok()?))
    }
}

impl std::fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { index, hash, leaf } = self;
        write!(f, r#"{{"index":{index},"hash":"{hash}","leaf":{leaf}}}"#)
    }
}
