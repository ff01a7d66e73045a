//! Reads what `upload-pack` asks of `pack-objects`: arguments, and lines on standard input.
//!
//! The lines are those of `create_pack_file` in git's upload-pack.c: `--shallow <oid>`, what is
//! wanted, `--not`, what the client has.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use refwarden_model::Oid;
use refwarden_wire::fetch::{Asked, NAMED_MAX};
use sha2::{Digest as _, Sha256};

/// What it came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// What is wanted.
    pub wants: Vec<Oid>,
    /// What the client has.
    pub haves: Vec<Oid>,
    /// Where its history ends.
    pub shallow: Vec<Oid>,
    /// What is left out, as git writes it.
    pub filter: Option<String>,
    /// Whether tags come along whose commits are sent (`--include-tag`).
    pub with_tags: bool,
}

impl Question {
    /// Reads it. None where it is not of the form that git gives it.
    pub fn read(arguments: &[OsString], input: &[u8]) -> Option<Self> {
        let filter = arguments.iter().rev().find_map(|argument| {
            let filter = argument.as_bytes().strip_prefix(b"--filter=")?;
            Some(String::from_utf8_lossy(filter).into_owned())
        });
        let mut question = Self {
            filter,
            with_tags: arguments.iter().any(|argument| argument == "--include-tag"),
            ..Self::default()
        };
        let mut after_not = false;
        for line in input.split(|&byte| byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            if line == b"--not" {
                after_not = true;
            } else if let Some(oid) = line.strip_prefix(b"--shallow ") {
                question.shallow.push(Oid::parse(oid).ok()?);
            } else if after_not {
                question.haves.push(Oid::parse(line).ok()?);
            } else {
                question.wants.push(Oid::parse(line).ok()?);
            }
        }
        (!question.wants.is_empty()).then_some(question)
    }

    /// As it is recorded.
    pub fn told(&self, protocol: u8, input: &[u8]) -> Asked {
        let mut hasher = Sha256::new();
        hasher.update(self.filter.as_deref().unwrap_or_default());
        hasher.update([0]);
        hasher.update(input);
        let named = |oids: &[Oid]| oids.iter().take(NAMED_MAX).copied().collect();
        let total = |oids: &[Oid]| u64::try_from(oids.len()).unwrap_or(u64::MAX);
        Asked {
            protocol,
            wants: named(&self.wants),
            wants_total: total(&self.wants),
            haves: named(&self.haves),
            haves_total: total(&self.haves),
            shallow: named(&self.shallow),
            shallow_total: total(&self.shallow),
            filter: self.filter.clone(),
            digest: hex::encode(hasher.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_upload_pack_are_read_and_others_are_not() {
        let [a, b, c] = ["a", "b", "c"].map(|digit| digit.repeat(40));
        let read = |input: &str, arguments: &[&str]| {
            let arguments: Vec<OsString> = arguments.iter().map(Into::into).collect();
            Question::read(&arguments, input.as_bytes())
        };
        let oid = |text: &str| Oid::parse(text.as_bytes()).unwrap();
        let input = format!("--shallow {c}\n{a}\n--not\n{b}\n\n");
        let read_it = read(&input, &["pack-objects", "--filter=blob:none"]).unwrap();
        assert_eq!(read_it.wants, [oid(&a)]);
        assert_eq!(read_it.haves, [oid(&b)]);
        assert_eq!(read_it.shallow, [oid(&c)]);
        assert_eq!(read_it.filter.as_deref(), Some("blob:none"));
        assert_eq!(read_it.told(2, input.as_bytes()).wants_total, 1);
        for bad in ["", "\n\n", "--not\n", "x\n", "--all\n", "--not\nHEAD\n"] {
            assert_eq!(read(bad, &[]), None, "{bad:?}");
        }
    }
}
