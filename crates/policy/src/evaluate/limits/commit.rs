//! Limits on a commit itself: parents, signature, message, people.

use refwarden_model::ActorChain;
use refwarden_model::facts::CommitFacts;

use super::super::printable;
use super::{Breaches, signature};
use crate::approval::address;
use crate::glob::Glob;
use crate::rule::{Limits, Pattern, Require};

/// Whether a rule has any of them.
pub fn has_any(limits: &Limits) -> bool {
    let words = [
        Require::LinearHistory,
        Require::SignedCommits,
        Require::SignOff,
        Require::AuthorIsPusher,
        Require::CommitterIsPusher,
    ];
    words.iter().any(|word| limits.require.contains(word))
        || !limits.message_must_match.is_empty()
        || !limits.message_must_not_match.is_empty()
        || !limits.author_email.is_empty()
        || !limits.committer_email.is_empty()
}

/// Holds one commit to them.
pub fn check(limits: &Limits, chain: &ActorChain, commit: &CommitFacts, breaches: &mut Breaches) {
    let asked = |word| limits.require.contains(&word);
    let short = || commit.oid.short();
    if asked(Require::LinearHistory) && commit.parents.len() > 1 {
        breaches.add(|| format!("commit {} is a merge", short()));
    }
    if asked(Require::SignedCommits) {
        let found = commit.signature.as_ref();
        if let Some(problem) = signature::problem(limits, Some(commit.signed), found) {
            breaches.add(|| format!("commit {} is {problem}", short()));
        }
    }
    message(limits, commit, breaches);
    let people = [
        (
            "author",
            &commit.author,
            &limits.author_email,
            Require::AuthorIsPusher,
        ),
        (
            "committer",
            &commit.committer,
            &limits.committer_email,
            Require::CommitterIsPusher,
        ),
    ];
    for (who, ident, globs, is_pusher) in people {
        let address = address(ident.as_bytes());
        let lower = address.to_ascii_lowercase();
        let shown = || refwarden_model::bytes::escape(address);
        let matches = |glob: &Glob| glob.is_match(&lower);
        if !globs.is_empty() && !globs.iter().any(matches) {
            breaches.add(|| {
                let wanted: Vec<String> = globs.iter().map(|g| printable(g.source())).collect();
                let wanted = wanted.join(" or ");
                format!(
                    "commit {}: the {who} <{}> does not match {wanted}",
                    short(),
                    shown()
                )
            });
        }
        let pushers = chain.everyone().filter_map(|actor| actor.email.as_ref());
        let mut pushers = pushers.map(String::as_bytes);
        if asked(is_pusher) && !pushers.any(|email| email.eq_ignore_ascii_case(address)) {
            breaches.add(|| {
                let pusher = printable(&chain.describe());
                format!(
                    "commit {}: the {who} <{}> has no verified address of {pusher}",
                    short(),
                    shown()
                )
            });
        }
    }
}

fn message(limits: &Limits, commit: &CommitFacts, breaches: &mut Breaches) {
    let short = || commit.oid.short();
    // Git ends every message with a line feed, which nobody thinks of who writes `$`.
    let message = commit.message.as_bytes().trim_ascii_end();
    let found = |pattern: &Pattern| pattern.regex.is_match(message);
    for pattern in limits
        .message_must_match
        .iter()
        .filter(|pattern| !found(pattern))
    {
        breaches.add(|| {
            let pattern = printable(&pattern.source);
            format!("commit {}: the message does not match {pattern}", short())
        });
    }
    for pattern in &limits.message_must_not_match {
        let pattern_shown = || printable(&pattern.source);
        if found(pattern) {
            breaches.add(|| {
                format!(
                    "commit {}: the message matches {}",
                    short(),
                    pattern_shown()
                )
            });
        } else if commit.message_cut {
            breaches.add(|| {
                format!(
                    "commit {}: the message is not told in full, which counts as a breach",
                    short()
                )
            });
        }
    }
    if limits.require.contains(&Require::SignOff) && !is_signed_off(commit) {
        breaches.add(|| format!("commit {} is not signed off by its author", short()));
    }
}

/// Whether a line `Signed-off-by: Name <address>` names the author's address (Developer
/// Certificate of Origin 1.1, as `git commit --signoff` writes it).
fn is_signed_off(commit: &CommitFacts) -> bool {
    let author = address(commit.author.as_bytes());
    let mut lines = commit.message.as_bytes().split(|&byte| byte == b'\n');
    let key = b"signed-off-by:";
    !author.is_empty()
        && lines.any(|line| {
            let start = line.get(..key.len()).unwrap_or_default();
            start.eq_ignore_ascii_case(key) && address(line).eq_ignore_ascii_case(author)
        })
}
