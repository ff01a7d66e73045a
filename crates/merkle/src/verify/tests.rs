//! Each way of tampering, with and without hashes that were kept elsewhere.

use super::*;
use crate::SecretKey;

const STREAM: &str = "018f0000-0000-7000-8000-000000000001";

/// A log of `count` events with a checkpoint after every tenth, as it was written.
struct Log {
    leaves: Vec<String>,
    kept: Vec<u8>,
    checkpoints: Vec<Checkpoint>,
    key: SecretKey,
}

fn leaf(seq: usize, text: &str) -> String {
    format!(r#"{{"v":1,"stream":"{STREAM}","seq":{seq},"summary":"{text}"}}"#)
}

fn log(count: usize) -> Log {
    let key = SecretKey::of_log("log", &SecretKey::generate().unwrap()).unwrap();
    let leaves: Vec<String> = (1..=count)
        .map(|seq| leaf(seq, &format!("{seq}")))
        .collect();
    let mut log = Log {
        kept: Vec::new(),
        checkpoints: Vec::new(),
        leaves,
        key,
    };
    let mut tree = Tree::new();
    for leaf in &log.leaves {
        let hash = Hash::of_leaf(leaf.as_bytes());
        log.kept.extend(hash.as_bytes());
        tree.append(hash);
        if tree.size().is_multiple_of(10) {
            let checkpoint = Checkpoint::sign(tree.size(), tree.root(), &log.key);
            log.checkpoints.push(checkpoint);
        }
    }
    log
}

impl Log {
    /// What an export looks like after a superuser has put `leaves` in place, with hashes and
    /// numbers that fit them.
    fn verify(&self, leaves: &[String], with_kept: bool) -> Report {
        let kept = with_kept.then_some(self.kept.as_slice());
        let mut verifier = Verifier::new(&self.checkpoints, kept);
        for (index, leaf) in (0..).zip(leaves) {
            let hash = Hash::of_leaf(leaf.as_bytes());
            let text = Line { index, hash, leaf }.to_string();
            verifier.line(&Line::parse(&text).unwrap());
        }
        verifier.finish()
    }

    fn found(&self, leaves: &[String]) -> Tampering {
        self.verify(leaves, true).tampering.unwrap()
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it is compared with what may be none"
)]
fn at(seq: i64) -> Option<(String, i64)> {
    Some((STREAM.to_owned(), seq))
}

#[test]
fn an_untouched_log_is_whole() {
    let log = log(35);
    for with_kept in [false, true] {
        let report = log.verify(&log.leaves, with_kept);
        assert_eq!(
            report,
            Report {
                events: 35,
                checkpoints: 3,
                unattested: 5,
                tampering: None
            }
        );
    }
}

#[test]
fn each_change_is_named_by_the_first_event_it_touches() {
    let log = log(35);
    let mut edited = log.leaves.clone();
    edited[16] = leaf(17, "as he wants it");
    edited[20] = leaf(21, "as he wants it");
    let (index, event) = (16, at(17));
    assert_eq!(log.found(&edited), Tampering::Edited { index, event });
    let mut deleted = log.leaves.clone();
    deleted.remove(16);
    let event = at(17);
    assert_eq!(log.found(&deleted), Tampering::Deleted { index, event });
    let mut swapped = log.leaves.clone();
    swapped.swap(16, 18);
    let event = at(19);
    assert_eq!(log.found(&swapped), Tampering::Reordered { index, event });
    let mut inserted = log.leaves.clone();
    inserted.insert(16, leaf(17, "new"));
    let event = at(17);
    assert_eq!(log.found(&inserted), Tampering::Inserted { index, event });
    for left in [0, 1, 29, 30, 34] {
        let (index, size) = (u64::try_from(left).unwrap(), 35);
        let cut = &log.leaves[..left];
        assert_eq!(log.found(cut), Tampering::CutOff { index, size });
    }
}

/// The same with renumbered events: whoever edits the database numbers them anew.
#[test]
fn renumbering_does_not_hide_a_deletion() {
    let log = log(35);
    let mut leaves = log.leaves[..16].to_vec();
    leaves.extend((18..=35).map(|seq| leaf(seq - 1, &format!("{seq}"))));
    // Each event behind it is another now: the first is what can be named.
    let (index, event) = (16, at(17));
    assert_eq!(log.found(&leaves), Tampering::Edited { index, event });
}

#[test]
fn without_kept_hashes_checkpoints_say_between_which_two() {
    let log = log(35);
    let mut edited = log.leaves.clone();
    edited[16] = leaf(17, "as he wants it");
    let found = log.verify(&edited, false).tampering;
    assert_eq!(found, Some(Tampering::Rewritten { from: 10, to: 20 }));
    let mut deleted = log.leaves.clone();
    deleted.remove(16);
    let (index, event) = (16, at(17));
    let found = log.verify(&deleted, false).tampering;
    assert_eq!(found, Some(Tampering::Deleted { index, event }));
    let cut = log.verify(&log.leaves[..25], false).tampering;
    let (index, size) = (25, 30);
    assert_eq!(cut, Some(Tampering::CutOff { index, size }));
}

#[test]
fn an_edit_that_left_the_recorded_hash_is_named_without_kept_hashes() {
    let log = log(35);
    let mut verifier = Verifier::new(&log.checkpoints, None);
    for (index, was) in (0..).zip(&log.leaves) {
        let hash = Hash::of_leaf(was.as_bytes());
        let other = leaf(17, "other");
        let leaf = if index == 16 { &other } else { was };
        verifier.line(&Line { index, hash, leaf });
    }
    let (index, event) = (16, at(17));
    let found = verifier.finish().tampering;
    assert_eq!(found, Some(Tampering::Edited { index, event }));
}

#[test]
fn a_leaf_without_its_event_is_a_deletion() {
    let log = log(35);
    let mut verifier = Verifier::new(&log.checkpoints, None);
    for (index, was) in (0..).zip(&log.leaves) {
        let hash = Hash::of_leaf(was.as_bytes());
        let leaf = if index == 16 { "null" } else { was };
        verifier.line(&Line { index, hash, leaf });
    }
    let (index, event) = (16, None);
    let found = verifier.finish().tampering;
    assert_eq!(found, Some(Tampering::Deleted { index, event }));
}

#[test]
fn a_fork_is_found_between_two_checkpoints() {
    let mut log = log(35);
    let other = Checkpoint::sign(20, Hash::of_leaf(b"other"), &log.key);
    log.checkpoints.push(other.clone());
    let fork = Tampering::Forked { one: 20, other: 20 };
    assert_eq!(log.found(&log.leaves), fork);
    log.checkpoints.retain(|it| it.size != 20);
    log.checkpoints.push(other);
    let fork = Tampering::Forked { one: 20, other: 30 };
    assert_eq!(log.found(&log.leaves), fork);
}

#[test]
fn kept_hashes_that_no_checkpoint_attests_name_nobody() {
    let mut log = log(35);
    let forged = Hash::of_leaf(b"forged");
    log.kept[16 * 32..17 * 32].copy_from_slice(forged.as_bytes());
    let found = log.found(&log.leaves);
    assert_eq!(found, Tampering::Rewritten { from: 10, to: 20 });
}

#[test]
fn a_number_that_is_missing_from_a_stream_is_named() {
    let mut first = log(9);
    first.leaves.remove(4);
    let leaves = first.leaves.clone();
    first.kept.clear();
    for leaf in &leaves {
        first.kept.extend(Hash::of_leaf(leaf.as_bytes()).as_bytes());
    }
    let (index, event) = (4, at(5));
    assert_eq!(first.found(&leaves), Tampering::Deleted { index, event });
}
