//! Laws of rules from `gitleaks.toml` files: the same findings as by running each pattern over
//! the whole text, however the text arrives.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests"
)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use refwarden_scan::gitleaks::{self, Loaded};
use refwarden_scan::{FingerprintKey, Scanner};

/// Id, pattern, keyword: a bounded one, one with a leading run, one without bound, one whose
/// keyword is elsewhere, one without anchor, several lines, anchors at a varying distance, ends.
const RULES: [(&str, &str, &str); 9] = [
    ("bounded", r"\bab_[a-z]{4,8}\b", "ab_"),
    (
        "leading",
        r"(?i)[\w.-]{0,20}?(?:key|token)[ ]{0,3}=[ ]?([a-z0-9]{3,})",
        "key,token",
    ),
    ("open", r"cd-[a-z0-9+/]{3,}={0,2}", "cd-"),
    ("elsewhere", r"zz[0-9]{4}", "provider"),
    ("anywhere", r"\b[0-9]{9,12}\b", "id"),
    ("lines", r"BEGIN[^-]*(?:\n[^-]*)*END", "begin"),
    ("varying", r"[a-f]{2,9}:qq", ":qq"),
    ("wide", r"[0-9]{1,90}-[a-f]{1,40}xy", "xy"),
    ("ends", r"ef\.[a-z]+(?:[\s;]|$)", "ef."),
];

fn config() -> Loaded {
    let rules: Vec<String> = RULES
        .iter()
        .map(|(id, regex, keywords)| {
            format!("[[rules]]\nid = '{id}'\nregex = '''{regex}'''\nkeywords = '{keywords}'\n")
        })
        .collect();
    let text = rules.concat();
    gitleaks::load(&text, "laws.toml", |_| Err(String::new())).unwrap()
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "ab_", "abcd", "efgh", " ", "\n", "key", "TOKEN", "=", " = ", "x9", "cd-", "+/", "==",
            "zz1234", "provider", "0123456789", "id", "BEGIN", "END", "-", "fa", ":qq", "12", "xy",
            "ef.", ";", "_", ".", "\r\n", "a.b-c_", "é",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
        1 => (0usize..90_000).prop_map(|length| b"int main(-);--\n".repeat(length / 15)),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// What gitleaks does, with nothing left out to save time.
fn plainly(text: &[u8]) -> BTreeSet<(String, usize, usize)> {
    let lower = text.to_ascii_lowercase();
    let mut found = BTreeSet::new();
    for (id, pattern, keywords) in RULES {
        let there = |word: &str| {
            lower
                .windows(word.len())
                .any(|some| some == word.as_bytes())
        };
        if !keywords.split(',').any(there) {
            continue;
        }
        let regex = regex::bytes::RegexBuilder::new(pattern)
            .unicode(false)
            .build()
            .unwrap();
        for hit in regex.find_iter(text) {
            let mut matched = hit.range();
            while matched.end > matched.start && text[matched.end - 1] == b'\n' {
                matched.end -= 1;
            }
            let group = regex
                .captures(&text[matched.clone()])
                .and_then(|groups| groups.get(1).map(|group| group.range()));
            let secret = group.unwrap_or(0..matched.len());
            found.insert((
                id.to_owned(),
                matched.start + secret.start,
                matched.start + secret.end,
            ));
        }
    }
    found
}

fn spans(findings: &[refwarden_scan::Finding]) -> BTreeSet<(String, usize, usize)> {
    findings
        .iter()
        .map(|one| {
            (
                one.rule_id.to_string(),
                usize::try_from(one.span.start).unwrap(),
                usize::try_from(one.span.end).unwrap(),
            )
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn finds_what_whole_searches_find(text in text()) {
        let loaded = config();
        let scanner = Scanner::new(&loaded.ruleset, FingerprintKey::new([7; 32]));
        prop_assert_eq!(spans(&scanner.scan(&text, None)), plainly(&text));
    }

    #[test]
    fn chunking_never_changes_findings(
        text in text(),
        sizes in proptest::collection::vec(prop_oneof![1usize..5000, 1usize..900_000], 1..20),
    ) {
        let loaded = config();
        let scanner = Scanner::new(&loaded.ruleset, FingerprintKey::new([7; 32]));
        let mut stream = scanner.stream(None);
        let mut rest = text.as_slice();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            // Many tiny pieces of a long text would only take long.
            let size = (*size).max(rest.len() / 500).min(rest.len());
            let (piece, after) = rest.split_at(size);
            stream.push(piece);
            rest = after;
        }
        prop_assert_eq!(stream.finish(), scanner.scan(&text, None));
    }
}

/// Longer than what a match can see: cut, but always at the same place.
#[test]
fn chunking_never_changes_findings_in_runs_without_end() {
    let loaded = config();
    let scanner = Scanner::new(&loaded.ruleset, FingerprintKey::new([7; 32]));
    let mut text = Vec::new();
    for round in 0..6usize {
        text.extend_from_slice(b"\nprovider id cd-");
        text.extend(b"k3y9w".iter().cycle().take(round * 70_001));
        text.extend_from_slice(b" BEGIN");
        text.extend(b"line\n".iter().cycle().take(round * 90_007));
        text.extend_from_slice(b"END ab_cdef ");
    }
    let whole = scanner.scan(&text, None);
    // Six bounded ones, five runs, and those of the blocks that end within what can be seen.
    assert_eq!(whole.len(), 13);
    for size in [1009, 65_537, 300_000] {
        let mut stream = scanner.stream(None);
        text.chunks(size).for_each(|piece| stream.push(piece));
        assert_eq!(stream.finish(), whole, "pieces of {size}");
    }
}

/// Beyond 16 MiB a text is taken in pieces, even when all of it is at hand.
#[test]
fn long_texts_are_like_short_ones() {
    let loaded = config();
    let scanner = Scanner::new(&loaded.ruleset, FingerprintKey::new([7; 32]));
    let mut text = b"fa:qq 0123456789 zz1234\n".to_vec();
    while text.len() < 17 * 1024 * 1024 {
        text.extend(b"int main(-);--\n".repeat(100_003));
        text.extend_from_slice(b"ab_cdef key = x9y8 cd-abcdef== zz4321 555555555\n");
    }
    text.extend_from_slice(b"provider id");
    assert_eq!(spans(&scanner.scan(&text, None)), plainly(&text));
}
