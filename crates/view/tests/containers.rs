//! Archives and compressed files: what stands inside masks the whole blob.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

#[path = "../../scan/tests/archives/mod.rs"]
#[expect(dead_code, reason = "the scanner's own tests use more of it")]
mod archives;

use std::borrow::Cow;

use archives::{Entry, gzip, tar, xz, zip, zip_of, zstd};
use proptest::prelude::*;
use refwarden_scan::{FingerprintKey, Ruleset, example};
use refwarden_view::Mask;
use refwarden_view::mask::Dependence;

/// Put together here, so that no file of this project has the form of a placeholder.
const PREFIX: &str = "REFWARDEN-MASKED-";

fn secret(seed: u64) -> Vec<u8> {
    example::expand("ghp_{base62:30}{crc32}", seed)
}

fn with_rules<T>(ruleset: &Ruleset, work: impl FnOnce(&Mask<'_>) -> T) -> T {
    work(&Mask::new(ruleset, &FingerprintKey::new([7; 32])).unwrap())
}

fn with_mask<T>(work: impl FnOnce(&Mask<'_>) -> T) -> T {
    with_rules(&Ruleset::builtin().unwrap(), work)
}

/// One line with a placeholder of this kind, which stays as it is.
#[track_caller]
fn is_masked_as(mask: &Mask<'_>, bytes: &[u8], path: Option<&[u8]>, kind: &str) -> String {
    let masked = String::from_utf8(mask.blob(bytes, path).into_owned()).unwrap();
    let digits = masked.strip_prefix(&format!("{PREFIX}{kind}-"));
    let digits = digits.unwrap_or_else(|| panic!("{masked}"));
    assert_eq!(digits.trim_end().len(), 16);
    assert_eq!(masked.lines().count(), 1);
    let again = mask.blob(masked.as_bytes(), path);
    assert!(matches!(again, Cow::Borrowed(_)));
    assert_eq!(mask.dependence(masked.as_bytes()), Dependence::Clean);
    masked
}

fn stays(mask: &Mask<'_>, bytes: &[u8]) {
    assert!(matches!(mask.blob(bytes, Some(b"a.bin")), Cow::Borrowed(_)));
    assert!(!is_anywhere(mask.dependence(bytes)));
}

/// Whether something is found under every path. Rules that are meant for few paths may find
/// something in any text.
fn is_anywhere(depends: Dependence) -> bool {
    matches!(depends, Dependence::Anywhere | Dependence::ByPath)
}

/// As many wrappings as are asked for.
fn nested(bytes: &[u8], depth: usize) -> Vec<u8> {
    (0..depth).fold(bytes.to_vec(), |inner, _| gzip(&inner))
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let words = std::iter::repeat_with(next).take(length.div_ceil(8));
    words.flatten().collect()
}

#[test]
fn a_secret_inside_masks_the_whole() {
    let text = [b"a=1\nt=".as_slice(), &secret(1), b"\n"].concat();
    let inner = zip(&[("a.txt", &text)]);
    let mut with_stub = b"#!/bin/sh\nexit 0\n".to_vec();
    with_stub.extend(&inner);
    with_mask(|mask| {
        for container in [
            zip(&[("clean", b"c"), ("a.txt", &text)]),
            tar(&[("a.txt", &text)]),
            tar(&[("a.txt.gz", &gzip(&text))]),
            gzip(&text),
            xz(&text),
            zstd(&text),
            gzip(&tar(&[("x/a.txt", &text)])),
            zip(&[("inner.jar", &inner)]),
            nested(&text, 8),
            with_stub.clone(),
        ] {
            assert_eq!(mask.dependence(&container), Dependence::Anywhere);
            let masked = is_masked_as(mask, &container, None, "container");
            let there = is_masked_as(mask, &container, Some(b"d/a.bin"), "container");
            assert_eq!(masked, there);
        }
        let one = is_masked_as(mask, &gzip(&text), None, "container");
        let other = gzip(&[text.as_slice(), b"\n"].concat());
        assert_ne!(is_masked_as(mask, &other, None, "container"), one);
    });
}

#[test]
fn what_cannot_be_read_stays_and_attacks_go() {
    let text = secret(2);
    let encrypted = Entry {
        flags: 1,
        ..Entry::stored("a", &text[..12])
    };
    let damaged = gzip(&noise(4096));
    with_mask(|mask| {
        stays(mask, &zip(&[("a", b"clean")]));
        stays(mask, &tar(&[("a", b"clean")]));
        stays(mask, &zip_of(&[encrypted]));
        stays(mask, &damaged[..1000]);
        // So much that it is compressed: what is not worth it stands there as it is, and is found.
        let much = [text.as_slice(), &[b'\n'; 10_000]].concat();
        let deep_xz = (0..4).fold(much, |inner, _| xz(&inner));
        stays(mask, &deep_xz);
        stays(mask, b"7z\xbc\xaf\x27\x1c\0\x04clean");
        stays(mask, b"\x1f\x8b\x08 no stream\n");
        let deep = nested(b"clean", 9);
        is_masked_as(mask, &deep, Some(b"a"), "unread");
        assert_eq!(mask.dependence(&deep), Dependence::Anywhere);
        is_masked_as(mask, &gzip(&vec![0; 64 << 20]), None, "unread");
        // What comes before the fault counts all the same.
        let cut = [text.as_slice(), b"\n", &noise(4096)].concat();
        is_masked_as(mask, &gzip(&cut)[..2000], None, "container");
    });
}

#[test]
fn conditions_of_rules_hold_for_what_is_inside() {
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
"#;
    let ruleset = Ruleset::from_toml(&[("r", rule)]).unwrap();
    let text = b"tok-83619274\n";
    with_rules(&ruleset, |mask| {
        let packed = gzip(text);
        assert_eq!(mask.dependence(&packed), Dependence::OnlyByPath);
        for (path, is_meant) in [
            ("b/a.here.gz", true),
            ("a.here.x.y", false),
            ("a.gz", false),
        ] {
            let path = path.as_bytes();
            if is_meant {
                assert!(mask.has_conditions_for(path));
                is_masked_as(mask, &packed, Some(path), "container");
            } else {
                assert!(matches!(mask.blob(&packed, Some(path)), Cow::Borrowed(_)));
            }
        }
        let twice = gzip(&packed);
        assert!(mask.has_conditions_for(b"a.here.gz.gz"));
        is_masked_as(mask, &twice, Some(b"a.here.gz.gz"), "container");
        assert!(!mask.has_conditions_for(b"x.here/a.gz"));
        assert!(!mask.has_conditions_for(b".here.d/.gz"));
        let named = zip(&[("c/a.here", text)]);
        assert_eq!(mask.dependence(&named), Dependence::Anywhere);
        is_masked_as(mask, &named, Some(b"any.zip"), "container");
        stays(mask, &zip(&[("c/a.there", text)]));
    });
}

/// What stands for a large blob, which comes in pieces of this length.
fn large(mask: &Mask<'_>, bytes: &[u8], piece: usize) -> (Dependence, String) {
    let mut large = mask.large();
    for piece in bytes.chunks(piece) {
        large.push(piece);
    }
    let (depends, line) = large.finish().unwrap();
    (depends, String::from_utf8(line).unwrap())
}

#[test]
fn large_containers_are_looked_into_in_pieces() {
    let text = [b"t=".as_slice(), &secret(3), b"\n"].concat();
    let noise = noise(17 << 20);
    let with_noise = [text.as_slice(), &noise].concat();
    let mut with_stub = noise.clone();
    with_stub.extend(zip(&[("a", &text)]));
    with_mask(|mask| {
        for container in [
            gzip(&with_noise),
            tar(&[("n", &noise), ("a.xz", &xz(&text))]),
            zip_of(&[Entry::stored("n", &noise), Entry::deflated("a", &text)]),
            with_stub,
        ] {
            let (depends, line) = large(mask, &container, 64 << 10);
            assert_eq!(depends, Dependence::Anywhere);
            assert!(line.starts_with(&format!("{PREFIX}container-")), "{line}");
            assert!(matches!(mask.blob(line.as_bytes(), None), Cow::Borrowed(_)));
            assert_eq!(large(mask, &container, 300_007), (depends, line));
        }
        let clean = gzip(&noise);
        assert!(!is_anywhere(large(mask, &clean, 64 << 10).0));
        let deep = zip_of(&[
            Entry::stored("n", &noise),
            Entry::stored("d", &nested(b"clean", 8)),
        ]);
        let (depends, line) = large(mask, &deep, 64 << 10);
        assert_eq!(depends, Dependence::Anywhere);
        assert!(line.starts_with(&format!("{PREFIX}unread-")), "{line}");
    });
}

fn pack(kind: u8, bytes: &[u8]) -> Vec<u8> {
    match kind {
        0 => zip(&[("m", bytes)]),
        1 => tar(&[("m", bytes)]),
        2 => gzip(bytes),
        3 => xz(bytes),
        _ => zstd(bytes),
    }
}

/// Whether xz stands within three layers that hold memory, each of which gets two thirds of what
/// those around it leave.
fn is_beyond_memory(kinds: &[u8]) -> bool {
    matches!(kinds, [3, around @ ..] if around.len() == 3 && around.iter().all(|kind| matches!(kind, 0 | 3 | 4)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn laws_of_containers(
        kinds in prop::collection::vec(0u8..5, 1..5)
            .prop_filter("more memory than its layers get", |kinds| !is_beyond_memory(kinds)),
        planted in any::<bool>(),
        text in "[a-z ]{0,20}\n",
        cut in 0usize..40,
        seed in 0u64..4,
    ) {
        let mut inner = text.into_bytes();
        if planted {
            inner.extend(secret(seed));
            inner.push(b'\n');
        }
        let mut bytes = kinds.iter().fold(inner, |inner, kind| pack(*kind, &inner));
        bytes.truncate(bytes.len() - cut.saturating_sub(20).min(bytes.len()));
        with_mask(|mask| {
            let masked = mask.blob(&bytes, Some(b"p")).into_owned();
            prop_assert_eq!(&mask.blob(&bytes, None).into_owned(), &masked);
            prop_assert_eq!(&mask.blob(&masked, Some(b"p")).into_owned(), &masked);
            let is_same = masked == bytes;
            prop_assert_eq!(is_anywhere(mask.dependence(&bytes)), !is_same);
            if cut <= 20 {
                prop_assert_eq!(is_same, !planted);
            }
            Ok(())
        })?;
    }
}
