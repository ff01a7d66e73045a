//! One object at a time: what is masked, what stays byte for byte.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::borrow::Cow;

use proptest::prelude::*;
use refwarden_gitio::objects::Kind;
use refwarden_model::{ObjectFormat, Oid};
use refwarden_scan::{FingerprintKey, Ruleset, example};
use refwarden_view::mask::{Dependence, Names, TreeError};
use refwarden_view::{Mask, object_id};

const SHA1: ObjectFormat = ObjectFormat::Sha1;

fn secret(seed: u64) -> Vec<u8> {
    example::expand("ghp_{base62:30}{crc32}", seed)
}

fn pem(seed: u64) -> Vec<u8> {
    let template = "-----BEGIN {word:RSA} PRIVATE KEY-----{nl}{pem:800}{nl}-----END {word:RSA} PRIVATE KEY-----";
    example::expand(template, seed)
}

fn with_mask<T>(work: impl FnOnce(&Mask<'_>) -> T) -> T {
    let ruleset = Ruleset::builtin().unwrap();
    work(&Mask::new(&ruleset, &FingerprintKey::new([7; 32])).unwrap())
}

fn oid(digit: u8) -> Oid {
    Oid::parse(&[digit; 40]).unwrap()
}

/// Objects whose name is all `a` are called all `b`.
struct Renames;

impl Names for Renames {
    fn linked(&self, oid: Oid) -> Oid {
        if oid == self::oid(b'a') {
            self::oid(b'b')
        } else {
            oid
        }
    }

    fn mentioned(&self, digits: &str) -> Option<String> {
        digits
            .bytes()
            .all(|it| it == b'a')
            .then(|| "b".repeat(digits.len()))
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

fn lines(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count()
}

#[test]
fn equal_secrets_look_equal_and_others_do_not() {
    with_mask(|mask| {
        let masked = |seed| mask.blob(&secret(seed), None).into_owned();
        assert_eq!(masked(1), masked(1));
        assert_ne!(masked(1), masked(2));
        let text = String::from_utf8(masked(1)).unwrap();
        let digits = text.strip_prefix("REFWARDEN-MASKED-github-pat-").unwrap();
        assert_eq!(digits.len(), 16);
        let ruleset = Ruleset::builtin().unwrap();
        let other = Mask::new(&ruleset, &FingerprintKey::new([8; 32])).unwrap();
        assert_ne!(other.blob(&secret(1), None), text.as_bytes());
    });
}

#[test]
fn a_key_of_many_lines_keeps_the_lines_below_it() {
    with_mask(|mask| {
        for break_ in ["\n", "\r\n"] {
            let key = String::from_utf8(pem(3)).unwrap().replace('\n', break_);
            let text = format!("above{break_}{key}{break_}below{break_}");
            let masked = mask.blob(text.as_bytes(), None).into_owned();
            assert_eq!(lines(&masked), lines(text.as_bytes()));
            assert!(masked.starts_with(format!("above{break_}").as_bytes()));
            assert!(masked.ends_with(format!("{break_}below{break_}").as_bytes()));
            for line in key.lines().filter(|line| !line.starts_with('-')) {
                assert!(!contains(&masked, line.as_bytes()));
            }
            assert_eq!(mask.blob(&masked, None), masked);
        }
    });
}

#[test]
fn a_binary_blob_is_masked_whole() {
    with_mask(|mask| {
        let blob = [b"\0\x01other\n\n".as_slice(), &secret(4), b"\xff"].concat();
        let masked = mask.blob(&blob, None);
        assert!(!contains(&masked, b"other") && !contains(&masked, &secret(4)));
        assert_eq!(mask.blob(&masked, None), masked);
    });
}

#[test]
fn a_secret_cannot_hide_in_what_looks_like_a_placeholder() {
    with_mask(|mask| {
        let hidden = [
            b"REFWARDEN-MASKED-".as_slice(),
            &secret(5),
            b"-0123456789abcdef",
        ]
        .concat();
        assert!(!contains(&mask.blob(&hidden, None), &secret(5)));
    });
}

#[test]
fn rules_with_a_path_condition_are_asked_for_each_path() {
    let rule = r#"
provider = "p"
[[rule]]
id = "here-only"
description = "d"
keywords = ["tok-"]
pattern = 'tok-[0-9]{8}'
path = '\.here$'
severity = "high"
confidence = "high"
[[rule]]
id = "anywhere"
description = "d"
keywords = ["any-"]
pattern = 'any-[0-9]{8}'
severity = "high"
confidence = "high"
"#;
    let ruleset = Ruleset::from_toml(&[("r", rule)]).unwrap();
    let mask = Mask::new(&ruleset, &FingerprintKey::new([7; 32])).unwrap();
    let text = b"tok-83619274\n";
    assert_eq!(mask.dependence(text), Dependence::OnlyByPath);
    assert_eq!(mask.dependence(b"tok\n"), Dependence::Clean);
    assert!(mask.has_conditions_for(b"b/a.here") && !mask.has_conditions_for(b"a"));
    assert!(matches!(
        mask.blob(text, Some(b"a.there")),
        Cow::Borrowed(_)
    ));
    assert!(!contains(&mask.blob(text, Some(b"b/a.here")), b"83619274"));
    let other = [&text[..], b"any-83619274\n"].concat();
    assert_eq!(mask.dependence(&other[text.len()..]), Dependence::Anywhere);
    assert_eq!(mask.dependence(&other), Dependence::ByPath);
}

#[test]
fn trees_are_spliced() {
    let entry = |mode: &str, name: &[u8], oid: Oid| {
        [mode.as_bytes(), b" ", name, b"\0", oid.raw()].concat()
    };
    let named = [b"a-".as_slice(), &secret(6)].concat();
    let tree = [
        entry("100644", b"a", oid(b'a')),
        entry("100755", &named, oid(b'c')),
        entry("0100664", b"odd \xff", oid(b'c')),
        entry("40000", b"z", oid(b'a')),
    ]
    .concat();
    with_mask(|mask| {
        let masked = mask.tree::<TreeError>(&tree, SHA1, |it| Ok(Renames.linked(it.oid)));
        let masked = masked.unwrap().into_owned();
        let replaced = [b"a-".as_slice(), &mask.text(&secret(6))].concat();
        let expected = [
            entry("100644", b"a", oid(b'b')),
            entry("100755", &replaced, oid(b'c')),
            entry("0100664", b"odd \xff", oid(b'c')),
            entry("40000", b"z", oid(b'b')),
        ];
        assert_eq!(masked, expected.concat());
        let again = mask.tree::<TreeError>(&masked, SHA1, |it| Ok(it.oid));
        assert!(matches!(again, Ok(Cow::Borrowed(_))));
        assert!(
            mask.tree::<TreeError>(b"100644 x\0short", SHA1, |it| Ok(it.oid))
                .is_err()
        );
    });
}

#[test]
fn commits_are_spliced_and_signatures_go_when_a_byte_changes() {
    let signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n abc\n \n -----END PGP SIGNATURE-----\n";
    let commit = |tree: char, parent: char, signature: &str, message: &str| {
        let of = |digit: char| digit.to_string().repeat(40);
        format!(
            "tree {}\nparent {}\nparent {}\nauthor A  <a@x> 1 +0000\ncommitter <> -1 +2500\n\
             encoding latin1\n{signature}odd \u{a0}\n\n{message}",
            of(tree),
            of(parent),
            of('c'),
        )
    };
    let abbreviated = "a".repeat(9);
    let message = format!(
        "Revert\n\nThis reverts commit {}, {abbreviated}.\n",
        "a".repeat(40)
    );
    let after = message
        .replace(&"a".repeat(9), &"b".repeat(9))
        .replace("aaaa", "bbbb");
    with_mask(|mask| {
        let check = |before: &str, expected: &str| {
            let masked = mask.commit(before.as_bytes(), SHA1, &Renames);
            assert_eq!(String::from_utf8_lossy(&masked), expected);
            let again = mask.commit(&masked, SHA1, &Renames);
            assert!(matches!(again, Cow::Borrowed(_)));
        };
        let same = commit('c', 'd', signature, "m");
        check(&same, &same);
        check(
            &commit('a', 'c', signature, "m"),
            &commit('b', 'c', "", "m"),
        );
        check(&commit('c', 'a', signature, ""), &commit('c', 'b', "", ""));
        check(
            &commit('c', 'c', signature, &message),
            &commit('c', 'c', "", &after),
        );
        let no_blank = "tree aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nauthor x\n";
        check(
            no_blank,
            &no_blank.replace('a', "b").replace("buthor", "author"),
        );
        let merged = format!("mergetag object {}\n tag v1\n", "a".repeat(40));
        check(&commit('c', 'c', &merged, "m"), &commit('c', 'c', "", "m"));
    });
}

#[test]
fn secrets_leave_every_part_of_a_commit_and_a_tag() {
    let secret = String::from_utf8(secret(9)).unwrap();
    with_mask(|mask| {
        let zero = "0".repeat(40);
        for bytes in [
            format!("tree {zero}\nauthor {secret} <a@x> 1 +0000\n\nm"),
            format!("tree {zero}\nauthor a <{secret}> 1 +0000\n\nm"),
            format!("tree {zero}\nauthor a <x> {secret}\n\nm"),
            format!("tree {zero}\nauthor a <x> 1 +0000\nodd x\n {secret}\n\nm"),
            format!("tree {zero}\nauthor a <x> 1 +0000\n\n{secret}"),
            format!("tree {zero}\nauthor a <x> 1 +0000\n{secret}"),
        ] {
            let masked = mask.commit(bytes.as_bytes(), SHA1, &Renames);
            assert!(!contains(&masked, secret.as_bytes()), "{bytes}");
            assert!(masked.starts_with(format!("tree {zero}\n").as_bytes()));
            let again = mask.commit(&masked, SHA1, &Renames);
            assert_eq!(again, masked, "{bytes}");
        }
        let armour = "-----BEGIN PGP SIGNATURE-----\nx\n-----END PGP SIGNATURE-----\n";
        for (bytes, kept) in [
            (
                format!("object {zero}\ntype commit\ntag v\n\n{secret}\n{armour}"),
                false,
            ),
            (
                format!("object {zero}\ntype commit\ntag {secret}\n\nm\n{armour}"),
                false,
            ),
            (
                format!(
                    "object {}\ntype commit\ntag v\n\nm\n{armour}",
                    "a".repeat(40)
                ),
                false,
            ),
            (
                format!("object {zero}\ntype commit\ntag v\n\nm\n{armour}"),
                true,
            ),
        ] {
            let masked = mask.tag(bytes.as_bytes(), SHA1, &Renames);
            assert!(!contains(&masked, secret.as_bytes()), "{bytes}");
            assert_eq!(contains(&masked, b"PGP"), kept, "{bytes}");
            assert_eq!(mask.tag(&masked, SHA1, &Renames), masked);
        }
    });
}

/// Pieces of text with secrets in them, some of which touch.
fn pieces() -> impl Strategy<Value = Vec<(u8, u64)>> {
    prop::collection::vec((0u8..9, 0u64..4), 0..24)
}

fn text_of(pieces: &[(u8, u64)]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut text, mut secrets) = (Vec::new(), Vec::new());
    for (kind, seed) in pieces {
        let piece = match kind {
            0 => b"\n".to_vec(),
            1 => b" ".to_vec(),
            2 => b"token = \"".to_vec(),
            3 => b"\r\n".to_vec(),
            4 => b"postgres://u:".to_vec(),
            5 => b"@host/db ".to_vec(),
            6 => pem(*seed),
            _ => secret(*seed),
        };
        // Glued to a letter or digit, a token is no token to the rule either.
        if matches!(kind, 7 | 8) && !text.last().is_some_and(u8::is_ascii_alphanumeric) {
            secrets.push(piece.clone());
        }
        text.extend(piece);
        if matches!(kind, 7 | 8) {
            text.push(b';');
        }
    }
    (text, secrets)
}

proptest! {
    #[test]
    fn laws_of_blobs(pieces in pieces()) {
        let (text, secrets) = text_of(&pieces);
        with_mask(|mask| {
            let masked = mask.blob(&text, None).into_owned();
            prop_assert_eq!(&mask.blob(&text, None).into_owned(), &masked);
            prop_assert_eq!(&mask.blob(&masked, None).into_owned(), &masked);
            prop_assert_eq!(lines(&masked), lines(&text));
            for secret in &secrets {
                prop_assert!(!contains(&masked, secret));
            }
            if !mask.is_affected(&text) {
                prop_assert_eq!(object_id(SHA1, Kind::Blob, &masked), object_id(SHA1, Kind::Blob, &text));
            }
            Ok(())
        })?;
    }

    #[test]
    fn no_bytes_make_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        with_mask(|mask| {
            let _ = mask.tree::<TreeError>(&bytes, SHA1, |it| Ok(it.oid));
            prop_assert_eq!(mask.commit(&bytes, SHA1, &Renames).into_owned(), bytes.clone());
            prop_assert_eq!(mask.tag(&bytes, SHA1, &Renames).into_owned(), bytes.clone());
            Ok(())
        })?;
    }
}
