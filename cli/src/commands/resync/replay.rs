//! Makes commits of this clone again upon what answers to their parents.
//!
//! Each is merged by itself, so merges of two and branches of several roots are as they were. Nothing
//! but objects is written, and no working tree is touched. A signature does not survive.

use std::collections::HashMap;

use refwarden_gitio::GitError;

use super::history::Histories;
use super::local::LocalClone;
use crate::failure::{Context as _, Failure, Outcome};

/// Why a branch stays where it is.
pub type Left = String;

/// The commits that were made again.
pub struct Replayed<'a> {
    clone: &'a LocalClone,
    histories: &'a Histories,
    made: HashMap<String, String>,
    /// Commits that lost a signature.
    pub signatures: usize,
}

impl<'a> Replayed<'a> {
    /// None yet.
    pub fn new(clone: &'a LocalClone, histories: &'a Histories) -> Self {
        Self {
            clone,
            histories,
            made: HashMap::new(),
            signatures: 0,
        }
    }

    /// What a commit is now.
    pub fn now(&self, oid: &str) -> Option<String> {
        let made = self.made.get(oid).map(String::as_str);
        made.or_else(|| self.histories.answer(oid))
            .map(str::to_owned)
    }

    /// Makes these again, parents first.
    pub fn replay(&mut self, commits: &[String]) -> Outcome<Result<(), Left>> {
        for oid in commits {
            if self.made.contains_key(oid) {
                continue;
            }
            match self.one(oid)? {
                Ok(made) => self.made.insert(oid.clone(), made),
                Err(left) => return Ok(Err(left)),
            };
        }
        Ok(Ok(()))
    }

    fn one(&mut self, oid: &str) -> Outcome<Result<String, Left>> {
        let bytes = self.clone.git("cat-file", &["commit", oid], b"")?;
        let (head, body) = halves(&bytes);
        let parents: Vec<String> = values(head, b"parent ");
        let mut now = Vec::new();
        for parent in &parents {
            match self.now(parent) {
                Some(parent) => now.push(parent),
                None => return Ok(Err(format!("nothing answers to {}", short(parent)))),
            }
        }
        if now == parents {
            return Ok(Ok(oid.to_owned()));
        }
        let tree = match (parents.as_slice(), now.as_slice()) {
            ([before], [onto]) => self.merged(before, onto, oid)?,
            ([a, b], [x, y]) => self.merged_again((a, b), (x, y), oid)?,
            _ => None,
        };
        let Some(tree) = tree else {
            return Ok(Err(format!("{} does not apply", short(oid))));
        };
        let mut made = format!("tree {tree}\n").into_bytes();
        for parent in &now {
            made.extend_from_slice(format!("parent {parent}\n").as_bytes());
        }
        made.extend(self.rest(head));
        made.extend_from_slice(body);
        let arguments = ["-t", "commit", "-w", "--stdin"];
        let made = self.clone.git("hash-object", &arguments, &made)?;
        Ok(Ok(String::from_utf8_lossy(&made).trim_end().to_owned()))
    }

    /// Headers other than tree and parents, without signatures.
    fn rest(&mut self, head: &[u8]) -> Vec<u8> {
        let mut rest = Vec::new();
        let mut dropped = false;
        for line in head.split_inclusive(|&byte| byte == b'\n') {
            if !line.starts_with(b" ") {
                let signed = line.starts_with(b"gpgsig");
                self.signatures += usize::from(signed);
                dropped = signed || line.starts_with(b"tree ") || line.starts_with(b"parent ");
            }
            if !dropped {
                rest.extend_from_slice(line);
            }
        }
        rest
    }

    /// The merge of the new parents with what somebody changed against that of the old ones; none
    /// where one of them is not clear. What the second parent brings in is not taken from the old
    /// view.
    fn merged_again(
        &self,
        before: (&str, &str),
        onto: (&str, &str),
        oid: &str,
    ) -> Outcome<Option<String>> {
        let (Some(before), Some(onto)) =
            (self.merge(before.0, before.1)?, self.merge(onto.0, onto.1)?)
        else {
            return Ok(None);
        };
        self.merged(&before, &onto, oid)
    }

    /// The tree of `onto` with what `oid` changed against `before`; none where that is not clear.
    /// Three commits of trees alone stand for the three sides: older versions of git cannot be
    /// told what to merge from.
    fn merged(&self, before: &str, onto: &str, oid: &str) -> Outcome<Option<String>> {
        let side = |of: &str, parent: Option<&str>| {
            let who = "refwarden <refwarden@invalid> 0 +0000";
            let tree = self.clone.text("rev-parse", &[&format!("{of}^{{tree}}")])?;
            let parent = parent
                .map(|it| format!("parent {it}\n"))
                .unwrap_or_default();
            let text = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\n");
            let arguments = ["-t", "commit", "-w", "--stdin"];
            let made = self.clone.git("hash-object", &arguments, text.as_bytes())?;
            Ok::<_, Failure>(String::from_utf8_lossy(&made).trim_end().to_owned())
        };
        let base = side(before, None)?;
        let (ours, theirs) = (side(onto, Some(&base))?, side(oid, Some(&base))?);
        self.merge(&ours, &theirs)
    }

    /// The tree that two commits merge to; none where they conflict.
    fn merge(&self, ours: &str, theirs: &str) -> Outcome<Option<String>> {
        let arguments = ["--write-tree", "--no-messages", ours, theirs];
        match self.clone.attempt("merge-tree", &arguments, b"") {
            Ok(tree) => Ok(Some(String::from_utf8_lossy(&tree).trim_end().to_owned())),
            Err(GitError::Failed { status, .. }) if status.code() == Some(1) => Ok(None),
            Err(error) => Err(error)
                .context(|| "commits cannot be merged; git 2.38 or newer does it".to_owned()),
        }
    }
}

/// The first digits of a name, for people.
pub fn short(oid: &str) -> &str {
    oid.get(..10).unwrap_or(oid)
}

/// Headers, and the rest from the blank line on.
fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = bytes.windows(2).position(|two| two == b"\n\n");
    bytes.split_at(at.map_or(bytes.len(), |at| at + 1))
}

fn values(head: &[u8], name: &[u8]) -> Vec<String> {
    let lines = head.split(|&byte| byte == b'\n');
    let values = lines.filter_map(|line| line.strip_prefix(name));
    values
        .map(|it| String::from_utf8_lossy(it).into_owned())
        .collect()
}
