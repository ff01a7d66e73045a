//! What a fast-forward brings, so that a clean rebase of it is known again. Stricter than what
//! policy calls a rebase in words: one line of commits, each with all its changes known, from the
//! ref's present value to the new one, with nothing beside it.

use std::collections::{BTreeSet, HashMap};

use refwarden_model::facts::{CommitFacts, PushFacts, RefFacts, UpdateKind};
use refwarden_model::{ByteText, Oid};
use refwarden_policy::{address, co_authors};
use sha2::{Digest, Sha256};

/// Digest of an update's commits in their order: patches, authors with their times, messages, and
/// everybody who had a hand in them. None for anything but a line of commits on top of the
/// present value: merges, forced updates, created and deleted refs, lists that are cut.
pub fn of(facts: &PushFacts, update: &RefFacts) -> Option<String> {
    let is_whole = facts.commits.len() as u64 == facts.commits_total;
    let is_commit = update.new_type.as_deref() == Some("commit");
    if update.kind != UpdateKind::FastForward || !is_whole || !is_commit {
        return None;
    }
    let line = line(facts, update)?;
    let mut people = BTreeSet::new();
    let mut hasher = Sha256::new();
    field(&mut hasher, b"refwarden series 1");
    for commit in line {
        field(&mut hasher, commit.patch_id.as_ref()?.as_bytes());
        field(&mut hasher, commit.author.as_bytes());
        field(&mut hasher, commit.message.as_bytes());
        if commit.message_cut {
            return None;
        }
        let named = co_authors(commit.message.as_bytes());
        people.extend([&commit.author, &commit.committer].into_iter().map(email));
        people.extend(named.iter().map(email));
    }
    field(&mut hasher, b"people");
    for person in people {
        field(&mut hasher, &person);
    }
    Some(hex::encode(hasher.finalize()))
}

/// The commits from the new value back to the present one.
fn line<'f>(facts: &'f PushFacts, update: &RefFacts) -> Option<Vec<&'f CommitFacts>> {
    let all = facts.commits.iter().chain(&facts.known_commits);
    let by_id: HashMap<Oid, &CommitFacts> = all.map(|commit| (commit.oid, commit)).collect();
    let mut found = Vec::new();
    let mut next = update.new;
    while next != update.actual_old {
        let commit = by_id.get(&next)?;
        let [parent] = commit.parents.as_slice() else {
            return None;
        };
        found.push(*commit);
        if found.len() > by_id.len() {
            return None;
        }
        next = *parent;
    }
    (found.len() as u64 == update.gained).then_some(found)
}

fn email(ident: &ByteText) -> Vec<u8> {
    address(ident.as_bytes()).to_ascii_lowercase()
}

fn field(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_be_bytes());
    hasher.update(bytes);
}
