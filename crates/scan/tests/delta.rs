//! A scan of what changed finds what a scan of the whole new version finds.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use refwarden_scan::{
    Finding, FingerprintKey, Kept, Keywords, Replaced, Ruleset, Scanner, Version, example,
};

static RULES: LazyLock<Ruleset> = LazyLock::new(|| Ruleset::builtin().unwrap());

fn scanner() -> Scanner<'static> {
    Scanner::new(&RULES, FingerprintKey::new([7; 32]))
}

fn keywords(bytes: &[u8]) -> Keywords {
    scanner().keywords(bytes).unwrap()
}

/// What a scan of the changes finds.
fn delta(old: &[u8], found: &[Finding], new: &[u8], changes: &[Replaced]) -> Vec<Finding> {
    let scanner = scanner();
    let before = keywords(old);
    let after = scanner.keywords_after(new, &before, changes);
    let after = after.unwrap_or_else(|| keywords(new));
    let old = Version {
        bytes: old,
        keywords: &before,
    };
    let new = Version {
        bytes: new,
        keywords: &after,
    };
    scanner.scan_delta(new, None, old, found, changes).findings
}

/// Something that a rule finds, plain or encoded, or that is near it.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let templates: Vec<String> = RULES
        .rules()
        .flat_map(|rule| rule.examples().iter().chain(rule.counter_examples()))
        .cloned()
        .collect();
    let secret = (proptest::sample::select(templates), any::<u64>())
        .prop_map(|(template, seed)| example::expand(&template, seed))
        .boxed();
    prop_oneof![
        4 => secret.clone(),
        1 => secret.clone().prop_map(|secret| {
            let text = STANDARD.encode(secret).into_bytes();
            text.chunks(64).collect::<Vec<_>>().join(&b'\n')
        }),
        1 => secret.prop_map(|secret| secret.iter().flat_map(|byte| [*byte, 0]).collect()),
        1 => Just(b"-----BEGIN RSA PRIVATE KEY-----".to_vec()),
        1 => "[ -~\n]{0,60}".prop_map(String::into_bytes),
    ]
}

/// A line that stands between.
fn filling() -> impl Strategy<Value = Vec<u8>> {
    let lines: [&[u8]; 6] = [
        b"int main(void) { }\n",
        b"\n",
        b"api_key token secret password = null\r\n",
        b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlq\n",
        b"a\0b\0\n\0",
        b"\"\\u0041\", %41 -----BEGIN ",
    ];
    let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.to_vec()).collect();
    proptest::sample::select(lines)
}

/// Pieces with long stretches of source between them.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let filler =
        (0usize..40_000, filling()).prop_map(|(length, line)| line.repeat(length / line.len()));
    proptest::collection::vec((filler, piece()), 1..8).prop_map(|parts| {
        let parts: Vec<Vec<u8>> = parts
            .into_iter()
            .flat_map(|(filler, piece)| [filler, piece])
            .collect();
        parts.concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn equals_a_full_scan(
        old in text(),
        edits in proptest::collection::vec(
            (any::<prop::sample::Index>(), 0usize..300, piece(), any::<bool>()), 0..4),
    ) {
        let mut cuts: Vec<(usize, usize, Vec<u8>)> = edits
            .into_iter()
            .map(|(place, length, piece, inserts)| {
                let start = place.index(old.len() + 1);
                let end = (start + length).min(old.len());
                (start, end, if inserts { piece } else { Vec::new() })
            })
            .collect();
        cuts.sort();
        let (mut new, mut changes, mut done) = (Vec::new(), Vec::new(), 0);
        for (start, end, piece) in cuts {
            if start < done {
                continue;
            }
            new.extend_from_slice(&old[done..start]);
            let from = new.len() as u64;
            new.extend_from_slice(&piece);
            changes.push(Replaced {
                old: start as u64..end as u64,
                new: from..new.len() as u64,
            });
            done = end;
        }
        new.extend_from_slice(&old[done..]);
        let scanner = scanner();
        let before = scanner.scan(&old, None);
        let found = delta(&old, &before, &new, &changes);
        prop_assert_eq!(&found, &scanner.scan(&new, None));
        // And back again.
        let back: Vec<Replaced> = changes
            .iter()
            .map(|change| Replaced {
                old: change.new.clone(),
                new: change.old.clone(),
            })
            .collect();
        prop_assert_eq!(delta(&new, &found, &old, &back), before);
    }

    #[test]
    fn what_is_kept_tells_what_is_changed(
        old in proptest::collection::vec(any::<u8>(), 0..200),
        parts in proptest::collection::vec((0usize..200, 0usize..60, 0usize..20), 0..12),
    ) {
        let (mut new, mut kept) = (Vec::new(), Vec::new());
        for (from, length, inserted) in parts {
            let from = from.min(old.len());
            let length = length.min(old.len() - from);
            kept.push(Kept { old: from, new: new.len(), length });
            new.extend_from_slice(&old[from..from + length]);
            new.extend(std::iter::repeat_n(b'x', inserted));
        }
        let (mut made, mut at) = (Vec::new(), 0);
        for change in Replaced::around(&kept, old.len(), new.len()) {
            let index = |at: u64| usize::try_from(at).unwrap();
            made.extend_from_slice(&old[at..index(change.old.start)]);
            prop_assert_eq!(made.len() as u64, change.new.start);
            made.extend_from_slice(&new[index(change.new.start)..index(change.new.end)]);
            at = index(change.old.end);
        }
        made.extend_from_slice(&old[at..]);
        prop_assert_eq!(made, new);
    }

    /// Where keywords stand is the same, whichever way it was learned.
    #[test]
    fn keywords_move_with_the_text(
        old in "(api_key|ghp_|AKIA|to|ken|[a-z \\n]){0,60}",
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..9,
            "(key|gh|p_|AK|IA|token|[a-z]){0,3}"), 0..5),
    ) {
        let mut places: Vec<(usize, usize, String)> = cuts
            .into_iter()
            .map(|(at, length, text)| {
                let at = at.index(old.len() + 1);
                (at, (at + length).min(old.len()), text)
            })
            .collect();
        places.sort();
        let (mut new, mut kept, mut done) = (Vec::new(), Vec::new(), 0);
        for (start, end, text) in places {
            if start >= done {
                kept.push(Kept { old: done, new: new.len(), length: start - done });
                new.extend_from_slice(&old.as_bytes()[done..start]);
                new.extend(text.bytes());
                done = end;
            }
        }
        kept.push(Kept { old: done, new: new.len(), length: old.len() - done });
        new.extend_from_slice(&old.as_bytes()[done..]);
        let changes = Replaced::around(&kept, old.len(), new.len());
        let moved = scanner().keywords_after(&new, &keywords(old.as_bytes()), &changes);
        prop_assert_eq!(moved.unwrap(), keywords(&new));
    }
}

#[test]
fn changes_that_contradict_each_other_make_a_full_scan() {
    let scanner = scanner();
    let text = example::expand("a{nl}ghp_{base62:30}{crc32}{nl}", 1);
    let wrong = [Replaced {
        old: 3..9,
        new: 0..9999,
    }];
    let found = delta(&text, &[], &text, &wrong);
    assert_eq!(found, scanner.scan(&text, None));
    assert_eq!(found.len(), 1);
}

/// What is far from every change is taken over, not looked for again.
#[test]
fn findings_far_from_a_change_are_taken_over() {
    let scanner = scanner();
    let far = example::expand("ghp_{base62:30}{crc32}{nl}", 1);
    let filler = b"int main(void) { }\n".repeat(20_000);
    let old = [far.as_slice(), &filler].concat();
    let new = [old.as_slice(), b"more\n"].concat();
    let end = old.len() as u64;
    let change = Replaced {
        old: end..end,
        new: end..end + 5,
    };
    let before = scanner.scan(&old, None);
    let changes = [change];
    assert_eq!(delta(&old, &before, &new, &changes), before);
    assert_eq!(delta(&old, &[], &new, &changes), []);
}
