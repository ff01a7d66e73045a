//! A scan of what changed finds what a scan of the whole new version finds.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use refwarden_scan::{FingerprintKey, Replaced, Ruleset, Scanner, example};

static RULES: LazyLock<Ruleset> = LazyLock::new(|| Ruleset::builtin().unwrap());

fn scanner() -> Scanner<'static> {
    Scanner::new(&RULES, FingerprintKey::new([7; 32]))
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

/// Pieces with long stretches of source between them.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let filler = (0usize..300_000).prop_map(|length| b"int main(void) { }\n".repeat(length / 19));
    proptest::collection::vec((filler, piece()), 1..5).prop_map(|parts| {
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
        let delta = scanner.scan_delta(&new, None, &before, &changes);
        prop_assert_eq!(delta, scanner.scan(&new, None));
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
    let found = scanner.scan_delta(&text, None, &[], &wrong);
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
    assert_eq!(
        scanner.scan_delta(&new, None, &before, std::slice::from_ref(&change)),
        before
    );
    assert_eq!(scanner.scan_delta(&new, None, &[], &[change]), []);
}
